//! What a driver tells of a call, as small messages. Nothing here waits or panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::flow::session::hearing::{Microphone, SessionClock};
use crate::flow::session::supervisor::Sign;
use audio::VoicePacket;

/// Where drivers tell what they hear, and how they fare.
pub(super) struct Tap {
    microphone: Microphone,
    clock: SessionClock,
    signs: mpsc::Sender<Sign>,
    /// When something came last, and when somebody was last said to speak, in milliseconds of the
    /// session.
    heard: AtomicU64,
    speaking: AtomicU64,
}

/// One Opus packet of one person.
pub(super) struct Packet {
    pub(super) person: u64,
    /// The RTP sequence number and timestamp.
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) opus: Bytes,
    /// When it came from the network.
    pub(super) received: Instant,
}

impl Tap {
    pub(super) fn new(
        microphone: Microphone,
        clock: SessionClock,
        signs: mpsc::Sender<Sign>,
    ) -> Arc<Self> {
        Arc::new(Self {
            microphone,
            clock,
            signs,
            heard: AtomicU64::new(0),
            speaking: AtomicU64::new(0),
        })
    }

    pub(super) fn clock(&self) -> SessionClock {
        self.clock
    }

    /// These were said.
    pub(super) fn packets(&self, packets: impl IntoIterator<Item = Packet>) {
        let packets = packets.into_iter().map(|packet| {
            let of = VoicePacket {
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                opus: packet.opus,
                received: self.clock.at_instant(packet.received),
            };
            (packet.person, of)
        });
        self.microphone.packets(packets);
    }

    /// Something came from the network, whoever said it.
    pub(super) fn hears(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    /// Somebody is said to speak.
    pub(super) fn speaks(&self) {
        self.speaking.store(self.now(), Ordering::Relaxed);
    }

    /// Somebody has left the call.
    pub(super) fn left(&self, person: u64) {
        self.microphone.over(person);
    }

    /// There is a connection.
    pub(super) fn connected(&self) {
        self.sign(Sign::Connected);
    }

    /// Nobody can be heard since then.
    pub(super) fn deaf(&self, since: Instant) {
        self.sign(Sign::Deaf(self.clock.at_instant(since)));
    }

    /// The connection is lost, and the driver does nothing about it.
    pub(super) fn lost(&self, code: Option<u16>) {
        self.sign(Sign::Lost(code));
    }

    /// Whether somebody was said to speak and nothing has come since.
    pub(super) fn speaks_unheard(&self) -> bool {
        self.speaking.load(Ordering::Relaxed) > self.heard.load(Ordering::Relaxed)
    }

    /// Whether something has come from the network after this time.
    pub(super) fn heard_after(&self, at: Duration) -> bool {
        u128::from(self.heard.load(Ordering::Relaxed)) > at.as_millis()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX)
    }

    fn sign(&self, sign: Sign) {
        if self.signs.try_send(sign).is_err() {
            tracing::warn!(?sign, "no room for a sign");
        }
    }
}
