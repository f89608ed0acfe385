//! Random access to the bytes of a recording, complete or still being written.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use symphonia::core::io::MediaSource;

use crate::recording::growth::Growth;
use crate::recording::unnamed_file::FileReader;

/// Reads a recording at any position. While it is still being written, reads block until the bytes
/// have arrived.
#[derive(Debug)]
pub(crate) struct RecordingSource {
    file: FileReader,
    growth: Option<Arc<Growth>>,
    at: u64,
    length: Option<u64>,
}

impl RecordingSource {
    pub(crate) fn new(file: FileReader, growth: Option<Arc<Growth>>) -> io::Result<Self> {
        let length = match &growth {
            Some(_) => None,
            None => Some(file.length()?),
        };
        Ok(Self {
            file,
            growth,
            at: 0,
            length,
        })
    }

    /// An independent reader of the same recording, at its beginning.
    pub(crate) fn reopen(&self) -> Self {
        Self {
            file: self.file.clone(),
            growth: self.growth.clone(),
            at: 0,
            length: self.length,
        }
    }

    /// Length in bytes; unknown while the recording is still being written.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Read for RecordingSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut most = buffer.len();
        if let Some(growth) = &self.growth {
            let there = growth.wait_for(self.at.saturating_add(1))?;
            let there = there.saturating_sub(self.at);
            most = usize::try_from(there).map_or(most, |there| most.min(there));
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for RecordingSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                let length = self.length.ok_or(io::ErrorKind::Unsupported)?;
                length.checked_add_signed(by)
            }
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for RecordingSource {
    fn is_seekable(&self) -> bool {
        self.length.is_some()
    }

    fn byte_len(&self) -> Option<u64> {
        self.length
    }
}

/// A part of a recording, presented as a file of its own.
#[derive(Debug)]
pub(crate) struct RecordingSlice {
    source: RecordingSource,
    start: u64,
    end: Option<u64>,
}

impl RecordingSlice {
    /// The part from offset `start` to `end`, or to the end of the recording.
    pub(crate) fn new(
        mut source: RecordingSource,
        start: u64,
        end: Option<u64>,
    ) -> io::Result<Self> {
        source.seek(SeekFrom::Start(start))?;
        Ok(Self { source, start, end })
    }
}

impl Read for RecordingSlice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut most = buffer.len();
        if let Some(end) = self.end {
            let left = end.saturating_sub(self.source.at);
            most = usize::try_from(left).map_or(most, |left| most.min(left));
            if most == 0 {
                return Ok(0);
            }
        }
        self.source.read(&mut buffer[..most])
    }
}

impl Seek for RecordingSlice {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => self.start.checked_add(at),
            SeekFrom::Current(by) => self.source.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                let length = self.byte_len().ok_or(io::ErrorKind::Unsupported)?;
                (self.start + length).checked_add_signed(by)
            }
        };
        let at = at.filter(|at| *at >= self.start);
        let at = self
            .source
            .seek(SeekFrom::Start(at.ok_or(io::ErrorKind::InvalidInput)?))?;
        Ok(at - self.start)
    }
}

impl MediaSource for RecordingSlice {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        let length = self.source.length()?;
        let end = self.end.map_or(length, |end| end.min(length));
        Some(end.saturating_sub(self.start))
    }
}
