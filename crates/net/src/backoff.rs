//! Doubling delays for operations that are retried without a limit on their number.

use std::time::Duration;

/// The delay before each attempt, doubling from the first up to a maximum, without jitter.
///
/// For a bounded number of attempts, with jitter, see [`RetryPolicy`](crate::RetryPolicy).
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts with `first`, which must not exceed `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        debug_assert!(first <= max, "the first delay exceeds the maximum");
        Self {
            first,
            max,
            next: first,
        }
    }

    /// How long to wait now. The next delay is twice as long, up to the maximum.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.max);
        delay
    }

    /// Starts again with the first delay, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff, count: usize) -> Vec<u64> {
        (0..count).map(|_| backoff.next_delay().as_secs()).collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        assert_eq!(seconds(&mut backoff, 6), [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn reset_starts_with_the_first_delay() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        seconds(&mut backoff, 3);
        backoff.reset();
        assert_eq!(seconds(&mut backoff, 2), [1, 2]);
    }

    #[test]
    fn the_longest_delay_does_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(backoff.next_delay(), Duration::MAX);
        assert_eq!(backoff.next_delay(), Duration::MAX);
    }
}
