//! When a broken connection is made anew: at once, after a wait, or no more.

use std::time::Duration;

use net::{RetryAdvice, RetryAttempts, RetryPolicy};

/// A connection that has held this long was a good one: the next one is tried at once.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A connection that has held for this many times the wait before it has earned a fresh start: the
/// waits begin anew. A server that lets us in and closes at once is waited for ever longer.
const RESET_AFTER_WAITS: u32 = 4;

/// Between the tries to get a connection.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The tries of one call.
#[derive(Debug)]
pub(super) struct ReconnectBackoff {
    policy: RetryPolicy,
    attempts: RetryAttempts,
    last_wait: Duration,
}

impl ReconnectBackoff {
    /// At most so many tries in a row that come to nothing.
    pub(super) fn new(attempts: u32) -> Self {
        let policy = RetryPolicy {
            max_retries: attempts as usize,
            first_delay: FIRST_WAIT,
            max_delay: MAX_WAIT,
            ..RetryPolicy::default()
        };
        Self {
            attempts: policy.tries(),
            policy,
            last_wait: Duration::ZERO,
        }
    }

    /// How long to wait after a connection that broke; `None`: there is no try left. `held` is how long
    /// it had been up, if it ever was.
    pub(super) fn next_wait(&mut self, held: Option<Duration>) -> Option<Duration> {
        let held = held.unwrap_or_default();
        if held >= self.last_wait.max(FIRST_WAIT) * RESET_AFTER_WAITS {
            self.attempts = self.policy.tries();
            self.last_wait = Duration::ZERO;
            if held >= STABLE_AFTER {
                return Some(Duration::ZERO);
            }
        }
        self.last_wait = self.attempts.next_delay(RetryAdvice::WithBackoff)?;
        Some(self.last_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(held: &[u64]) -> Vec<Option<Duration>> {
        let mut reconnects = ReconnectBackoff::new(5);
        let held = held.iter().map(|it| Some(Duration::from_millis(*it)));
        held.map(|it| reconnects.next_wait(it)).collect()
    }

    #[test]
    fn immediate_closes_back_off_and_give_up() {
        let waits = waits(&[0; 6]);
        let (last, rest) = waits.split_last().expect("six");
        assert_eq!(*last, None);
        let rest: Vec<Duration> = rest.iter().map(|it| it.expect("a wait")).collect();
        assert!(rest[0] >= FIRST_WAIT, "{rest:?}");
        assert!(rest.is_sorted(), "{rest:?}");
        assert!(rest[4] >= FIRST_WAIT * 10, "{rest:?}");
    }

    #[test]
    fn connections_that_held_a_while_reconnect_soon() {
        for wait in waits(&[2_000; 100]) {
            let wait = wait.expect("a wait");
            assert!(wait >= FIRST_WAIT && wait < FIRST_WAIT * 3, "{wait:?}");
        }
    }

    #[test]
    fn stable_connections_reconnect_at_once() {
        assert_eq!(waits(&[10_000; 100]), vec![Some(Duration::ZERO); 100]);
        assert_eq!(
            waits(&[0, 0, 0, 60_000]).last(),
            Some(&Some(Duration::ZERO))
        );
    }

    #[test]
    fn backoff_resets_only_after_a_longer_uptime() {
        let mut reconnects = ReconnectBackoff::new(5);
        for _ in 0..4 {
            reconnects.next_wait(None);
        }
        let before = reconnects.last_wait;
        let longer = reconnects.next_wait(Some(before * RESET_AFTER_WAITS / 2));
        assert!(longer >= Some(before), "{longer:?} after {before:?}");
    }
}
