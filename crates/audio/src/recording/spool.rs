//! Recordings that arrive in pieces, from standard input or the network.

use std::sync::Arc;

use super::growth::Growth;
use super::unnamed_file::UnnamedFile;
use crate::{AudioError, Recording};

/// A recording that is still arriving, kept in an unnamed file up to a size limit. Dropping it
/// before [`finish`](Self::finish) makes its readers fail.
#[derive(Debug)]
pub struct Spool {
    file: UnnamedFile,
    written: u64,
    limit: u64,
    growth: Arc<Growth>,
}

impl Spool {
    /// An empty recording of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`AudioError::Unreadable`] if no temporary file can be created.
    pub fn new(limit: u64) -> Result<Self, AudioError> {
        Ok(Self {
            file: UnnamedFile::new().map_err(AudioError::Unreadable)?,
            written: 0,
            limit,
            growth: Arc::default(),
        })
    }

    /// Appends the next bytes. They are few and land in the page cache first, so this may be called
    /// from async code: moving it to another thread would cost more.
    ///
    /// # Errors
    ///
    /// [`AudioError::TooManyBytes`] beyond the limit, [`AudioError::Unreadable`] if writing fails,
    /// for example because the disk is full.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), AudioError> {
        let before = self.written;
        self.written = before.saturating_add(piece.len() as u64);
        if self.written > self.limit {
            return Err(AudioError::TooManyBytes { limit: self.limit });
        }
        let written = self.file.write(before, piece);
        written.map_err(AudioError::Unreadable)?;
        self.growth.set_written(self.written);
        Ok(())
    }

    /// Number of bytes received so far.
    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    /// The recording for decoding while it is still arriving: readers wait for the rest. `name` is
    /// shown to users.
    pub fn recording(&self, name: impl Into<String>) -> Recording {
        Recording::from_spool(name.into(), self.file.clone(), Arc::clone(&self.growth))
    }

    /// Marks the recording as complete. `name` is shown to users.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn finish(self, name: impl Into<String>) -> Result<Recording, AudioError> {
        self.growth.mark_complete();
        Ok(self.recording(name))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.growth.mark_aborted();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_spooled_recording_contains_what_was_written() {
        let mut spool = Spool::new(12).expect("a file");
        spool.write(b"twelve").expect("written");
        spool.write(b" bytes").expect("written");
        let recording = spool.finish("It").expect("finished");
        let mut bytes = Vec::new();
        let mut reader = recording.open().expect("there");
        reader.read_to_end(&mut bytes).expect("read");
        assert_eq!(bytes, b"twelve bytes");
    }

    #[test]
    fn writing_beyond_the_limit_fails() {
        let mut spool = Spool::new(11).expect("a file");
        spool.write(b"twelve").expect("written");
        let error = spool.write(b" bytes").expect_err("too much");
        assert!(matches!(error, AudioError::TooManyBytes { limit: 11 }));
    }
}
