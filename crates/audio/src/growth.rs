//! A recording that is still being made: what has come of it can be decoded already.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::speech_file::FileReader;

/// The longest time in which nothing more comes.
const STALL: Duration = Duration::from_secs(30);

/// How far a file has grown, for whoever reads behind whoever writes.
#[derive(Debug, Default)]
pub(super) struct Growth {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    written: u64,
    end: Option<End>,
    /// Whether somebody waits for all of it.
    #[cfg(test)]
    awaited: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Whole,
    BrokenOff,
}

impl Growth {
    pub(super) fn grew(&self, written: u64) {
        self.state().written = written;
        self.more.notify_all();
    }

    /// Nothing more comes: all of it has come.
    pub(super) fn is_whole_now(&self) {
        self.end(End::Whole);
    }

    /// Nothing more comes: whoever wrote has gone. Of no effect on what is whole.
    pub(super) fn broke_off(&self) {
        self.end(End::BrokenOff);
    }

    fn end(&self, how: End) {
        self.state().end.get_or_insert(how);
        self.more.notify_all();
    }

    pub(super) fn is_whole(&self) -> bool {
        self.state().end == Some(End::Whole)
    }

    /// Waits until so many bytes have come, or all of it; gives how many there are. Blocking.
    ///
    /// # Errors
    ///
    /// If it broke off, or nothing comes for too long.
    pub(super) fn wait_for(&self, bytes: u64) -> io::Result<u64> {
        let mut state = self.state();
        while state.written < bytes {
            match state.end {
                Some(End::Whole) => break,
                Some(End::BrokenOff) => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => {}
            }
            let before = state.written;
            let (now, waited) = self
                .more
                .wait_timeout(state, STALL)
                .unwrap_or_else(PoisonError::into_inner);
            state = now;
            if waited.timed_out() && state.written == before && state.end.is_none() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(state.written)
    }

    /// Waits until all of it has come. Blocking.
    ///
    /// # Errors
    ///
    /// Those of [`Self::wait_for`].
    pub(super) fn wait_until_whole(&self) -> io::Result<()> {
        #[cfg(test)]
        {
            self.state().awaited = true;
        }
        self.wait_for(u64::MAX).map(drop)
    }

    #[cfg(test)]
    pub(super) fn is_awaited_whole(&self) -> bool {
        self.state().awaited
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is read from its beginning while it grows.
#[derive(Debug)]
pub(super) struct GrowingFile {
    file: FileReader,
    read: u64,
    growth: Arc<Growth>,
}

impl GrowingFile {
    pub(super) fn new(file: FileReader, growth: Arc<Growth>) -> Self {
        Self {
            file,
            read: 0,
            growth,
        }
    }
}

impl Read for GrowingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.growth.wait_for(self.read + 1)? - self.read;
        let most = usize::try_from(there).map_or(buffer.len(), |there| buffer.len().min(there));
        let read = self.file.read(&mut buffer[..most])?;
        self.read += read as u64;
        Ok(read)
    }
}
