//! [`connect`], which starts the tasks and the thread of a connection, and the handle it returns.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::dave_state::DaveState;
use super::depacketizer::Depacketizer;
use super::event::VoiceEvent;
use super::gateway_driver::GatewayDriver;
use super::liveness::Liveness;
use super::options::{ConnectOptions, ConnectionInfo};
use super::stats::{ReceiveCounters, ReceiveStats};
use super::udp_receiver::UdpReceiver;
use super::voice_sender::{self, VoiceSender};

/// Events that wait for the caller; a batch of packets is one.
const MAX_QUEUED_EVENTS: usize = 1_024;

/// Commands from the gateway task that wait for the receive thread.
const MAX_QUEUED_COMMANDS: usize = 1_024;

/// A connection to a call. Dropping it leaves the call.
#[derive(Debug)]
pub struct VoiceHandle {
    info: watch::Sender<ConnectionInfo>,
    outgoing: mpsc::Sender<Bytes>,
    counters: Arc<ReceiveCounters>,
    liveness: Arc<Liveness>,
}

/// The queue of packets to be sent is full, or the connection has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many packets wait to be sent")]
pub struct SendQueueFull;

impl VoiceHandle {
    /// Moves the connection to a new endpoint, token, session or channel. Call it for every Voice
    /// Server Update and every change of the bot's own channel or session. Also reconnects after
    /// [`VoiceEvent::ConnectionLost`]. The known SSRCs and, within the same channel, the keys are
    /// kept.
    pub fn update(&self, info: ConnectionInfo) {
        self.info.send_replace(info);
    }

    /// Queues one Opus packet (48 kHz, 2.5 to 120 ms). Packets are sent at the pace of their
    /// durations; the speaking indicator is set while there are any. When the queue runs empty,
    /// five packets of silence follow, as [Discord
    /// asks](https://discord.com/developers/docs/topics/voice-connections#voice-data-interpolation).
    ///
    /// # Errors
    ///
    /// [`SendQueueFull`] if 3,000 packets are waiting already, or the connection has ended.
    pub fn send_opus(&self, opus: Bytes) -> Result<(), SendQueueFull> {
        self.outgoing.try_send(opus).map_err(|_| SendQueueFull)
    }

    /// The counters since [`connect`], over all reconnects.
    #[must_use]
    pub fn stats(&self) -> ReceiveStats {
        self.counters.snapshot()
    }

    /// When the gateway task and the receive thread were both last seen running. Each reports at
    /// least twice a second whether or not there is traffic, so an old value means a stalled
    /// process.
    #[must_use]
    pub fn last_alive(&self) -> Instant {
        self.liveness.last_alive()
    }
}

/// Connects to a call and stays connected until the handle is dropped. Returns at once:
/// [`VoiceEvent::Connected`] or [`VoiceEvent::ConnectionLost`] follows.
///
/// # Panics
///
/// Outside of a tokio runtime.
#[must_use]
pub fn connect(
    info: ConnectionInfo,
    options: ConnectOptions,
) -> (VoiceHandle, mpsc::Receiver<VoiceEvent>) {
    let (events, events_rx) = mpsc::channel(MAX_QUEUED_EVENTS);
    let (commands, commands_rx) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let (outgoing, outgoing_rx) = mpsc::channel(voice_sender::MAX_QUEUED_PACKETS);
    let (speaking, speaking_rx) = mpsc::channel(1);
    let liveness = Arc::new(Liveness::new());
    let dave = Arc::new(Mutex::new(DaveState::new(info.user_id, info.channel_id)));
    let sender = Arc::<VoiceSender>::default();
    let (info, info_rx) = watch::channel(info);
    let depacketizer =
        Depacketizer::new(Arc::clone(&dave), options.pending_timeout, Instant::now());
    let counters = depacketizer.counters();
    let receiver = UdpReceiver {
        depacketizer,
        commands: commands_rx,
        events: events.clone(),
        counters: Arc::clone(&counters),
        liveness: Arc::clone(&liveness),
    };
    if let Err(error) = receiver.start() {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "can't start the voice receive thread");
        let since = Instant::now();
        let _ = events.try_send(VoiceEvent::ConnectionLost {
            since,
            close_code: None,
        });
    } else {
        tokio::spawn(voice_sender::run_voice_sender(
            outgoing_rx,
            speaking,
            Arc::clone(&sender),
            Arc::clone(&dave),
        ));
        let driver = GatewayDriver {
            max_connect_attempts: options.max_connect_attempts,
            info: info_rx,
            events,
            commands,
            speaking_updates: speaking_rx,
            sender,
            dave,
            counters: Arc::clone(&counters),
            liveness: Arc::clone(&liveness),
            session: None,
            is_interrupted: false,
            connected_since: None,
        };
        tokio::spawn(driver.run());
    }
    let handle = VoiceHandle {
        info,
        outgoing,
        counters,
        liveness,
    };
    (handle, events_rx)
}
