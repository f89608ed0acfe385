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
const REPLAY_WINDOW: u16 = 128;

/// Packets whose spacing differs by more than this are not neighbours.
const MAX_DEVIATION_SECONDS: f64 = 1.0;

/// A stream is quiet without a packet for this long.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// The rate of RTP timestamps, in Hz.
const RTP_CLOCK_RATE: f64 = 48_000.0;

/// Everybody's streams.
#[derive(Debug, Default)]
pub(super) struct SsrcMap {
    by_ssrc: HashMap<u32, SsrcState>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct SsrcState {
    pub(super) user_id: u64,
    is_proven: bool,
    has_left: bool,
    replay_window: ReplayWindow,
    jitter: JitterEstimator,
}

/// Which of the last packets have come.
#[derive(Debug, Default)]
struct ReplayWindow {
    newest: Option<u16>,
    /// The lowest bit is the newest packet.
    received_mask: u128,
}

/// How evenly packets come.
#[derive(Debug, Default)]
struct JitterEstimator {
    last_arrival: Option<(Instant, u32)>,
    /// In seconds.
    jitter: f64,
}

impl SsrcMap {
    pub(super) fn get_mut(&mut self, ssrc: u32) -> Option<&mut SsrcState> {
        self.by_ssrc.get_mut(&ssrc)
    }

    /// The gateway says whose a stream is. True if that is news.
    pub(super) fn announce(&mut self, ssrc: u32, user: u64) -> bool {
        if ssrc == 0 {
            return false;
        }
        match self.by_ssrc.get_mut(&ssrc) {
            Some(stream) if stream.user_id == user => {
                stream.has_left = false;
                false
            }
            Some(stream) if !stream.has_left => false,
            _ => self.insert(ssrc, user, false),
        }
    }

    /// A key has opened a packet: the stream is theirs, whatever was told.
    pub(super) fn prove_user(&mut self, ssrc: u32, user: u64) {
        match self.by_ssrc.get_mut(&ssrc) {
            Some(stream) if stream.user_id == user => stream.is_proven = true,
            _ => {
                self.insert(ssrc, user, true);
            }
        }
    }

    /// Somebody has left. What of theirs is under way is still theirs.
    pub(super) fn mark_user_left(&mut self, user: u64) {
        for stream in self.by_ssrc.values_mut().filter(|it| it.user_id == user) {
            stream.has_left = true;
        }
    }

    /// The largest mean deviation of spacing among those who speak.
    pub(super) fn max_jitter(&self, now: Instant) -> Duration {
        let speak = self.by_ssrc.values().map(|it| &it.jitter);
        let speak = speak.filter(|it| it.last_arrival.is_some_and(|(at, _)| now < at + IDLE_AFTER));
        Duration::from_secs_f64(speak.map(|it| it.jitter).fold(0.0, f64::max))
    }

    fn insert(&mut self, ssrc: u32, user: u64, proven: bool) -> bool {
        if self.by_ssrc.len() >= MAX_STREAMS && !self.by_ssrc.contains_key(&ssrc) {
            let gone = self.by_ssrc.iter().find(|(_, stream)| stream.has_left);
            let Some(gone) = gone.map(|(ssrc, _)| *ssrc) else {
                return false;
            };
            self.by_ssrc.remove(&gone);
        }
        let stream = SsrcState {
            user_id: user,
            is_proven: proven,
            has_left: false,
            replay_window: ReplayWindow::default(),
            jitter: JitterEstimator::default(),
        };
        self.by_ssrc.insert(ssrc, stream);
        true
    }
}

impl SsrcState {
    /// Whether a key has shown whose it is.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether a packet has been heard already.
    pub(super) fn has_received(&self, sequence: u16) -> bool {
        self.replay_window.contains(sequence)
    }

    /// A packet is heard.
    pub(super) fn record_packet(&mut self, sequence: u16, timestamp: u32, received: Instant) {
        self.replay_window.insert(sequence);
        self.jitter.update(timestamp, received);
    }
}

impl ReplayWindow {
    fn contains(&self, sequence: u16) -> bool {
        let Some(newest) = self.newest else {
            return false;
        };
        let back = newest.wrapping_sub(sequence);
        back < REPLAY_WINDOW && self.received_mask >> back & 1 == 1
    }

