//! Discord's voice protocol for bots that listen.
//!
//! [`connect`] joins a call with the values that Discord's main gateway gives a bot, and returns a
//! channel of [`VoiceEvent`]s: every Opus packet together with the user who sent it. End-to-end
//! encryption ([DAVE](https://daveprotocol.com)) is handled inside. The crate depends on no Discord
//! library, so it works beside serenity, twilight or a gateway client of your own; the crate's
//! README shows how to get the values from them.
//!
//! # Example
//!
//! ```no_run
//! use voice_receive::{ConnectOptions, ConnectionInfo, VoiceEvent, connect};
//!
//! # async fn listen(token: String) {
//! let info = ConnectionInfo {
//!     guild_id: 81384788765712384,
//!     channel_id: 381870553235193857,
//!     user_id: 159985870458322944,
//!     session_id: "30f32c5d54ae86130fc4a215c7474263".to_owned(),
//!     token: token.into(),
//!     endpoint: "sweetwater-12345.discord.media:2048".to_owned(),
//! };
//! let (_handle, mut events) = connect(info, ConnectOptions::default());
//! while let Some(event) = events.recv().await {
//!     match event {
//!         VoiceEvent::Packets(packets) => {
//!             for packet in packets {
//!                 println!("{} bytes of Opus from user {}", packet.opus.len(), packet.user_id);
//!             }
//!         }
//!         VoiceEvent::ConnectionLost { close_code, .. } => {
//!             println!("lost the call, close code {close_code:?}");
//!             break;
//!         }
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! `cargo run -p voice-receive --example who_speaks -- --sandbox` runs a longer example against a
//! simulated Discord on this machine.
//!
//! # What it does
//!
//! * The voice gateway, version 8
//!   ([Discord's documentation](https://discord.com/developers/docs/topics/voice-connections)):
//!   handshake, heartbeats, resuming, reconnecting with backoff.
//! * UDP with IP discovery, RTP ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550)) and both of
//!   Discord's transport ciphers, `aead_aes256_gcm_rtpsize` and `aead_xchacha20_poly1305_rtpsize`.
//! * DAVE: MLS groups ([RFC 9420](https://www.rfc-editor.org/rfc/rfc9420)), epochs, transitions
//!   between encrypted and unencrypted calls, recovery from commits that can't be processed.
//! * Attribution: the gateway announces which SSRC is whose, sometimes late or never. A packet of
//!   an unknown SSRC is attributed to the user whose DAVE key decrypts it, and that overrules the
//!   gateway. Until speaker and key are known, packets are buffered (2 s by default).
//! * Sending Opus packets at the pace of their durations ([`VoiceHandle::send_opus`]).
//!
//! # What it does not do
//!
//! * Join a channel. That is an Update Voice State command on the main gateway, which your Discord
//!   library sends.
//! * Decode or encode Opus, reorder packets, conceal losses, resample or mix. Packets come as they
//!   arrive from the network; feed them to a jitter buffer and a decoder.
//! * Video and screen sharing: their packets are counted as [`ReceiveStats::other`] and dropped.
//!
//! # States of a connection
//!
//! | State | Change | Event | Next state |
//! |---|---|---|---|
//! | connecting | the session is established | [`VoiceEvent::Connected`] | connected |
//! | connecting | all attempts failed, or a final close code | [`VoiceEvent::ConnectionLost`] | lost |
//! | connected | the gateway disconnects, the session is resumed | none | connected |
//! | connected | a new session is needed, or no packet came for 2 s while the gateway is away | [`VoiceEvent::Interrupted`] | connecting |
//! | connected | [`VoiceHandle::update`] | [`VoiceEvent::Interrupted`] | connecting |
//! | lost | [`VoiceHandle::update`] | none | connecting |
//!
//! [`VoiceEvent::Interrupted`] and [`VoiceEvent::ConnectionLost`] both carry the moment since which
//! nothing was received. After `Interrupted` the connection is made again without your help. After
//! `ConnectionLost` nothing happens until you give new values to [`VoiceHandle::update`], or drop
//! the handle. Known SSRCs, and keys of the same channel, survive all of this.
//!
//! Dropping the [`VoiceHandle`] leaves the voice server and ends the channel of events. Dropping
//! only the receiver of events does not: packets are then counted as [`ReceiveStats::overrun`].
//!
//! # Threads
//!
//! Each connection has one thread (named `voice`) that empties the UDP socket, decrypts and sends
//! packets on, and two tokio tasks: one for the gateway and one for sending. A busy runtime delays
//! these but loses no packets. Changes of the DAVE group take milliseconds in large calls and run
//! on tokio's blocking pool. [`connect`] must be called within a tokio runtime that has I/O and
//! time enabled.
//!
//! The channel of events holds 1,024 entries; the packets of one read are one entry. If you don't
//! receive from it, packets are dropped first (`overrun`); the last 64 entries are reserved for
//! other events, and when these are used up as well the gateway task waits for you and misses its
//! heartbeats.
//!
//! # Limits
//!
//! Everything that a hostile or broken peer could make grow is bounded:
//!
//! | What | Limit |
//! |---|---|
//! | Opus payload of a packet ([`MAX_OPUS_BYTES`]) | 2,048 bytes |
//! | Packets that wait for speaker or key | 65,536 packets, 16 MiB, 1,024 SSRCs, 256 packets per SSRC |
//! | Packets set aside during a change of DAVE keys | 16,384 |
//! | Known SSRCs | 4,096 |
//! | Users of a call | 10,000 |
//! | DAVE keys tried to find the sender of packets | 512 per packet, 5,000 per second |
//! | Gateway message | 1 MiB |
//! | Packets that wait to be sent | 3,000 (one minute of 20 ms) |
//!
//! # Errors
//!
//! [`connect`] returns at once and does not fail; what goes wrong arrives as
//! [`VoiceEvent::ConnectionLost`], with the [close
//! code](https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes)
//! if Discord closed the connection for good. Packets that can't be delivered are counted by cause
//! in [`VoiceHandle::stats`], never reported one by one. Details are logged through [`tracing`],
//! without tokens, keys or audio.
//!
//! # Reading the source
//!
//! `gateway_protocol` has the gateway's messages, `gateway_socket` one websocket, `gateway_driver`
//! the handshake and reconnecting (with `heartbeat`, `close_code`, `reconnect` and `ip_discovery`).
//! `rtp` and `transport_cipher` parse and decrypt datagrams, `dave_state` is the end-to-end
//! encryption, `ssrc_map` holds which user an SSRC belongs to, and `pending_packets` buffers what
//! can't be attributed yet; `depacketizer` puts these together and `udp_receiver` runs it on its
//! thread. `voice_sender` sends.

mod close_code;
mod dave_state;
mod depacketizer;
mod event;
mod gateway_driver;
mod gateway_protocol;
mod gateway_socket;
mod heartbeat;
mod ip_discovery;
mod liveness;
mod options;
mod pending_packets;
mod reconnect;
mod rtp;
mod ssrc_map;
mod stats;
mod transport_cipher;
mod udp_receiver;
mod voice_handle;
mod voice_sender;

pub use event::{MAX_OPUS_BYTES, OpusPacket, VoiceEvent};
pub use options::{ConnectOptions, ConnectionInfo};
pub use stats::ReceiveStats;
pub use voice_handle::{SendQueueFull, VoiceHandle, connect};

/// What the fuzz targets drive directly. Not part of the API: it may change in any release.
#[doc(hidden)]
pub mod internals {
    pub use crate::dave_state::{DaveState, DecryptError};
    pub use crate::depacketizer::Depacketizer;
    pub use crate::gateway_protocol::{
        ClientEvent, DaveEvent, EncodedEvent, MAX_DAVE_VERSION, ParseError, ServerEvent,
        parse_binary, parse_text,
    };
    pub use crate::transport_cipher::TransportCipher;
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
