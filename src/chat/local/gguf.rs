//! Whether a file is a GGUF that llama.cpp can be trusted with.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::model::local;
use crate::chat::ChatError;

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
}

impl Fault {
    pub(super) fn into_chat_error(self, path: &Path, fetchable: bool) -> ChatError {
        let mended = matches!(self, Self::Missing | Self::NotGguf);
        local(path, &self.to_string(), fetchable && mended)
    }
}

/// Looks at the beginning of the file.
pub(super) fn check(path: &Path) -> Result<(), Fault> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::Missing,
        _ => Fault::Unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(Fault::Directory);
    }
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(Fault::Unreadable)?;
    match file.read_exact(&mut magic) {
        Ok(()) if &magic == b"GGUF" => Ok(()),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(Fault::Unreadable(error)),
        _ => Err(Fault::NotGguf),
    }
}
