//! When the gateway task and the receive thread last ran, and when the last packet was delivered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Three moments, each in milliseconds since `origin`.
#[derive(Debug)]
pub(super) struct Liveness {
    origin: Instant,
    gateway: AtomicU64,
    receiver: AtomicU64,
    last_packet: AtomicU64,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            gateway: AtomicU64::new(0),
            receiver: AtomicU64::new(0),
            last_packet: AtomicU64::new(0),
        }
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn mark_gateway(&self) {
        self.gateway.store(self.elapsed_millis(), Ordering::Relaxed);
    }

    pub(super) fn mark_receiver(&self) {
        self.receiver
            .store(self.elapsed_millis(), Ordering::Relaxed);
    }

    pub(super) fn mark_packet(&self) {
        self.last_packet
            .store(self.elapsed_millis(), Ordering::Relaxed);
    }

    /// The older of the gateway's and the receiver's moments.
    pub(super) fn last_alive(&self) -> Instant {
        let gateway = self.gateway.load(Ordering::Relaxed);
        let receiver = self.receiver.load(Ordering::Relaxed);
        self.origin + Duration::from_millis(gateway.min(receiver))
    }

    /// When packets were last handed to the caller; the start if none were.
    pub(super) fn last_packet(&self) -> Instant {
        self.origin + Duration::from_millis(self.last_packet.load(Ordering::Relaxed))
    }
}
