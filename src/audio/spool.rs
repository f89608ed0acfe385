//! Recordings that come piece by piece: from standard input, from the network.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};

use super::growth::Growth;
use super::{AudioError, Recording};

/// A recording that is still coming. It is kept in a temporary file, up to a limit. Dropped before
/// it is finished, it has broken off.
#[derive(Debug)]
pub struct Spool {
    file: File,
    path: Arc<TempPath>,
    written: u64,
    limit: u64,
    growth: Arc<Growth>,
}

impl Spool {
    /// Nothing has come yet; at most `limit` bytes may.
    ///
    /// # Errors
    ///
    /// [`AudioError::Unreadable`] if there can be no temporary file.
    pub fn new(limit: u64) -> Result<Self, AudioError> {
        let file = NamedTempFile::with_prefix("talkback-").map_err(AudioError::Unreadable)?;
        let (file, path) = file.into_parts();
        Ok(Self {
            file,
            path: Arc::new(path),
            written: 0,
            limit,
            growth: Arc::default(),
        })
    }

    /// Some more of it. Pieces are small and go to the system's memory first, so this may be called
    /// where nothing may block: another thread would cost more.
    ///
    /// # Errors
    ///
    /// [`AudioError::TooManyBytes`] beyond the limit, [`AudioError::Unreadable`] if the disk is full.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), AudioError> {
        self.written = self.written.saturating_add(piece.len() as u64);
        if self.written > self.limit {
            return Err(AudioError::TooManyBytes { limit: self.limit });
        }
        self.file.write_all(piece).map_err(AudioError::Unreadable)?;
        self.growth.grew(self.written);
        Ok(())
    }

    /// How many bytes have come.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What has come so far and will come: decoding it waits for the rest. `name` is what people
    /// call it.
    pub fn recording(&self, name: impl Into<String>) -> Recording {
        Recording::from_temporary(name, Arc::clone(&self.path)).growing(Arc::clone(&self.growth))
    }

    /// All of it has come. `name` is what people call it.
    ///
    /// # Errors
    ///
    /// [`AudioError::Unreadable`] if the disk is full.
    pub fn finish(mut self, name: impl Into<String>) -> Result<Recording, AudioError> {
        self.file.flush().map_err(AudioError::Unreadable)?;
        self.growth.is_whole_now();
        Ok(self.recording(name))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.growth.broke_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spooled_recording_goes_with_its_last_owner() {
        let mut spool = Spool::new(12).expect("a file");
        spool.write(b"twelve").expect("written");
        spool.write(b" bytes").expect("written");
        let recording = spool.finish("It").expect("finished");
        let path = recording.path().to_owned();
        assert_eq!(std::fs::read(&path).expect("there"), b"twelve bytes");
        drop(recording);
        assert!(!path.exists());
    }

    #[test]
    fn it_ends_at_the_limit() {
        let mut spool = Spool::new(11).expect("a file");
        spool.write(b"twelve").expect("written");
        let error = spool.write(b" bytes").expect_err("too much");
        assert!(matches!(error, AudioError::TooManyBytes { limit: 11 }));
    }
}
