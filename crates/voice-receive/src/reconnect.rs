//! When to reconnect: at once, after a backoff, or not at all.

use std::time::Duration;

use net::{RetryAdvice, RetryAttempts, RetryPolicy};

/// After a connection that was up this long, the next attempt is made at once.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A connection that was up this many times as long as the delay before it resets the backoff. A
/// server that accepts us and closes at once does not, so the delays grow.
const RESET_AFTER_WAITS: u32 = 4;

/// The delay after the first failed attempt.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest delay.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The delays between the attempts of one call.
#[derive(Debug)]
pub(super) struct ReconnectBackoff {
    policy: RetryPolicy,
    attempts: RetryAttempts,
    last_wait: Duration,
}

impl ReconnectBackoff {
    /// Gives up after `attempts` failures in a row.
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

    /// How long to wait after a disconnect; `None` if no attempt is left. `uptime` is how long the
    /// connection had been established, if it was.
    pub(super) fn next_wait(&mut self, uptime: Option<Duration>) -> Option<Duration> {
        let uptime = uptime.unwrap_or_default();
        if uptime >= self.last_wait.max(FIRST_WAIT) * RESET_AFTER_WAITS {
            self.attempts = self.policy.tries();
            self.last_wait = Duration::ZERO;
            if uptime >= STABLE_AFTER {
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

    /// The delays after connections that were up this long, in milliseconds.
    fn waits(uptimes: &[u64]) -> Vec<Option<Duration>> {
        let mut backoff = ReconnectBackoff::new(5);
        let uptimes = uptimes.iter().map(|it| Some(Duration::from_millis(*it)));
        uptimes.map(|it| backoff.next_wait(it)).collect()
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
    fn short_lived_connections_reconnect_after_the_first_delay() {
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
        let mut backoff = ReconnectBackoff::new(5);
        for _ in 0..4 {
            backoff.next_wait(None);
        }
        let before = backoff.last_wait;
        let longer = backoff.next_wait(Some(before * RESET_AFTER_WAITS / 2));
        assert!(longer >= Some(before), "{longer:?} after {before:?}");
    }
}
