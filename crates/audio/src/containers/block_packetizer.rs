//! Splits a stream of equally sized blocks into packets.

use std::io::{self, Read};

use symphonia::core::errors::Result;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::wave_format::blocks_at_once;

/// Splits a stream of equally sized blocks into packets.
#[derive(Debug)]
pub(super) struct BlockPacketizer {
    block_bytes: u32,
    block_frames: u32,
    /// Timestamp of the next packet, in frames.
    next_time: u64,
}

impl BlockPacketizer {
    /// For blocks of `bytes` bytes with `frames` frames each; `None` if either is zero.
    pub(super) fn new(bytes: u32, frames: u32) -> Option<Self> {
        (bytes > 0 && frames > 0).then_some(Self {
            block_bytes: bytes,
            block_frames: frames,
            next_time: 0,
        })
    }

    /// The next packet, with as many complete blocks as fit and are available.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if only a partial block is left.
    pub(super) fn next_packet(&mut self, stream: &mut impl Read) -> Result<Option<Packet>> {
        let most = u64::from(self.block_bytes) * u64::from(blocks_at_once(self.block_frames));
        let mut data = super::byte_order::read_up_to(stream, most)?;
        if data.is_empty() {
            return Ok(None);
        }
        let blocks = data.len() as u64 / u64::from(self.block_bytes);
        if blocks == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        data.truncate((blocks * u64::from(self.block_bytes)) as usize);
        let frames = blocks * u64::from(self.block_frames);
        let timestamp = Timestamp::new(i64::try_from(self.next_time).unwrap_or(i64::MAX));
        self.next_time += frames;
        Ok(Some(Packet::new(0, timestamp, Duration::new(frames), data)))
    }
}
