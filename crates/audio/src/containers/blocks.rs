//! A stream of blocks that all have the same size becomes packets.

use std::io::{self, Read};

use symphonia::core::errors::Result;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::waveformat::blocks_at_once;

/// Cuts a stream of equal blocks into packets.
#[derive(Debug)]
pub(super) struct Blocks {
    bytes: u32,
    frames: u32,
    /// Frames so far.
    at: u64,
}

impl Blocks {
    /// Blocks of so many bytes, each with so many frames. None if they are empty.
    pub(super) fn new(bytes: u32, frames: u32) -> Option<Self> {
        (bytes > 0 && frames > 0).then_some(Self {
            bytes,
            frames,
            at: 0,
        })
    }

    /// The next packet: as many whole blocks as fit in, and are there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if not a single whole block is left, but a part of one.
    pub(super) fn next_packet(&mut self, stream: &mut impl Read) -> Result<Option<Packet>> {
        let most = u64::from(self.bytes) * u64::from(blocks_at_once(self.frames));
        let mut data = super::fields::up_to(stream, most)?;
        if data.is_empty() {
            return Ok(None);
        }
        let blocks = data.len() as u64 / u64::from(self.bytes);
        if blocks == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        data.truncate((blocks * u64::from(self.bytes)) as usize);
        let frames = blocks * u64::from(self.frames);
        let begins = Timestamp::new(i64::try_from(self.at).unwrap_or(i64::MAX));
        self.at += frames;
        Ok(Some(Packet::new(0, begins, Duration::new(frames), data)))
    }
}
