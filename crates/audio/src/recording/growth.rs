//! Write progress of a recording that is decoded while it is still being written.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::unnamed_file::FileReader;

/// How long a reader waits without any new bytes before it gives up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Write progress of a file, shared between its writer and its readers.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    state: Mutex<GrowthState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct GrowthState {
    written: u64,
    end: Option<GrowthEnd>,
    /// Whether a reader is waiting for the complete file.
    #[cfg(test)]
    is_waited_for: bool,
}

/// How writing ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum GrowthEnd {
    Complete,
    Aborted,
}

impl Growth {
    pub(crate) fn set_written(&self, written: u64) {
        self.lock_state().written = written;
        self.changed.notify_all();
    }

    /// The file is complete.
    pub(crate) fn mark_complete(&self) {
        self.set_end(GrowthEnd::Complete);
    }

    /// The writer has gone away. Has no effect on a complete file.
    pub(crate) fn mark_aborted(&self) {
        self.set_end(GrowthEnd::Aborted);
    }

    fn set_end(&self, how: GrowthEnd) {
        self.lock_state().end.get_or_insert(how);
        self.changed.notify_all();
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.lock_state().end == Some(GrowthEnd::Complete)
    }

    /// Blocks until `bytes` bytes are written or the file is complete; returns the number of bytes
    /// written.
    ///
    /// # Errors
    ///
    /// If the writer went away, or wrote nothing for 30 s.
    pub(crate) fn wait_for(&self, bytes: u64) -> io::Result<u64> {
        let mut state = self.lock_state();
        while state.written < bytes {
            match state.end {
                Some(GrowthEnd::Complete) => break,
                Some(GrowthEnd::Aborted) => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => {}
            }
            let before = state.written;
            let (now, waited) = self
                .changed
                .wait_timeout(state, STALL_TIMEOUT)
                .unwrap_or_else(PoisonError::into_inner);
            state = now;
            if waited.timed_out() && state.written == before && state.end.is_none() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(state.written)
    }

    /// Blocks until the file is complete.
    ///
    /// # Errors
    ///
    /// Those of [`Self::wait_for`].
    pub(crate) fn wait_until_complete(&self) -> io::Result<()> {
        #[cfg(test)]
        {
            self.lock_state().is_waited_for = true;
        }
        self.wait_for(u64::MAX).map(drop)
    }

    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.lock_state().is_waited_for
    }

    fn lock_state(&self) -> MutexGuard<'_, GrowthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file from its beginning while it is still being written.
#[derive(Debug)]
pub(crate) struct GrowingFile {
    file: FileReader,
    position: u64,
    growth: Arc<Growth>,
}

impl GrowingFile {
    pub(crate) fn new(file: FileReader, growth: Arc<Growth>) -> Self {
        Self {
            file,
            position: 0,
            growth,
        }
    }
}

impl Read for GrowingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.growth.wait_for(self.position + 1)? - self.position;
        let most = usize::try_from(there).map_or(buffer.len(), |there| buffer.len().min(there));
        let read = self.file.read(&mut buffer[..most])?;
        self.position += read as u64;
        Ok(read)
    }
}
