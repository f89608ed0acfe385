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

mod close_code;
pub mod dave_state;
pub mod depacketizer;
mod event;
mod gateway_driver;
pub mod gateway_protocol;
mod gateway_socket;
mod heartbeat;
mod ip_discovery;
mod options;
mod pending_packets;
mod reconnect;
pub mod rtp;
mod ssrc_map;
mod stats;
pub mod transport_cipher;
mod udp_receiver;
mod voice_sender;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};

use dave_state::DaveState;
use depacketizer::Depacketizer;
use gateway_driver::GatewayDriver;
use stats::ReceiveCounters;
use udp_receiver::{Liveness, UdpReceiver};
use voice_sender::VoiceSender;

pub use event::{MAX_OPUS_BYTES, OpusPacket, VoiceEvent};
pub use options::ConnectOptions;
pub use stats::ReceiveStats;

/// Batches of packets and other things that wait for whoever listens.
const MAX_QUEUED_EVENTS: usize = 1_024;

/// Orders that wait for the receiver.
const MAX_QUEUED_COMMANDS: usize = 1_024;

/// Where a call is, and as whom to come to it: what the main gateway tells in VOICE_SERVER_UPDATE
/// and VOICE_STATE_UPDATE.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The server.
    pub guild_id: u64,
    /// The voice channel.
    pub channel_id: u64,
    /// Who we are.
    pub user_id: u64,
    /// The id of our session in VOICE_STATE_UPDATE.
    pub session_id: String,
    /// What proves that we are let in.
    pub token: SecretString,
    /// Host, and port if it is not 443.
    pub endpoint: String,
}

/// A connection to a call. Dropping it leaves the call.
#[derive(Debug)]
pub struct VoiceHandle {
    info: watch::Sender<ConnectionInfo>,
    outgoing: mpsc::Sender<Bytes>,
    counters: Arc<ReceiveCounters>,
    liveness: Arc<Liveness>,
}

/// More waits to be said than there is room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more waits to be said than there is room for")]
pub struct SendQueueFull;

impl VoiceHandle {
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
    pub fn send_opus(&self, opus: Bytes) -> Result<(), SendQueueFull> {
        self.outgoing.try_send(opus).map_err(|_| SendQueueFull)
    }

    /// What was counted since [`connect`], over all connections that were made.
    #[must_use]
    pub fn stats(&self) -> ReceiveStats {
        self.counters.snapshot()
    }

    /// When both halves, the gateway's and the receiver's, last gave a sign of life. They give one
    /// at least twice a second.
    #[must_use]
    pub fn last_alive(&self) -> Instant {
        self.liveness.last_alive()
    }
}

/// Connects to a call, and stays connected until the handle is dropped. Returns at once:
/// [`VoiceEvent::ShardReady`] or [`VoiceEvent::GatewayDisconnect`] says how it went. Has to be called within a tokio runtime.
#[must_use]
pub fn connect(
    info: ConnectionInfo,
    options: ConnectOptions,
) -> (VoiceHandle, mpsc::Receiver<VoiceEvent>) {
    let (heard, listener) = mpsc::channel(MAX_QUEUED_EVENTS);
    let (orders, ordered) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let (mouth, packets) = mpsc::channel(voice_sender::MAX_QUEUED_PACKETS);
    let (speaks, speaking) = mpsc::channel(1);
    let life = Arc::new(Liveness::new());
    let keys = Arc::new(Mutex::new(DaveState::new(info.user_id, info.channel_id)));
    let outlet = Arc::<VoiceSender>::default();
    let (info, told) = watch::channel(info);
    let inbox = Depacketizer::new(Arc::clone(&keys), options.pending_timeout, Instant::now());
    let tallies = inbox.counters();
    let receiver = UdpReceiver {
        depacketizer: inbox,
        commands: ordered,
        events: heard.clone(),
        counters: Arc::clone(&tallies),
        liveness: Arc::clone(&life),
    };
    if let Err(error) = receiver.start() {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "no thread to hear with");
        let since = Instant::now();
        let _ = heard.try_send(VoiceEvent::ConnectionLost {
            since,
            close_code: None,
        });
    } else {
        tokio::spawn(voice_sender::run_voice_sender(
            packets,
            speaks,
            Arc::clone(&outlet),
            Arc::clone(&keys),
        ));
        let driver = GatewayDriver {
            max_connect_attempts: options.max_connect_attempts,
            info: told,
            events: heard,
            commands: orders,
            speaking_updates: speaking,
            sender: outlet,
            dave: keys,
            counters: Arc::clone(&tallies),
            liveness: Arc::clone(&life),
            session: None,
            is_interrupted: false,
            connected_since: None,
        };
        tokio::spawn(driver.run());
    }
    let handle = VoiceHandle {
        info,
        outgoing: mouth,
        counters: tallies,
        liveness: life,
    };
    (handle, listener)
}
