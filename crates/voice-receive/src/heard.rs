//! What comes out of a call.

use std::time::Instant;

use bytes::Bytes;

/// Something heard of a call.
#[derive(Debug)]
pub enum Heard {
    /// A connection is made, and packets can be heard. Again after [`Heard::Deaf`] or
    /// [`Heard::Lost`].
    Connected,
    /// Packets of people who are known, in order for each stream.
    Packets(Vec<Packet>),
    /// The gateway says that somebody speaks. A packet of theirs may come sooner or later, or never.
    Speaks {
        /// Who.
        user: u64,
    },
    /// Somebody has left the call.
    Left {
        /// Who.
        user: u64,
    },
    /// Nobody can be heard since then. The connection is being made anew by itself.
    Deaf {
        /// When the last packet came, or the connection broke.
        since: Instant,
    },
    /// The connection is lost, and nothing is done about it before
    /// [`Handle::update`](super::Handle::update).
    Lost {
        /// Since when nobody can be heard.
        since: Instant,
        /// The close code, where Discord has closed it for good
        /// (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>).
        code: Option<u16>,
    },
}

/// One Opus packet of one person.
#[derive(Clone)]
pub struct Packet {
    /// Who said it.
    pub user: u64,
    /// The stream it belongs to. Somebody who comes back has a new one.
    pub ssrc: u32,
    /// Counts packets of the stream; wraps.
    pub sequence: u16,
    /// Counts samples of 48 kHz; wraps.
    pub timestamp: u32,
    /// What is in it: at most [`MAX_OPUS`] bytes.
    pub opus: Bytes,
    /// When it came from the network. It may have waited for its key since.
    pub received: Instant,
}

/// The most bytes of Opus in a packet: what fits into a datagram of Discord's.
pub const MAX_OPUS: usize = 2_048;

/// It is speech: only its size is told.
impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("user", &self.user)
            .field("ssrc", &self.ssrc)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("bytes", &self.opus.len())
            .finish_non_exhaustive()
    }
}
