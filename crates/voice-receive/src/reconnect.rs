//! When a broken connection is made anew: at once, after a wait, or no more.

use std::time::Duration;

use net::{Retry, RetryPolicy, Tries};

/// A connection that has held this long was a good one: the next one is tried at once.
const STEADY: Duration = Duration::from_secs(10);

/// A connection that has held for this many times the wait before it has earned a fresh start: the
/// waits begin anew. A server that lets us in and closes at once is waited for ever longer.
const EARNED: u32 = 4;

/// Between the tries to get a connection.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Reconnects {
    policy: RetryPolicy,
    tries: Tries,
    waited: Duration,
}

impl Reconnects {
    /// At most so many tries in a row that come to nothing.
    pub(super) fn new(attempts: u32) -> Self {
        let policy = RetryPolicy {
            retries: attempts as usize,
            first_wait: FIRST_WAIT,
            longest_wait: LONGEST_WAIT,
            ..RetryPolicy::default()
        };
        Self {
            tries: policy.tries(),
            policy,
            waited: Duration::ZERO,
        }
    }

    /// How long to wait after a connection that broke; `None`: there is no try left. `held` is how long
    /// it had been up, if it ever was.
    pub(super) fn next_wait(&mut self, held: Option<Duration>) -> Option<Duration> {
        let held = held.unwrap_or_default();
        if held >= self.waited.max(FIRST_WAIT) * EARNED {
            self.tries = self.policy.tries();
            self.waited = Duration::ZERO;
            if held >= STEADY {
                return Some(Duration::ZERO);
            }
        }
        self.waited = self.tries.next_wait(Retry::WithBackoff)?;
        Some(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(held: &[u64]) -> Vec<Option<Duration>> {
        let mut reconnects = Reconnects::new(5);
        let held = held.iter().map(|it| Some(Duration::from_millis(*it)));
        held.map(|it| reconnects.next_wait(it)).collect()
    }

    #[test]
    fn a_server_that_closes_at_once_is_waited_for_ever_longer_and_given_up() {
        let waits = waits(&[0; 6]);
        let (last, rest) = waits.split_last().expect("six");
        assert_eq!(*last, None);
        let rest: Vec<Duration> = rest.iter().map(|it| it.expect("a wait")).collect();
        assert!(rest[0] >= FIRST_WAIT, "{rest:?}");
        assert!(rest.is_sorted(), "{rest:?}");
        assert!(rest[4] >= FIRST_WAIT * 10, "{rest:?}");
    }

    #[test]
    fn what_held_for_a_while_is_taken_up_again_soon_however_often_it_breaks() {
        for wait in waits(&[2_000; 100]) {
            let wait = wait.expect("a wait");
            assert!(wait >= FIRST_WAIT && wait < FIRST_WAIT * 3, "{wait:?}");
        }
    }

    #[test]
    fn what_was_steady_is_taken_up_again_at_once() {
        assert_eq!(waits(&[10_000; 100]), vec![Some(Duration::ZERO); 100]);
        assert_eq!(
            waits(&[0, 0, 0, 60_000]).last(),
            Some(&Some(Duration::ZERO))
        );
    }

    #[test]
    fn it_has_to_hold_the_longer_the_longer_it_was_waited_for() {
        let mut reconnects = Reconnects::new(5);
        for _ in 0..4 {
            reconnects.next_wait(None);
        }
        let before = reconnects.waited;
        let longer = reconnects.next_wait(Some(before * EARNED / 2));
        assert!(longer >= Some(before), "{longer:?} after {before:?}");
    }
}
