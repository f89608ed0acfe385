//! What the caller receives from a connection.

use std::time::Instant;

use bytes::Bytes;

/// Something that happened in a call.
#[derive(Debug)]
pub enum VoiceEvent {
    /// The connection is established and packets can be received. Sent again after
    /// [`VoiceEvent::Interrupted`] or [`VoiceEvent::ConnectionLost`].
    Connected,
    /// Packets whose user is known, in the order in which they arrived. Packets that were
    /// buffered until their speaker or key was known come in order of their sequence numbers.
    Packets(Vec<OpusPacket>),
    /// A user has started to speak, according to the gateway (the client's speaking flag). Their
    /// packets may come before, after or not at all, so take the packets themselves for speech.
    Speaking {
        /// The user's id.
        user_id: u64,
    },
    /// A user has left the call.
    UserLeft {
        /// The user's id.
        user_id: u64,
    },
    /// Nothing can be received at the moment. The driver reconnects by itself:
    /// [`VoiceEvent::Connected`] or [`VoiceEvent::ConnectionLost`] follows.
    Interrupted {
        /// When the connection broke, or the last packet came if that was later.
        since: Instant,
    },
    /// The connection is lost: all attempts failed, or Discord closed it for good. Nothing happens
    /// before [`VoiceHandle::update`](super::VoiceHandle::update).
    ConnectionLost {
        /// When the connection broke, or the last packet came if that was later.
        since: Instant,
        /// Discord's [close
        /// code](https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes)
        /// of the last attempt, if there was one.
        close_code: Option<u16>,
    },
}

/// One Opus packet of one user, decrypted.
#[derive(Clone)]
pub struct OpusPacket {
    /// The user who sent it.
    pub user_id: u64,
    /// The RTP stream it belongs to. A user who leaves and comes back has a new one.
    pub ssrc: u32,
    /// The RTP sequence number: counts the packets of a stream and wraps
    /// ([RFC 3550, section 5.1](https://www.rfc-editor.org/rfc/rfc3550#section-5.1)).
    pub sequence: u16,
    /// The RTP timestamp of the first sample, in samples at 48 kHz. Wraps.
    pub timestamp: u32,
    /// The Opus packet, 1 to [`MAX_OPUS_BYTES`] bytes. A client that stops speaking sends five
    /// packets of silence (`f8 ff fe`); they are delivered like any other.
    pub opus: Bytes,
    /// When the datagram was read from the socket. If the packet was buffered, that is earlier than
    /// its delivery.
    pub received: Instant,
}

/// The largest Opus packet that is delivered, in bytes: what fits into the largest datagram read.
pub const MAX_OPUS_BYTES: usize = 2_048;

/// Shows the size of the audio, not the audio.
impl std::fmt::Debug for OpusPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusPacket")
            .field("user_id", &self.user_id)
            .field("ssrc", &self.ssrc)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("bytes", &self.opus.len())
            .finish_non_exhaustive()
    }
}
