//! When heartbeats are sent, and when nobody answers them. Time is an argument.

use std::time::{Duration, Instant};

/// A connection's heartbeats. An answer has half an interval to come: so a connection that is open
/// at one end only is noticed an interval and a half after the last sign of life at the latest.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next_beat: Instant,
    nonce: u64,
    /// Until when the last one has to be answered.
    ack_deadline: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HeartbeatAction {
    /// A heartbeat with this number.
    Send(u64),
    /// The other end is dead.
    TimedOut,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next_beat: now + interval,
            nonce: 0,
            ack_deadline: None,
        }
    }

    /// When something is due.
    pub(super) fn next_deadline(&self) -> Instant {
        self.ack_deadline
            .map_or(self.next_beat, |limit| limit.min(self.next_beat))
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<HeartbeatAction> {
        if self.ack_deadline.is_some_and(|limit| limit <= now) {
            return Some(HeartbeatAction::TimedOut);
        }
        if now < self.next_beat {
            return None;
        }
        self.nonce += 1;
        self.next_beat = now + self.interval;
        self.ack_deadline = Some(now + self.interval / 2);
        Some(HeartbeatAction::Send(self.nonce))
    }

    /// A heartbeat was answered. An old answer proves nothing about now.
    pub(super) fn acknowledge(&mut self, nonce: u64) {
        if nonce == self.nonce {
            self.ack_deadline = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn acknowledged_heartbeats_keep_it_alive() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, start);
        assert_eq!(heartbeat.poll(start), None);
        for beat in 1..100 {
            let now = heartbeat.next_deadline();
            assert_eq!(now, start + INTERVAL * beat);
            assert_eq!(
                heartbeat.poll(now),
                Some(HeartbeatAction::Send(beat.into()))
            );
            heartbeat.acknowledge(beat.into());
        }
    }

    #[test]
    fn a_half_open_connection_is_noticed_within_an_interval_and_a_half() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, start);
        assert_eq!(
            heartbeat.poll(start + INTERVAL),
            Some(HeartbeatAction::Send(1))
        );
        heartbeat.acknowledge(1);
        // From here on nothing comes.
        let last = start + INTERVAL;
        assert_eq!(
            heartbeat.poll(last + INTERVAL),
            Some(HeartbeatAction::Send(2))
        );
        heartbeat.acknowledge(1);
        assert_eq!(heartbeat.next_deadline(), last + INTERVAL * 3 / 2);
        assert_eq!(
            heartbeat.poll(heartbeat.next_deadline()),
            Some(HeartbeatAction::TimedOut)
        );
    }
}
