//! The retry policy that all requests share.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often to retry, and with what delays.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts after the first one.
    pub max_retries: usize,
    /// The delay before the first retry. Each further one is twice as long, with jitter.
    pub first_delay: Duration,
    /// The longest delay that the backoff may reach.
    pub max_delay: Duration,
    /// The longest `Retry-After` that is honoured. If a server asks for more, there is no retry.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 2,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(8),
            max_retry_after: Duration::from_secs(20),
        }
    }
}

impl RetryPolicy {
    /// A policy without retries.
    pub fn never() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }

    /// The retries of one operation, for callers that can't use [`with_retries`].
    pub fn tries(&self) -> RetryAttempts {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.max_delay)
            .with_factor(2.0)
            .with_max_times(self.max_retries)
            .with_jitter()
            .build();
        RetryAttempts {
            backoff,
            max_delay: self.max_delay,
            max_retry_after: self.max_retry_after,
        }
    }
}

/// The retries that an operation has left.
#[derive(Debug)]
pub struct RetryAttempts {
    backoff: ExponentialBackoff,
    max_delay: Duration,
    max_retry_after: Duration,
}

impl RetryAttempts {
    /// How long to wait before the next attempt; `None` if there is none.
    pub fn next_delay(&mut self, advice: RetryAdvice) -> Option<Duration> {
        let delay = self.backoff.next()?;
        match advice {
            RetryAdvice::Never => None,
            RetryAdvice::WithBackoff => Some(delay.min(self.max_delay)),
            RetryAdvice::AfterDelay(wait) => (wait <= self.max_retry_after).then_some(wait),
        }
    }
}

/// Whether to retry after an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryAdvice {
    /// Don't: it would fail again.
    Never,
    /// After the delay of the backoff.
    WithBackoff,
    /// After the delay that the server asked for.
    AfterDelay(Duration),
}

/// Calls `operation` until it succeeds, `advise` returns [`RetryAdvice::Never`], or the policy's
/// limits are reached.
///
/// # Errors
///
/// The last error of `operation`.
pub async fn with_retries<T, E, Fut>(
    policy: &RetryPolicy,
    advise: impl Fn(&E) -> RetryAdvice,
    mut operation: impl FnMut() -> Fut,
) -> Result<T, E>
where
    E: std::fmt::Display,
    Fut: Future<Output = Result<T, E>>,
{
    let mut attempts = policy.tries();
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(wait) = attempts.next_delay(advise(&error)) else {
            return Err(error);
        };
        tracing::info!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }
}
