//! When to send heartbeats, and when a missing acknowledgement means that the connection is dead
//! (<https://discord.com/developers/docs/topics/voice-connections#heartbeating>). Time is an
//! argument.

use std::time::{Duration, Instant};

/// The heartbeats of one connection. An acknowledgement must come within half an interval, so a
/// half-open connection is noticed at most one and a half intervals after the last acknowledgement.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next_beat: Instant,
    nonce: u64,
    /// When the last heartbeat must be acknowledged; `None` if it was.
    ack_deadline: Option<Instant>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HeartbeatAction {
    /// Send a heartbeat with this nonce.
    Send(u64),
    /// No acknowledgement came in time: close the connection.
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

    /// When to call [`poll`](Self::poll) next.
    pub(super) fn next_deadline(&self) -> Instant {
        self.ack_deadline
            .map_or(self.next_beat, |deadline| deadline.min(self.next_beat))
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<HeartbeatAction> {
        if self.ack_deadline.is_some_and(|deadline| deadline <= now) {
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

    /// Records an acknowledgement. One of an older heartbeat is ignored.
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
        // No acknowledgement from here on.
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
