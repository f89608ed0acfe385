//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What became of everything that came, and how the connection fared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReceiveStats {
    /// Packets that were handed on.
    pub delivered: u64,
    /// Of these, packets that had to wait for their speaker or their key.
    pub delayed: u64,
    /// Given up: nobody said in time whose stream it is.
    pub no_speaker: u64,
    /// Given up: no key came in time that opens them.
    pub no_key: u64,
    /// Came a second time.
    pub duplicate: u64,
    /// Not in order as RTP, or empty.
    pub malformed: u64,
    /// Not under the key of the connection: not from Discord.
    pub unauthenticated: u64,
    /// There was no room for them where packets wait.
    pub buffer_full: u64,
    /// Whoever listens did not take them in time.
    pub overrun: u64,
    /// Other than speech: RTCP, answers to keepalives.
    pub other: u64,
    /// The longest that a packet has waited and was heard.
    pub longest_wait: Duration,
    /// The mean deviation of packets' spacing, of the stream where it is largest
    /// (<https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1>).
    pub jitter: Duration,
    /// Connections that were made with a new session.
    pub identified: u64,
    /// Connections that took a session up again.
    pub resumed: u64,
    /// Groups and epochs of end-to-end encryption that were joined.
    pub epochs: u64,
    /// Messages about end-to-end encryption that could not be made use of.
    pub dave_errors: u64,
}

/// What becomes of a packet.
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

/// The counts while they are counted.
#[derive(Debug, Default)]
pub(super) struct ReceiveCounters {
    outcomes: [AtomicU64; 9],
    delayed: AtomicU64,
    /// In microseconds.
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

    /// A packet was heard that had waited so long.
    pub(super) fn record_wait(&self, long: Duration) {
        self.delayed.fetch_add(1, Ordering::Relaxed);
        self.longest_wait.fetch_max(micros(long), Ordering::Relaxed);
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
