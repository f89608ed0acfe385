//! Turns the bytes of generated tokens into text.

use encoding_rs::{Decoder, UTF_8};

/// Decodes the bytes of tokens into text that can be shown: only complete characters, and nothing
/// from a stop string on. The result doesn't depend on how the bytes are split.
pub(super) struct TokenTextDecoder<'a> {
    decoder: Decoder,
    /// Decoded but not returned yet: it may be the start of a stop string.
    held: String,
    stop_strings: &'a [String],
    stopped: bool,
}

impl<'a> TokenTextDecoder<'a> {
    /// `stop_strings` must not contain an empty string.
    pub(super) fn new(stop_strings: &'a [String]) -> Self {
        Self {
            decoder: UTF_8.new_decoder_without_bom_handling(),
            held: String::new(),
            stop_strings,
            stopped: false,
        }
    }

    /// Adds a token's bytes; returns the text that can be shown now (possibly none).
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.decode(bytes, false);
        self.take_ready_text(false)
    }

    /// Returns the rest. An incomplete character becomes U+FFFD.
    pub(super) fn finish(&mut self) -> String {
        self.decode(&[], true);
        self.take_ready_text(true)
    }

    /// Whether a stop string was found. No more text is returned after it.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    fn decode(&mut self, bytes: &[u8], last: bool) {
        let most = self.decoder.max_utf8_buffer_length(bytes.len());
        self.held.reserve(most.unwrap_or(bytes.len() * 3 + 16));
        // The result could be "output full" only if the reserve above were too small.
        let _ = self.decoder.decode_to_string(bytes, &mut self.held, last);
    }

    fn take_ready_text(&mut self, everything: bool) -> String {
        if self.stopped {
            self.held.clear();
            return String::new();
        }
        let first_stop = self
            .stop_strings
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(at) = first_stop {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = if everything {
            0
        } else {
            self.partial_stop_len()
        };
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// Length in bytes of the end of `held` that may be the start of a stop string.
    fn partial_stop_len(&self) -> usize {
        self.stop_strings
            .iter()
            .flat_map(|stop| stop.char_indices().map(move |(at, _)| &stop[..at]))
            .filter(|start| self.held.ends_with(start))
            .map(str::len)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops() -> Vec<String> {
        vec!["<|im_end|>".into(), "<|im_start|>".into()]
    }

    fn run<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
        let stops = stops();
        let mut text = TokenTextDecoder::new(&stops);
        let mut shown: Vec<String> = parts.into_iter().map(|part| text.push(part)).collect();
        shown.push(text.finish());
        (shown, text.stopped())
    }

    #[test]
    fn characters_are_whole() {
        let (shown, stopped) = run([&b"caf\xc3"[..], b"\xa9 \xf0\x9f", b"\x8e", b"\x89!"]);
        assert_eq!(shown, ["caf", "é ", "", "🎉!", ""]);
        assert!(!stopped);
    }

    #[test]
    fn incomplete_characters_are_replaced() {
        let (shown, _) = run([&b"ab\xf0\x9f"[..]]);
        assert_eq!(shown, ["ab", "\u{fffd}"]);
    }

    #[test]
    fn text_ends_at_a_stop_string() {
        let (shown, stopped) = run([&b"Yes.<|im"[..], b"_end|", b">\nuser", b"more"]);
        assert_eq!(shown, ["Yes.", "", "", "", ""]);
        assert!(stopped);
    }

    #[test]
    fn text_that_only_resembles_a_stop_string_is_shown() {
        let (shown, stopped) = run([&b"a <|im"[..], b"age|>"]);
        assert_eq!(shown, ["a ", "<|image|>", ""]);
        assert!(!stopped);
        let (shown, _) = run([&b"1 <"[..]]);
        assert_eq!(shown, ["1 ", "<"]);
    }

    proptest! {
        #[test]
        fn splits_make_no_difference(
            text in "([a-zé🎉<|_>]|<\\|im_end\\|>|<\\|im){0,20}",
            cuts in prop::collection::vec(0_usize..80, 0..10),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (shown, stopped) = run(cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
            let end = stops().iter().filter_map(|stop| text.find(stop)).min();
            prop_assert_eq!(shown.concat(), &text[..end.unwrap_or(text.len())]);
            prop_assert_eq!(stopped, end.is_some());
        }
    }
}
