//! Whose a stream is.
//!
//! The gateway tells it, early or late, and a key proves it: a packet that somebody's key opens is
//! theirs. What is proven, and what was told first of somebody who is still there, is not changed by
//! what is told later: that would mute a talker, or put words into a mouth.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Streams that are known. A call has some hundreds at most; beyond that those of people who have
/// left make room.
const MAX_STREAMS: usize = 4_096;

/// How many packets back it is known whether one has come already.
const WINDOW: u16 = 128;

/// Packets whose spacing differs by more than this are not neighbours.
const NEIGHBOURS: f64 = 1.0;

/// A stream is quiet without a packet for this long.
const QUIET: Duration = Duration::from_secs(10);

/// The rate of RTP timestamps, in Hz.
const RATE: f64 = 48_000.0;

/// Everybody's streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: HashMap<u32, Stream>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) user: u64,
    proven: bool,
    gone: bool,
    seen: Seen,
    spacing: Spacing,
}

/// Which of the last packets have come.
#[derive(Debug, Default)]
struct Seen {
    newest: Option<u16>,
    /// The lowest bit is the newest packet.
    bits: u128,
}

/// How evenly packets come.
#[derive(Debug, Default)]
struct Spacing {
    last: Option<(Instant, u32)>,
    /// In seconds.
    jitter: f64,
}

impl Streams {
    pub(super) fn of(&mut self, ssrc: u32) -> Option<&mut Stream> {
        self.all.get_mut(&ssrc)
    }

    /// The gateway says whose a stream is. True if that is news.
    pub(super) fn told(&mut self, ssrc: u32, user: u64) -> bool {
        if ssrc == 0 {
            return false;
        }
        match self.all.get_mut(&ssrc) {
            Some(stream) if stream.user == user => {
                stream.gone = false;
                false
            }
            Some(stream) if !stream.gone => false,
            _ => self.insert(ssrc, user, false),
        }
    }

    /// A key has opened a packet: the stream is theirs, whatever was told.
    pub(super) fn proven(&mut self, ssrc: u32, user: u64) {
        match self.all.get_mut(&ssrc) {
            Some(stream) if stream.user == user => stream.proven = true,
            _ => {
                self.insert(ssrc, user, true);
            }
        }
    }

    /// Somebody has left. What of theirs is under way is still theirs.
    pub(super) fn left(&mut self, user: u64) {
        for stream in self.all.values_mut().filter(|it| it.user == user) {
            stream.gone = true;
        }
    }

    /// The largest mean deviation of spacing among those who speak.
    pub(super) fn jitter(&self, now: Instant) -> Duration {
        let speak = self.all.values().map(|it| &it.spacing);
        let speak = speak.filter(|it| it.last.is_some_and(|(at, _)| now < at + QUIET));
        Duration::from_secs_f64(speak.map(|it| it.jitter).fold(0.0, f64::max))
    }

    fn insert(&mut self, ssrc: u32, user: u64, proven: bool) -> bool {
        if self.all.len() >= MAX_STREAMS && !self.all.contains_key(&ssrc) {
            let gone = self.all.iter().find(|(_, stream)| stream.gone);
            let Some(gone) = gone.map(|(ssrc, _)| *ssrc) else {
                return false;
            };
            self.all.remove(&gone);
        }
        let stream = Stream {
            user,
            proven,
            gone: false,
            seen: Seen::default(),
            spacing: Spacing::default(),
        };
        self.all.insert(ssrc, stream);
        true
    }
}

impl Stream {
    /// Whether a key has shown whose it is.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether a packet has been heard already.
    pub(super) fn has_heard(&self, sequence: u16) -> bool {
        self.seen.has(sequence)
    }

    /// A packet is heard.
    pub(super) fn hears(&mut self, sequence: u16, timestamp: u32, received: Instant) {
        self.seen.add(sequence);
        self.spacing.add(timestamp, received);
    }
}

impl Seen {
    fn has(&self, sequence: u16) -> bool {
        let Some(newest) = self.newest else {
            return false;
        };
        let back = newest.wrapping_sub(sequence);
        back < WINDOW && self.bits >> back & 1 == 1
    }