    fn insert(&mut self, sequence: u16) {
        let Some(newest) = self.newest else {
            self.newest = Some(sequence);
            self.received_mask = 1;
            return;
        };
        let ahead = sequence.wrapping_sub(newest);
        let back = newest.wrapping_sub(sequence);
        if back < REPLAY_WINDOW {
            self.received_mask |= 1 << back;
        } else if ahead < REPLAY_WINDOW {
            self.received_mask = self.received_mask << ahead | 1;
            self.newest = Some(sequence);
        } else {
            // Another count: nothing of the old one says anything about it.
            self.received_mask = 1;
            self.newest = Some(sequence);
        }
    }
}

impl JitterEstimator {
    /// <https://www.rfc-editor.org/rfc/rfc3550#appendix-A.8>
    fn update(&mut self, timestamp: u32, received: Instant) {
        if let Some((before, stamp)) = self.last_arrival {
            let came = received.saturating_duration_since(before).as_secs_f64();
            #[expect(clippy::cast_possible_wrap, reason = "the distance of two that wrap")]
            let sent = f64::from(timestamp.wrapping_sub(stamp) as i32) / RTP_CLOCK_RATE;
            let deviation = (came - sent).abs();
            if deviation < MAX_DEVIATION_SECONDS {
                self.jitter += (deviation - self.jitter) / 16.0;
            }
        }
        self.last_arrival = Some((received, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(streams: &mut SsrcMap, ssrc: u32) -> Option<u64> {
        streams.get_mut(ssrc).map(|stream| stream.user_id)
    }

    #[test]
    fn present_user_keeps_their_ssrc() {
        let mut streams = SsrcMap::default();
        assert!(streams.announce(1, 10));
        assert!(!streams.announce(1, 20));
        assert_eq!(owner(&mut streams, 1), Some(10));
        streams.mark_user_left(10);
        // It is still theirs, until it is told to be another one's.
        assert_eq!(owner(&mut streams, 1), Some(10));
        assert!(streams.announce(1, 20));
        assert_eq!(owner(&mut streams, 1), Some(20));
        assert!(!streams.announce(0, 20));
    }

    #[test]
    fn dave_key_overrides_the_announced_user() {
        let mut streams = SsrcMap::default();
        streams.announce(1, 20);
        streams.prove_user(1, 10);
        assert!(!streams.announce(1, 20));
        assert_eq!(owner(&mut streams, 1), Some(10));
        assert!(streams.get_mut(1).is_some_and(|it| it.is_proven()));
    }

    #[test]
    fn returning_user_owns_both_streams() {
        let mut streams = SsrcMap::default();
        streams.announce(1, 10);
        streams.mark_user_left(10);
        assert!(streams.announce(2, 10));
        assert_eq!(owner(&mut streams, 1), Some(10));
        assert_eq!(owner(&mut streams, 2), Some(10));
    }

    #[test]
    fn stream_count_is_bounded() {
        let mut streams = SsrcMap::default();
        for ssrc in 1..=100_000 {
            streams.announce(ssrc, 10);
        }
        assert_eq!(streams.by_ssrc.len(), MAX_STREAMS);
        assert!(!streams.announce(200_000, 20));
        streams.mark_user_left(10);
        assert!(streams.announce(200_000, 20));
        assert_eq!(streams.by_ssrc.len(), MAX_STREAMS);
    }

    #[test]
    fn even_packets_have_no_jitter() {
        let start = Instant::now();
        let mut even = JitterEstimator::default();
        let mut uneven = JitterEstimator::default();
        for number in 0..100_u32 {
            let at = start + Duration::from_millis(20) * number;
            even.update(960 * number, at);
            uneven.update(960 * number, at + Duration::from_millis(10) * (number % 2));
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
            let mut seen = ReplayWindow::default();
            let mut at = start;
            let mut heard = Vec::new();
            for step in steps {
                at = at.wrapping_add(step);
                prop_assert_eq!(seen.contains(at), heard.contains(&at));
                seen.insert(at);
                heard.push(at);
                for sequence in heard.iter().rev().take(32) {
                    prop_assert!(seen.contains(*sequence));
                }
            }
        }
    }
}
