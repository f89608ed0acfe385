//! Discord's limit on all requests together: fifty a second for a bot, except responses to
//! interactions (<https://discord.com/developers/docs/topics/rate-limits#global-rate-limit>).
//!
//! No header announces it before it is exceeded, so the bot has to keep it by itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests that may be sent at once after a pause.
const BURST: u32 = 5;

/// Interval between requests. Together with the burst, never more than fifty a second.
const REQUEST_INTERVAL: Duration = Duration::from_millis(25);

/// Spaces requests by the generic cell rate algorithm.
#[derive(Debug)]
pub(super) struct GlobalRateLimiter {
    /// Theoretical arrival time of the next request.
    theoretical_arrival: Mutex<Option<Instant>>,
    is_disabled: bool,
}

impl GlobalRateLimiter {
    /// `is_disabled` if a REST proxy keeps the limit.
    pub(super) fn new(is_disabled: bool) -> Self {
        Self {
            theoretical_arrival: Mutex::new(None),
            is_disabled,
        }
    }

    /// Waits until one request may be sent.
    pub(super) async fn acquire(&self) {
        if self.is_disabled {
            return;
        }
        let turn = {
            let mut arrival = self
                .theoretical_arrival
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let next = arrival.map_or(now, |arrival| arrival.max(now)) + REQUEST_INTERVAL;
            *arrival = Some(next);
            next.checked_sub(REQUEST_INTERVAL * BURST)
                .map_or(now, |it| it.max(now))
        };
        tokio::time::sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_more_than_fifty_in_a_second() {
        let limiter = GlobalRateLimiter::new(false);
        let start = Instant::now();
        let mut passed = Vec::new();
        for _ in 0..200 {
            limiter.acquire().await;
            passed.push(start.elapsed());
        }
        assert!(passed[usize::try_from(BURST).expect("small") - 1].is_zero());
        for window in passed.windows(51) {
            assert!(window[50] - window[0] >= Duration::from_secs(1));
        }
        // No request waits longer than the rate requires.
        assert!(passed[199] <= REQUEST_INTERVAL * 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disabled_limiter_does_not_wait() {
        let limiter = GlobalRateLimiter::new(true);
        let start = Instant::now();
        for _ in 0..200 {
            limiter.acquire().await;
        }
        assert!(start.elapsed().is_zero());
    }
}
