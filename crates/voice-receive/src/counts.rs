//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What became of everything that came, and how the connection fared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Packets that were handed on.
    pub heard: u64,
    /// Of these, packets that had to wait for their speaker or their key.
    pub waited: u64,
    /// Given up: nobody said in time whose stream it is.
    pub no_speaker: u64,
    /// Given up: no key came in time that opens them.
    pub no_key: u64,
    /// Came a second time.
    pub repeated: u64,
    /// Not in order as RTP, or empty.
    pub malformed: u64,
    /// Not under the key of the connection: not from Discord.
    pub forged: u64,
    /// There was no room for them where packets wait.
    pub no_room: u64,
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
    pub bad_keys: u64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Heard,
    NoSpeaker,
    NoKey,
    Repeated,
    Malformed,
    Forged,
    NoRoom,
    Overrun,
    Other,
}

/// The counts while they are counted.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    outcomes: [AtomicU64; 9],
    waited: AtomicU64,
    /// In microseconds.
    longest_wait: AtomicU64,
    jitter: AtomicU64,
    pub(super) identified: AtomicU64,
    pub(super) resumed: AtomicU64,
    pub(super) epochs: AtomicU64,
    pub(super) bad_keys: AtomicU64,
}

impl Tallies {
    pub(super) fn add(&self, outcome: Outcome, packets: u64) {
        self.outcomes[outcome as usize].fetch_add(packets, Ordering::Relaxed);
    }

    /// A packet was heard that had waited so long.
    pub(super) fn waited(&self, long: Duration) {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.longest_wait.fetch_max(micros(long), Ordering::Relaxed);
    }

    pub(super) fn jitter(&self, jitter: Duration) {
        self.jitter.store(micros(jitter), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        let of = |outcome: Outcome| self.outcomes[outcome as usize].load(Ordering::Relaxed);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            heard: of(Outcome::Heard),
            waited: read(&self.waited),
            no_speaker: of(Outcome::NoSpeaker),
            no_key: of(Outcome::NoKey),
            repeated: of(Outcome::Repeated),
            malformed: of(Outcome::Malformed),
            forged: of(Outcome::Forged),
            no_room: of(Outcome::NoRoom),
            overrun: of(Outcome::Overrun),
            other: of(Outcome::Other),
            longest_wait: Duration::from_micros(read(&self.longest_wait)),
            jitter: Duration::from_micros(read(&self.jitter)),
            identified: read(&self.identified),
            resumed: read(&self.resumed),
            epochs: read(&self.epochs),
            bad_keys: read(&self.bad_keys),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
