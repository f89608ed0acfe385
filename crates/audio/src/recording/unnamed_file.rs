//! Unnamed temporary files. Speech is written to disk nowhere else.
//!
//! On Unix such a file never has a name, or loses it before the first byte is written; on Windows
//! it is deleted with its last handle. A killed process leaves nothing behind.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use symphonia::core::io::MediaSource;

/// A file without a name. Cloning shares it; it is deleted with the last clone and reader.
#[derive(Clone, Debug)]
pub(crate) struct UnnamedFile(Arc<File>);

impl UnnamedFile {
    /// An empty file in the temporary directory.
    pub(crate) fn new() -> io::Result<Self> {
        tempfile::tempfile().map(|file| Self(Arc::new(file)))
    }

    /// Writes all of `bytes` at offset `at`.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match write_at(&self.0, &bytes[done..], at + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A reader that starts at the beginning.
    pub(crate) fn reader(&self) -> FileReader {
        FileReader::new(Arc::clone(&self.0))
    }
}

/// Reads a file from its own position, independent of other readers and writers.
#[derive(Clone, Debug)]
pub struct FileReader {
    file: Arc<File>,
    position: u64,
}

impl FileReader {
    pub(crate) fn new(file: Arc<File>) -> Self {
        Self { file, position: 0 }
    }

    /// Current length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|it| it.len())
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = read_at(&self.file, buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length()?.checked_add_signed(by),
        };
        self.position = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for FileReader {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.length().ok()
    }
}

#[cfg(unix)]
use std::os::unix::fs::FileExt as _;

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(buffer, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    file.write_at(bytes, at)
}

#[cfg(windows)]
use std::os::windows::fs::FileExt as _;

// Both also move the position of the file handle, which nothing relies on.
#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(buffer, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    file.seek_write(bytes, at)
}

#[cfg(test)]
mod tests;
