//! Counters of what was received, by outcome.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counters of a connection since [`connect`](crate::connect), over all reconnects. Every
/// datagram that was read is counted in exactly one of `delivered`, `no_speaker`, `no_key`,
/// `duplicate`, `malformed`, `unauthenticated`, `buffer_full` and `other`, or is still buffered. A
/// delivered packet that the caller did not receive in time is counted in `overrun` as well.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReceiveStats {
    /// Packets that were decrypted and attributed to a user.
    pub delivered: u64,
    /// Packets among `delivered` that were buffered until their speaker or key was known.
    pub delayed: u64,
    /// Packets dropped because their SSRC was not attributed to a user in time.
    pub no_speaker: u64,
    /// Packets of known users dropped because no key that decrypts them came in time.
    pub no_key: u64,
    /// Packets that were received before.
    pub duplicate: u64,
    /// Datagrams that are no valid RTP packets, or have an empty or oversized payload.
    pub malformed: u64,
    /// Datagrams that fail the transport cipher's authentication: they are not from the voice
    /// server.
    pub unauthenticated: u64,
    /// Packets dropped because the buffer of packets without speaker or key was full.
    pub buffer_full: u64,
    /// Packets dropped because the caller did not receive events fast enough.
    pub overrun: u64,
    /// Datagrams other than audio: RTCP, video, replies to keepalives.
    pub other: u64,
    /// The longest time that a packet among `delayed` was buffered.
    pub longest_wait: Duration,
    /// The interarrival jitter
    /// ([RFC 3550, section 6.4.1](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1))
    /// of the active stream where it is largest.
    pub jitter: Duration,
    /// Connections that began a new session (opcode 0, Identify).
    pub identified: u64,
    /// Connections that resumed a session (opcode 7, Resume).
    pub resumed: u64,
    /// DAVE epochs that were joined.
    pub epochs: u64,
    /// DAVE messages that could not be processed.
    pub dave_errors: u64,
}

/// What became of a packet: the index of its counter.
#[derive(Clone, Copy, Debug)]
pub(super) enum PacketOutcome {
    Delivered,
    NoSpeaker,
    NoKey,
    Duplicate,
    Malformed,
    Unauthenticated,
    BufferFull,
    Overrun,
    Other,
}

/// The counters while the connection runs.
#[derive(Debug, Default)]
pub(super) struct ReceiveCounters {
    outcomes: [AtomicU64; 9],
    delayed: AtomicU64,
    /// In microseconds, as is `jitter`.
    longest_wait: AtomicU64,
    jitter: AtomicU64,
    pub(super) identified: AtomicU64,
    pub(super) resumed: AtomicU64,
    pub(super) epochs: AtomicU64,
    pub(super) dave_errors: AtomicU64,
}

impl ReceiveCounters {
    pub(super) fn count(&self, outcome: PacketOutcome, packets: u64) {
        self.outcomes[outcome as usize].fetch_add(packets, Ordering::Relaxed);
    }

    /// Records that a packet was delivered after it was buffered this long.
    pub(super) fn record_wait(&self, waited: Duration) {
        self.delayed.fetch_add(1, Ordering::Relaxed);
        self.longest_wait
            .fetch_max(micros(waited), Ordering::Relaxed);
    }

    pub(super) fn set_jitter(&self, jitter: Duration) {
        self.jitter.store(micros(jitter), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> ReceiveStats {
        let of = |outcome: PacketOutcome| self.outcomes[outcome as usize].load(Ordering::Relaxed);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ReceiveStats {
            delivered: of(PacketOutcome::Delivered),
            delayed: read(&self.delayed),
            no_speaker: of(PacketOutcome::NoSpeaker),
            no_key: of(PacketOutcome::NoKey),
            duplicate: of(PacketOutcome::Duplicate),
            malformed: of(PacketOutcome::Malformed),
            unauthenticated: of(PacketOutcome::Unauthenticated),
            buffer_full: of(PacketOutcome::BufferFull),
            overrun: of(PacketOutcome::Overrun),
            other: of(PacketOutcome::Other),
            longest_wait: Duration::from_micros(read(&self.longest_wait)),
            jitter: Duration::from_micros(read(&self.jitter)),
            identified: read(&self.identified),
            resumed: read(&self.resumed),
            epochs: read(&self.epochs),
            dave_errors: read(&self.dave_errors),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
