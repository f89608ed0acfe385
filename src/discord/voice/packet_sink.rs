//! Where drivers deliver packets and connection events. Nothing here blocks or panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::flow::session::audio_worker::AudioInput;
use crate::flow::session::clock::SessionClock;
use crate::flow::session::supervisor::ConnectionEvent;
use crate::millis::to_millis;
use audio::VoicePacket;

/// Passes packets to the session's audio worker and connection events to its
/// [`Supervisor`](crate::flow::session::supervisor::Supervisor).
pub(super) struct PacketSink {
    microphone: AudioInput,
    clock: SessionClock,
    connection_events: mpsc::Sender<ConnectionEvent>,
    /// Time of the last packet and of the last speaking event, in milliseconds of session time.
    last_packet_ms: AtomicU64,
    last_speaking_ms: AtomicU64,
}

impl PacketSink {
    pub(super) fn new(
        microphone: AudioInput,
        clock: SessionClock,
        connection_events: mpsc::Sender<ConnectionEvent>,
    ) -> Arc<Self> {
        Arc::new(Self {
            microphone,
            clock,
            connection_events,
            last_packet_ms: AtomicU64::new(0),
            last_speaking_ms: AtomicU64::new(0),
        })
    }

    pub(super) fn clock(&self) -> SessionClock {
        self.clock
    }

    /// Passes on packets with their user IDs. Their receive time is session time: see
    /// [`clock`](Self::clock).
    pub(super) fn push_packets(&self, packets: impl IntoIterator<Item = (u64, VoicePacket)>) {
        self.microphone.push_packets(packets);
    }

    /// A packet arrived, no matter from whom.
    pub(super) fn on_network_packet(&self) {
        self.last_packet_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// The voice gateway announced that a user speaks.
    pub(super) fn on_speaking(&self) {
        self.last_speaking_ms
            .store(self.now_ms(), Ordering::Relaxed);
    }

    /// A user left the call.
    pub(super) fn on_user_left(&self, user_id: u64) {
        self.microphone.finish_speaker(user_id);
    }

    /// The driver is connected.
    pub(super) fn on_connected(&self) {
        self.send_event(ConnectionEvent::Connected);
    }

    /// Nobody can be heard since then; the driver reconnects by itself.
    pub(super) fn on_interrupted(&self, since: Instant) {
        self.send_event(ConnectionEvent::Interrupted(self.clock.elapsed_at(since)));
    }

    /// The driver lost the connection and does not reconnect. `code` is the voice close code.
    pub(super) fn on_connection_lost(&self, code: Option<u16>) {
        self.send_event(ConnectionEvent::Disconnected(code));
    }

    /// Whether a user was announced as speaking and no packet has arrived since.
    pub(super) fn has_unheard_speaker(&self) -> bool {
        self.last_speaking_ms.load(Ordering::Relaxed) > self.last_packet_ms.load(Ordering::Relaxed)
    }

    /// Whether a packet arrived after `at`, in session time.
    pub(super) fn has_received_after(&self, at: Duration) -> bool {
        u128::from(self.last_packet_ms.load(Ordering::Relaxed)) > at.as_millis()
    }

    fn now_ms(&self) -> u64 {
        to_millis(self.clock.elapsed())
    }

    fn send_event(&self, event: ConnectionEvent) {
        if self.connection_events.try_send(event).is_err() {
            tracing::warn!(sign = ?event, "connection event dropped: queue full");
        }
    }
}
