//! Checks that a file is a GGUF that llama.cpp can load safely.
//!
//! llama.cpp detects most damage itself. However, it aborts the whole process if a token occurs
//! twice in the vocabulary, which a flipped bit can cause. So the header is read up to the
//! vocabulary before llama.cpp gets the file. The format is described at
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use super::model::local_error;
use crate::chat::ChatError;

/// The most entries in a header. Real ones have some dozens.
const MAX_ENTRIES: u64 = 65_536;
/// The most tokens in a vocabulary. Real ones have up to 300,000.
const MAX_TOKENS: u64 = 8_000_000;
/// The longest name or token, in bytes.
const MAX_STRING_BYTES: u64 = 65_536;

const VOCABULARY_KEY: &[u8] = b"tokenizer.ggml.tokens";

const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum GgufError {
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

impl GgufError {
    pub(super) fn into_chat_error(self, path: &Path, fetchable: bool) -> ChatError {
        let mended = matches!(self, Self::Missing | Self::NotGguf | Self::Damaged(_));
        local_error(path, &self.to_string(), fetchable && mended)
    }
}

/// Checks the file's header up to its vocabulary.
pub(super) fn check_file(path: &Path) -> Result<(), GgufError> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => GgufError::Missing,
        _ => GgufError::Unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(GgufError::Directory);
    }
    let file = File::open(path).map_err(GgufError::Unreadable)?;
    check_header(BufReader::with_capacity(1 << 16, file), metadata.len())
}

fn check_header(file: impl Read + Seek, length: u64) -> Result<(), GgufError> {
    let mut header = GgufReader {
        file,
        remaining_bytes: length,
    };
    match header.read_array() {
        Ok(magic) if &magic == b"GGUF" => {}
        Err(GgufError::Unreadable(error)) => return Err(GgufError::Unreadable(error)),
        _ => return Err(GgufError::NotGguf),
    }
    // llama.cpp itself reports unsupported versions best.
    if !matches!(header.read_u32()?, 2 | 3) {
        return Ok(());
    }
    let _tensors = header.read_u64()?;
    let entries = header.read_u64()?;
    if entries > MAX_ENTRIES {
        return Err(GgufError::Damaged("its header has too many entries"));
    }
    for _ in 0..entries {
        let name = header.read_string()?;
        let kind = header.read_u32()?;
        if name == VOCABULARY_KEY && kind == TYPE_ARRAY {
            return header.vocabulary();
        }
        header.skip_value(kind)?;
    }
    Ok(())
}

struct GgufReader<R> {
    file: R,
    /// Bytes left in the file.
    remaining_bytes: u64,
}

impl<R: Read + Seek> GgufReader<R> {
    fn vocabulary(&mut self) -> Result<(), GgufError> {
        let (kind, count) = (self.read_u32()?, self.read_u64()?);
        if kind != TYPE_STRING || count > MAX_TOKENS {
            return Err(GgufError::Damaged("its vocabulary is invalid"));
        }
        let mut seen = HashSet::new();
        for _ in 0..count {
            let token = self.read_string()?;
            // llama.cpp replaces empty tokens with unique names.
            if !token.is_empty() && !seen.insert(token) {
                return Err(GgufError::Damaged("a token comes twice in its vocabulary"));
            }
        }
        Ok(())
    }

    fn skip_value(&mut self, kind: u32) -> Result<(), GgufError> {
        match kind {
            TYPE_STRING => {
                let length = self.read_u64()?;
                self.skip(length)
            }
            TYPE_ARRAY => match (self.read_u32()?, self.read_u64()?) {
                (TYPE_STRING, count) => (0..count).try_for_each(|_| self.skip_value(TYPE_STRING)),
                (kind, count) => self.skip(count.saturating_mul(value_size(kind)?)),
            },
            kind => self.skip(value_size(kind)?),
        }
    }

    fn read_string(&mut self) -> Result<Vec<u8>, GgufError> {
        let length = self.read_u64()?;
        if length > MAX_STRING_BYTES {
            return Err(GgufError::Damaged("a name in its header is too long"));
        }
        self.claim_bytes(length)?;
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact(&mut text).map_err(map_read_error)?;
        Ok(text)
    }

    fn read_u32(&mut self) -> Result<u32, GgufError> {
        self.read_array().map(u32::from_le_bytes)
    }

    fn read_u64(&mut self) -> Result<u64, GgufError> {
        self.read_array().map(u64::from_le_bytes)
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.claim_bytes(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(map_read_error)?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), GgufError> {
        self.claim_bytes(length)?;
        let length = i64::try_from(length).map_err(|_| TRUNCATED_HEADER)?;
        self.file.seek_relative(length).map_err(map_read_error)
    }

    /// Ensures that a read of `length` bytes stays within the file.
    fn claim_bytes(&mut self, length: u64) -> Result<(), GgufError> {
        self.remaining_bytes = self
            .remaining_bytes
            .checked_sub(length)
            .ok_or(TRUNCATED_HEADER)?;
        Ok(())
    }
}

const TRUNCATED_HEADER: GgufError = GgufError::Damaged("it ends in the middle of its header");

/// The file may have become shorter since its length was read.
fn map_read_error(error: std::io::Error) -> GgufError {
    match error.kind() {
        ErrorKind::UnexpectedEof => TRUNCATED_HEADER,
        _ => GgufError::Unreadable(error),
    }
}

/// Size of a scalar value in bytes.
fn value_size(kind: u32) -> Result<u64, GgufError> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(GgufError::Damaged(
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

    /// A header with one value of each form before the vocabulary.
    fn header(tokens: &[&str]) -> Vec<u8> {
        let (three, array, string) = (
            3_u32.to_le_bytes(),
            TYPE_ARRAY.to_le_bytes(),
            TYPE_STRING.to_le_bytes(),
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
    fn truncation_is_detected() {
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
        fn damaged_headers_never_panic(at in 4_usize..200, bytes in prop::collection::vec(any::<u8>(), 1..16)) {
            let mut damaged = header(&["a", "b", "c"]);
            let end = damaged.len();
            for (place, byte) in damaged[at.min(end)..].iter_mut().zip(bytes) {
                *place = byte;
            }
            // It must end quickly and without a panic, whatever the result.
            verdict(&damaged);
        }
    }
}
