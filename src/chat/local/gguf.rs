//! Whether a file is a GGUF that llama.cpp can be trusted with.
//!
//! llama.cpp finds most damage itself and says so. It ends the whole process, though, over a
//! vocabulary with a token that comes twice, which a flipped bit is enough for. So the header is
//! read up to the vocabulary before llama.cpp sees the file. The format is described at
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use super::model::local;
use crate::chat::ChatError;

/// Entries of a header. Real ones have some dozens.
const MAX_ENTRIES: u64 = 65_536;
/// Tokens of a vocabulary. Real ones have up to 300,000.
const MAX_TOKENS: u64 = 8_000_000;
/// Bytes of a name or a token.
const MAX_NAME: u64 = 65_536;

const VOCABULARY: &[u8] = b"tokenizer.ggml.tokens";

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("there is no such file")]
    Missing,
    #[error("it is a directory, not a GGUF file")]
    Directory,
    #[error("it can't be read: {0}")]
    Unreadable(#[source] std::io::Error),
    #[error("it is not a GGUF file")]
    NotGguf,
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

impl Fault {
    pub(super) fn into_chat_error(self, path: &Path, fetchable: bool) -> ChatError {
        let mended = matches!(self, Self::Missing | Self::NotGguf | Self::Damaged(_));
        local(path, &self.to_string(), fetchable && mended)
    }
}

/// Reads the file's header up to its vocabulary.
pub(super) fn check(path: &Path) -> Result<(), Fault> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::Missing,
        _ => Fault::Unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(Fault::Directory);
    }
    let file = File::open(path).map_err(Fault::Unreadable)?;
    check_header(BufReader::with_capacity(1 << 16, file), metadata.len())
}

fn check_header(file: impl Read + Seek, length: u64) -> Result<(), Fault> {
    let mut header = Header { file, left: length };
    match header.take() {
        Ok(magic) if &magic == b"GGUF" => {}
        Err(Fault::Unreadable(error)) => return Err(Fault::Unreadable(error)),
        _ => return Err(Fault::NotGguf),
    }
    // What llama.cpp says about other versions can't be said better here.
    if !matches!(header.u32()?, 2 | 3) {
        return Ok(());
    }
    let _tensors = header.u64()?;
    let entries = header.u64()?;
    if entries > MAX_ENTRIES {
        return Err(Fault::Damaged("its header has too many entries"));
    }
    for _ in 0..entries {
        let name = header.text()?;
        let kind = header.u32()?;
        if name == VOCABULARY && kind == ARRAY {
            return header.vocabulary();
        }
        header.skip_value(kind)?;
    }
    Ok(())
}

struct Header<R> {
    file: R,
    /// Bytes up to the file's end.
    left: u64,
}

impl<R: Read + Seek> Header<R> {
    fn vocabulary(&mut self) -> Result<(), Fault> {
        let (kind, count) = (self.u32()?, self.u64()?);
        if kind != STRING || count > MAX_TOKENS {
            return Err(Fault::Damaged("its vocabulary is none"));
        }
        let mut seen = HashSet::new();
        for _ in 0..count {
            let token = self.text()?;
            // llama.cpp gives empty ones a name of their own.
            if !token.is_empty() && !seen.insert(token) {
                return Err(Fault::Damaged("a token comes twice in its vocabulary"));
            }
        }
        Ok(())
    }

    fn skip_value(&mut self, kind: u32) -> Result<(), Fault> {
        match kind {
            STRING => {
                let length = self.u64()?;
                self.skip(length)
            }
            ARRAY => match (self.u32()?, self.u64()?) {
                (STRING, count) => (0..count).try_for_each(|_| self.skip_value(STRING)),
                (kind, count) => self.skip(count.saturating_mul(size(kind)?)),
            },
            kind => self.skip(size(kind)?),
        }
    }

    fn text(&mut self) -> Result<Vec<u8>, Fault> {
        let length = self.u64()?;
        if length > MAX_NAME {
            return Err(Fault::Damaged("a name in its header is too long"));
        }
        self.claim(length)?;
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact(&mut text).map_err(unreadable)?;
        Ok(text)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), Fault> {
        self.claim(length)?;
        let length = i64::try_from(length).map_err(|_| CUT_SHORT)?;
        self.file.seek_relative(length).map_err(unreadable)
    }

    /// Goes no further than the file.
    fn claim(&mut self, length: u64) -> Result<(), Fault> {
        self.left = self.left.checked_sub(length).ok_or(CUT_SHORT)?;
        Ok(())
    }
}

const CUT_SHORT: Fault = Fault::Damaged("it ends in the middle of its header");

/// The file may have become shorter since its length was asked for.
fn unreadable(error: std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::UnexpectedEof => CUT_SHORT,
        _ => Fault::Unreadable(error),
    }
}

/// Bytes of a plain value.
fn size(kind: u32) -> Result<u64, Fault> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(Fault::Damaged(
            "its header holds a value of an unknown kind",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// A header with a value of each shape before the vocabulary.
    fn header(tokens: &[&str]) -> Vec<u8> {
        let (three, array, string) = (
            3_u32.to_le_bytes(),
            ARRAY.to_le_bytes(),
            STRING.to_le_bytes(),
        );
        let count = |count: u64| count.to_le_bytes().to_vec();
        let mut bytes = b"GGUF".to_vec();
        bytes.extend([three.to_vec(), count(0), count(5)].concat());
        bytes.extend([text("general.name"), string.to_vec(), text("A model")].concat());
        bytes.extend([text("a.number"), 4_u32.to_le_bytes().to_vec(), vec![7; 4]].concat());
        bytes.extend([text("words"), array.to_vec(), string.to_vec(), count(2)].concat());
        bytes.extend([text("one"), text("")].concat());
        bytes.extend([text("scores"), array.to_vec(), 6_u32.to_le_bytes().to_vec()].concat());
        bytes.extend([count(3), vec![0; 12]].concat());
        bytes.extend(
            [
                text("tokenizer.ggml.tokens"),
                array.to_vec(),
                string.to_vec(),
            ]
            .concat(),
        );
        bytes.extend(count(tokens.len() as u64));
        bytes.extend(tokens.iter().flat_map(|token| text(token)));
        bytes
    }

    fn verdict(bytes: &[u8]) -> String {
        let length = bytes.len() as u64;
        match check_header(Cursor::new(bytes), length) {
            Ok(()) => "fine".to_owned(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn a_vocabulary_has_each_token_once() {
        assert_eq!(verdict(&header(&["a", "b", "", "", "ab"])), "fine");
        assert_eq!(
            verdict(&header(&["a", "b", "a"])),
            "it is damaged: a token comes twice in its vocabulary"
        );
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = header(&["a", "b"]);
        for length in 0..4 {
            assert_eq!(verdict(&whole[..length]), "it is not a GGUF file");
        }
        for length in 4..whole.len() {
            assert_eq!(
                verdict(&whole[..length]),
                "it is damaged: it ends in the middle of its header",
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_damage_is_too_much(at in 4_usize..200, bytes in prop::collection::vec(any::<u8>(), 1..16)) {
            let mut damaged = header(&["a", "b", "c"]);
            let end = damaged.len();
            for (place, byte) in damaged[at.min(end)..].iter_mut().zip(bytes) {
                *place = byte;
            }
            // It ends, soon and without a panic, whatever it says.
            verdict(&damaged);
        }
    }
}
