//! Discord's voice protocol, as one who listens: a call in, who said which Opus packets out.
//!
//! ```no_run
//! # async fn listen(info: talkback::voice::ConnectionInfo) {
//! use talkback::voice::{Heard, Options, connect};
//! let (_handle, mut heard) = connect(info, Options::default());
//! while let Some(heard) = heard.recv().await {
//!     if let Heard::Packets(packets) = heard {
//!         for packet in packets {
//!             println!("{} bytes of Opus from {}", packet.opus.len(), packet.user);
//!         }
//!     }
//! }
//! # }
//! ```

mod counts;
mod heard;
mod options;

use secrecy::SecretString;
use tokio::sync::mpsc;

pub use counts::Counts;
pub use heard::{Heard, MAX_OPUS, Packet};
pub use options::Options;

/// Where a call is, and as whom to come to it: what the main gateway tells in VOICE_SERVER_UPDATE
/// and VOICE_STATE_UPDATE.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The server.
    pub guild: u64,
    /// The voice channel.
    pub channel: u64,
    /// Who we are.
    pub user: u64,
    /// The id of our session in VOICE_STATE_UPDATE.
    pub session: String,
    /// What proves that we are let in.
    pub token: SecretString,
    /// Host, and port if it is not 443.
    pub endpoint: String,
}

/// A connection to a call. Dropping it leaves the call.
#[derive(Debug)]
pub struct Handle {}

/// More waits to be said than there is room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more waits to be said than there is room for")]
pub struct Full;

impl Handle {
    /// The main gateway has told a new endpoint, token, session or channel. Whatever is connected,
    /// or has been lost, connects there; what was heard of people stays known.
    pub fn update(&self, info: ConnectionInfo) {
        let _ = info;
    }

    /// Says an Opus packet after those that wait already, each when the one before is over. Once
    /// there is none, five packets of silence follow, as Discord asks.
    ///
    /// # Errors
    ///
    /// If too much waits to be said.
    pub fn say(&self, opus: bytes::Bytes) -> Result<(), Full> {
        let _ = opus;
        Err(Full)
    }

    /// What was counted since [`connect`], over all connections that were made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// When both halves, the gateway's and the receiver's, last gave a sign of life. They give one
    /// at least twice a second.
    #[must_use]
    pub fn alive(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}

/// Connects to a call, and stays connected until the handle is dropped. Returns at once:
/// [`Heard::Connected`] or [`Heard::Lost`] says how it went. Has to be called within a tokio runtime.
#[must_use]
pub fn connect(info: ConnectionInfo, options: Options) -> (Handle, mpsc::Receiver<Heard>) {
    let _ = (info, options);
    let (_sender, receiver) = mpsc::channel(1);
    (Handle {}, receiver)
}
