//! What comes out of a call.

use std::time::Instant;

use bytes::Bytes;

/// Something heard of a call.
#[derive(Debug)]
pub enum VoiceEvent {
    /// A connection is made, and packets can be heard. Again after [`VoiceEvent::FailingTranscriber`] or
    /// [`VoiceEvent::GatewayDisconnect`].
    Connected,
    /// Packets of people who are known, in order for each stream.
    Packets(Vec<OpusPacket>),
    /// The gateway says that somebody speaks. A packet of theirs may come sooner or later, or never.
    Speaking {
        /// Who.
        user_id: u64,
    },
    /// Somebody has left the call.
    UserLeft {
        /// Who.
        user_id: u64,
    },
    /// Nobody can be heard since then. The connection is being made anew by itself.
    Interrupted {
        /// When the last packet came, or the connection broke.
        since: Instant,
    },
    /// The connection is lost, and nothing is done about it before
    /// [`VoiceHandle::update`](super::VoiceHandle::update).
    ConnectionLost {
        /// Since when nobody can be heard.
        since: Instant,
        /// The close code, where Discord has closed it for good
        /// (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>).
        close_code: Option<u16>,
    },
}

/// One Opus packet of one person.
#[derive(Clone)]
pub struct OpusPacket {
    /// Who said it.
    pub user_id: u64,
    /// The stream it belongs to. Somebody who comes back has a new one.
    pub ssrc: u32,
    /// Counts packets of the stream; wraps.
    pub sequence: u16,
    /// Counts samples of 48 kHz; wraps.
    pub timestamp: u32,
    /// What is in it: at most [`MAX_OPUS_BYTES`] bytes.
    pub opus: Bytes,
    /// When it came from the network. It may have waited for its key since.
    pub received: Instant,
}

/// The most bytes of Opus in a packet: what fits into a datagram of Discord's.
pub const MAX_OPUS_BYTES: usize = 2_048;

/// It is speech: only its size is told.
impl std::fmt::Debug for OpusPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("user", &self.user_id)
            .field("ssrc", &self.ssrc)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("bytes", &self.opus.len())
            .finish_non_exhaustive()
    }
}
