//! Which user an SSRC belongs to.
//!
//! The gateway announces it, early or late, and DAVE proves it: if a user's key decrypts a packet,
//! the stream is theirs. A later announcement changes neither a proven owner nor the announced
//! owner while they are in the call: that would lose a speaker's packets or attribute them to
//! somebody else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Known streams. A call has some hundreds at most; beyond this limit, streams of users who have
/// left are removed first.
const MAX_STREAMS: usize = 4_096;

/// How many packets back a duplicate is recognized.
const REPLAY_WINDOW: u16 = 128;

/// A larger deviation is a pause or a new start, not jitter.
const MAX_DEVIATION_SECONDS: f64 = 1.0;

/// A stream without a packet for this long does not count for the jitter.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// The rate of RTP timestamps, in Hz.
const RTP_CLOCK_RATE: f64 = 48_000.0;

/// The known streams.
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

/// Which of the last [`REPLAY_WINDOW`] packets were received.
#[derive(Debug, Default)]
struct ReplayWindow {
    newest: Option<u16>,
    /// Bit `n` is the packet `n` before the newest.
    received_mask: u128,
}

/// Interarrival jitter of one stream.
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

    /// The gateway announces the user of a stream. True if that changed something.
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

    /// A user's DAVE key has decrypted a packet of the stream: it is theirs, whatever was
    /// announced.
    pub(super) fn prove_user(&mut self, ssrc: u32, user: u64) {
        match self.by_ssrc.get_mut(&ssrc) {
            Some(stream) if stream.user_id == user => stream.is_proven = true,
            _ => {
                self.insert(ssrc, user, true);
            }
        }
    }

    /// A user has left. Their packets that are still in flight are still attributed to them.
    pub(super) fn mark_user_left(&mut self, user: u64) {
        for stream in self.by_ssrc.values_mut().filter(|it| it.user_id == user) {
            stream.has_left = true;
        }
    }

    /// The largest jitter among the active streams.
    pub(super) fn max_jitter(&self, now: Instant) -> Duration {
        let active = self.by_ssrc.values().map(|it| &it.jitter);
        let active =
            active.filter(|it| it.last_arrival.is_some_and(|(at, _)| now < at + IDLE_AFTER));
        Duration::from_secs_f64(active.map(|it| it.jitter).fold(0.0, f64::max))
    }

    fn insert(&mut self, ssrc: u32, user: u64, proven: bool) -> bool {
        if self.by_ssrc.len() >= MAX_STREAMS && !self.by_ssrc.contains_key(&ssrc) {
            let left = self.by_ssrc.iter().find(|(_, stream)| stream.has_left);
            let Some(left) = left.map(|(ssrc, _)| *ssrc) else {
                return false;
            };
            self.by_ssrc.remove(&left);
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
    /// Whether a DAVE key has proven the user.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether a packet with this sequence number was received already.
    pub(super) fn has_received(&self, sequence: u16) -> bool {
        self.replay_window.contains(sequence)
    }

    /// Records a delivered packet.
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
            // A jump: the numbering has restarted.
            self.received_mask = 1;
            self.newest = Some(sequence);
        }
    }
}

impl JitterEstimator {
    /// The estimator of <https://www.rfc-editor.org/rfc/rfc3550#appendix-A.8>.
    fn update(&mut self, timestamp: u32, received: Instant) {
        if let Some((last_received, last_timestamp)) = self.last_arrival {
            let arrival_gap = received
                .saturating_duration_since(last_received)
                .as_secs_f64();
            #[expect(
                clippy::cast_possible_wrap,
                reason = "signed distance of wrapping numbers"
            )]
            let send_gap =
                f64::from(timestamp.wrapping_sub(last_timestamp) as i32) / RTP_CLOCK_RATE;
            let deviation = (arrival_gap - send_gap).abs();
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
        // It stays theirs until it is announced for another user.
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
        for index in 0..100_u32 {
            let at = start + Duration::from_millis(20) * index;
            even.update(960 * index, at);
            uneven.update(960 * index, at + Duration::from_millis(10) * (index % 2));
        }
        assert!(even.jitter < 0.000_1, "{}", even.jitter);
        assert!((uneven.jitter - 0.01).abs() < 0.001, "{}", uneven.jitter);
    }

    proptest! {
        #[test]
        fn recent_packets_are_recognized(
            start: u16,
            steps in prop::collection::vec(0_u16..4, 1..200)
        ) {
            let mut window = ReplayWindow::default();
            let mut at = start;
            let mut received = Vec::new();
            for step in steps {
                at = at.wrapping_add(step);
                prop_assert_eq!(window.contains(at), received.contains(&at));
                window.insert(at);
                received.push(at);
                for sequence in received.iter().rev().take(32) {
                    prop_assert!(window.contains(*sequence));
                }
            }
        }
    }
}