    fn add(&mut self, sequence: u16) {
        let Some(newest) = self.newest else {
            self.newest = Some(sequence);
            self.bits = 1;
            return;
        };
        let ahead = sequence.wrapping_sub(newest);
        let back = newest.wrapping_sub(sequence);
        if back < WINDOW {
            self.bits |= 1 << back;
        } else if ahead < WINDOW {
            self.bits = self.bits << ahead | 1;
            self.newest = Some(sequence);
        } else {
            // Another count: nothing of the old one says anything about it.
            self.bits = 1;
            self.newest = Some(sequence);
        }
    }
}

impl Spacing {
    /// <https://www.rfc-editor.org/rfc/rfc3550#appendix-A.8>
    fn add(&mut self, timestamp: u32, received: Instant) {
        if let Some((before, stamp)) = self.last {
            let came = received.saturating_duration_since(before).as_secs_f64();
            #[expect(clippy::cast_possible_wrap, reason = "the distance of two that wrap")]
            let sent = f64::from(timestamp.wrapping_sub(stamp) as i32) / RATE;
            let deviation = (came - sent).abs();
            if deviation < NEIGHBOURS {
                self.jitter += (deviation - self.jitter) / 16.0;
            }
        }
        self.last = Some((received, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(streams: &mut Streams, ssrc: u32) -> Option<u64> {
        streams.of(ssrc).map(|stream| stream.user)
    }

    #[test]
    fn who_is_there_keeps_a_stream() {
        let mut streams = Streams::default();
        assert!(streams.told(1, 10));
        assert!(!streams.told(1, 20));
        assert_eq!(owner(&mut streams, 1), Some(10));
        streams.left(10);
        // It is still theirs, until it is told to be another one's.
        assert_eq!(owner(&mut streams, 1), Some(10));
        assert!(streams.told(1, 20));
        assert_eq!(owner(&mut streams, 1), Some(20));
        assert!(!streams.told(0, 20));
    }

    #[test]
    fn a_key_knows_better() {
        let mut streams = Streams::default();
        streams.told(1, 20);
        streams.proven(1, 10);
        assert!(!streams.told(1, 20));
        assert_eq!(owner(&mut streams, 1), Some(10));
        assert!(streams.of(1).is_some_and(|it| it.is_proven()));
    }

    #[test]
    fn whoever_comes_back_has_both_streams() {
        let mut streams = Streams::default();
        streams.told(1, 10);
        streams.left(10);
        assert!(streams.told(2, 10));
        assert_eq!(owner(&mut streams, 1), Some(10));
        assert_eq!(owner(&mut streams, 2), Some(10));
    }

    #[test]
    fn there_is_an_end_to_streams() {
        let mut streams = Streams::default();
        for ssrc in 1..=100_000 {
            streams.told(ssrc, 10);
        }
        assert_eq!(streams.all.len(), MAX_STREAMS);
        assert!(!streams.told(200_000, 20));
        streams.left(10);
        assert!(streams.told(200_000, 20));
        assert_eq!(streams.all.len(), MAX_STREAMS);
    }

    #[test]
    fn even_packets_have_no_jitter() {
        let start = Instant::now();
        let mut even = Spacing::default();
        let mut uneven = Spacing::default();
        for number in 0..100_u32 {
            let at = start + Duration::from_millis(20) * number;
            even.add(960 * number, at);
            uneven.add(960 * number, at + Duration::from_millis(10) * (number % 2));
        }
        assert!(even.jitter < 0.000_1, "{}", even.jitter);
        assert!((uneven.jitter - 0.01).abs() < 0.001, "{}", uneven.jitter);
    }

    proptest! {
        #[test]
        fn what_was_heard_lately_is_known(
            start: u16,
            steps in prop::collection::vec(0_u16..4, 1..200)
        ) {
            let mut seen = Seen::default();
            let mut at = start;
            let mut heard = Vec::new();
            for step in steps {
                at = at.wrapping_add(step);
                prop_assert_eq!(seen.has(at), heard.contains(&at));
                seen.add(at);
                heard.push(at);
                for sequence in heard.iter().rev().take(32) {
                    prop_assert!(seen.has(*sequence));
                }
            }
        }
    }
}
