//! Discord's voice protocol, as one who listens: a call in, who said which Opus packets out.
//!
//! ```no_run
//! # async fn listen(info: voice_receive::ConnectionInfo) {
//! use voice_receive::{Heard, Options, connect};
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
//!
//! In reading order: `wire` is what is said on the gateway, `socket` a connection to it, `close` and
//! `heartbeat` when it is over; `driver` gets a session and keeps it. `rtp` and `transport` are what
//! packets look like, `streams` whose they are, `keys` their end-to-end encryption, `waiting` where
//! they wait for either; `inbox` makes packets of people of datagrams, on the thread of `receiver`.
//! `mouth` speaks.

mod close;
mod counts;
mod discovery;
mod driver;
mod heard;
mod heartbeat;
pub mod inbox;
pub mod keys;
mod mouth;
mod options;
mod receiver;
mod reconnect;
pub mod rtp;
mod socket;
mod streams;
pub mod transport;
mod waiting;
pub mod wire;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};

use counts::Tallies;
use driver::Driver;
use inbox::Inbox;
use keys::Keys;
use mouth::Outlet;
use receiver::{Life, Receiver};

pub use counts::Counts;
pub use heard::{Heard, MAX_OPUS, Packet};
pub use options::Options;

/// Batches of packets and other things that wait for whoever listens.
const MAX_HEARD: usize = 1_024;

/// Orders that wait for the receiver.
const MAX_ORDERS: usize = 1_024;

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
pub struct Handle {
    info: watch::Sender<ConnectionInfo>,
    mouth: mpsc::Sender<Bytes>,
    tallies: Arc<Tallies>,
    life: Arc<Life>,
}

/// More waits to be said than there is room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more waits to be said than there is room for")]
pub struct Full;

impl Handle {
    /// The main gateway has told a new endpoint, token, session or channel. Whatever is connected,
    /// or has been lost, connects there; what was heard of people stays known.
    pub fn update(&self, info: ConnectionInfo) {
        self.info.send_replace(info);
    }

    /// Says an Opus packet after those that wait already, each when the one before is over. Once
    /// there is none, five packets of silence follow, as Discord asks.
    ///
    /// # Errors
    ///
    /// If too much waits to be said.
    pub fn say(&self, opus: Bytes) -> Result<(), Full> {
        self.mouth.try_send(opus).map_err(|_| Full)
    }

    /// What was counted since [`connect`], over all connections that were made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.tallies.read()
    }

    /// When both halves, the gateway's and the receiver's, last gave a sign of life. They give one
    /// at least twice a second.
    #[must_use]
    pub fn alive(&self) -> Instant {
        self.life.both()
    }
}

/// Connects to a call, and stays connected until the handle is dropped. Returns at once:
/// [`Heard::Connected`] or [`Heard::Lost`] says how it went. Has to be called within a tokio runtime.
#[must_use]
pub fn connect(info: ConnectionInfo, options: Options) -> (Handle, mpsc::Receiver<Heard>) {
    let (heard, listener) = mpsc::channel(MAX_HEARD);
    let (orders, ordered) = mpsc::channel(MAX_ORDERS);
    let (mouth, packets) = mpsc::channel(mouth::MAX_WAITING);
    let (speaks, speaking) = mpsc::channel(1);
    let life = Arc::new(Life::new());
    let keys = Arc::new(Mutex::new(Keys::new(info.user, info.channel)));
    let outlet = Arc::<Outlet>::default();
    let (info, told) = watch::channel(info);
    let inbox = Inbox::new(Arc::clone(&keys), options.patience, Instant::now());
    let tallies = inbox.tallies();
    let receiver = Receiver {
        inbox,
        orders: ordered,
        heard: heard.clone(),
        tallies: Arc::clone(&tallies),
        life: Arc::clone(&life),
    };
    if let Err(error) = receiver.start() {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "no thread to hear with");
        let since = Instant::now();
        let _ = heard.try_send(Heard::Lost { since, code: None });
    } else {
        tokio::spawn(mouth::talk(
            packets,
            speaks,
            Arc::clone(&outlet),
            Arc::clone(&keys),
        ));
        let driver = Driver {
            attempts: options.attempts,
            info: told,
            heard,
            orders,
            speaks: speaking,
            outlet,
            keys,
            tallies: Arc::clone(&tallies),
            life: Arc::clone(&life),
            session: None,
            deaf: false,
            connected: None,
        };
        tokio::spawn(driver.run());
    }
    let handle = Handle {
        info,
        mouth,
        tallies,
        life,
    };
    (handle, listener)
}
