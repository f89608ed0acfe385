//! Moonshine's vocabulary: turns token ids into text.
//!
//! The file is a list of tokens, each as its length and its bytes. A length below 128 takes one
//! byte. A longer one takes two: the first has its top bit set and holds the low seven bits, the
//! second holds the rest. (The format is undocumented; this was derived from the file.)

use super::SpeechError;
use super::engine_error;

/// The space between words, as SentencePiece writes it.
const WORD_SEPARATOR: char = '\u{2581}';

/// The most tokens in a plausible vocabulary.
const MAX_TOKENS: usize = 200_000;

/// The tokens `<unk>`, `<s>` and `</s>`, which have no text.
const SPECIAL_TOKENS: usize = 3;

/// A vocabulary.
pub(super) struct Tokenizer {
    bytes: Vec<u8>,
    /// Start and end of each token in `bytes`.
    tokens: Vec<(u32, u32)>,
}

impl Tokenizer {
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, SpeechError> {
        let broken = || engine_error("tokenizer.bin is damaged", true);
        let mut tokens = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let first = usize::from(bytes[at]);
            at += 1;
            let length = if first < 128 {
                first
            } else {
                let second = usize::from(*bytes.get(at).ok_or_else(broken)?);
                at += 1;
                first - 128 + second * 128
            };
            let end = at + length;
            if end > bytes.len() || tokens.len() == MAX_TOKENS {
                return Err(broken());
            }
            tokens.push((at as u32, end as u32));
            at = end;
        }
        if tokens.len() <= SPECIAL_TOKENS {
            return Err(broken());
        }
        Ok(Self { bytes, tokens })
    }

    /// The text of `ids`; unknown ids and special tokens are skipped.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut text = Vec::new();
        for id in ids {
            text.extend_from_slice(self.token_bytes(*id));
        }
        let text = String::from_utf8_lossy(&text);
        let spaced = text.replace(WORD_SEPARATOR, " ");
        spaced.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn token_bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some((start, end)) = self.tokens.get(id).filter(|_| id >= SPECIAL_TOKENS) else {
            return &[];
        };
        let token = &self.bytes[*start as usize..*end as usize];
        // Markers such as `<<ST_12>>` are for the model itself.
        if token.len() > 4 && token.starts_with(b"<<") && token.ends_with(b">>") {
            return &[];
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(tokens: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for token in tokens {
            if token.len() < 128 {
                file.push(token.len() as u8);
            } else {
                file.push((token.len() % 128 + 128) as u8);
                file.push((token.len() / 128) as u8);
            }
            file.extend_from_slice(token);
        }
        file
    }

    #[test]
    fn tokens_become_text() {
        let long = "x".repeat(300);
        let file = vocabulary(&[
            b"<unk>",
            b"<s>",
            b"</s>",
            "▁Hel".as_bytes(),
            b"lo",
            "▁w".as_bytes(),
            b"\xc3",
            b"\xb6",
            b"<<ST_1>>",
            long.as_bytes(),
        ]);
        let tokenizer = Tokenizer::parse(file).expect("a vocabulary");
        assert_eq!(tokenizer.decode(&[1, 3, 4, 5, 6, 7, 8, 2, 999]), "Hello wö");
        assert_eq!(tokenizer.decode(&[9]).len(), 300);
    }

    #[test]
    fn broken_files_are_refused() {
        let file = vocabulary(&[b"<unk>", b"<s>", b"</s>", b"word"]);
        for cut in 0..file.len() {
            let part = Tokenizer::parse(file[..cut].to_vec());
            assert!(part.is_err(), "{cut}");
        }
    }
}
