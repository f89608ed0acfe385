//! When heartbeats are sent, and when nobody answers them. Time is an argument.

use std::time::{Duration, Instant};

/// A connection's heartbeats. An answer has half an interval to come: so a connection that is open
/// at one end only is noticed an interval and a half after the last sign of life at the latest.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next: Instant,
    nonce: u64,
    /// Until when the last one has to be answered.
    unanswered: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// A heartbeat with this number.
    Beat(u64),
    /// The other end is dead.
    Dead,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next: now + interval,
            nonce: 0,
            unanswered: None,
        }
    }

    /// When something is due.
    pub(super) fn at(&self) -> Instant {
        self.unanswered
            .map_or(self.next, |limit| limit.min(self.next))
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.unanswered.is_some_and(|limit| limit <= now) {
            return Some(Due::Dead);
        }
        if now < self.next {
            return None;
        }
        self.nonce += 1;
        self.next = now + self.interval;
        self.unanswered = Some(now + self.interval / 2);
        Some(Due::Beat(self.nonce))
    }

    /// A heartbeat was answered. An old answer proves nothing about now.
    pub(super) fn answered(&mut self, nonce: u64) {
        if nonce == self.nonce {
            self.unanswered = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn whoever_answers_lives() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, start);
        assert_eq!(heartbeat.due(start), None);
        for beat in 1..100 {
            let now = heartbeat.at();
            assert_eq!(now, start + INTERVAL * beat);
            assert_eq!(heartbeat.due(now), Some(Due::Beat(beat.into())));
            heartbeat.answered(beat.into());
        }
    }

    #[test]
    fn a_half_open_connection_is_noticed_within_an_interval_and_a_half() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, start);
        assert_eq!(heartbeat.due(start + INTERVAL), Some(Due::Beat(1)));
        heartbeat.answered(1);
        // From here on nothing comes.
        let last = start + INTERVAL;
        assert_eq!(heartbeat.due(last + INTERVAL), Some(Due::Beat(2)));
        heartbeat.answered(1);
        assert_eq!(heartbeat.at(), last + INTERVAL * 3 / 2);
        assert_eq!(heartbeat.due(heartbeat.at()), Some(Due::Dead));
    }
}
