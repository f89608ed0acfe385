//! The one retry policy.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often and how long: the bounds of every retry.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub max_retries: usize,
    /// The first wait; each further one is twice as long, with jitter.
    pub first_delay: Duration,
    /// The longest wait of our own choosing.
    pub max_delay: Duration,
    /// The longest `RetryAdvice-After` that is obeyed; a server that asks for more gets no retry.
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
    /// One try and no more.
    pub fn never() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }

    /// The tries of one undertaking, for whoever does not fit into [`retrying`].
    pub fn tries(&self) -> RetryAttempts {
        let waits = ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.max_delay)
            .with_factor(2.0)
            .with_max_times(self.max_retries)
            .with_jitter()
            .build();
        RetryAttempts {
            backoff: waits,
            max_delay: self.max_delay,
            max_retry_after: self.max_retry_after,
        }
    }
}

/// The tries that an undertaking has left.
#[derive(Debug)]
pub struct RetryAttempts {
    backoff: ExponentialBackoff,
    max_delay: Duration,
    max_retry_after: Duration,
}

impl RetryAttempts {
    /// How long to wait before the next try; `None`: there is none.
    pub fn next_delay(&mut self, judged: RetryAdvice) -> Option<Duration> {
        let own_wait = self.backoff.next()?;
        match judged {
            RetryAdvice::Never => None,
            RetryAdvice::WithBackoff => Some(own_wait.min(self.max_delay)),
            RetryAdvice::AfterDelay(wait) => (wait <= self.max_retry_after).then_some(wait),
        }
    }
}

/// Whether a failed exchange is worth another try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryAdvice {
    /// It would fail again.
    Never,
    /// After a wait of our own choosing.
    WithBackoff,
    /// After the wait that the server asked for.
    AfterDelay(Duration),
}

/// Calls `exchange` until it succeeds, `judge` says no, or the policy's bounds are reached.
/// The last error is returned.
pub async fn with_retries<T, E, Fut>(
    policy: &RetryPolicy,
    judge: impl Fn(&E) -> RetryAdvice,
    mut exchange: impl FnMut() -> Fut,
) -> Result<T, E>
where
    E: std::fmt::Display,
    Fut: Future<Output = Result<T, E>>,
{
    let mut tries = policy.tries();
    loop {
        let error = match exchange().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(wait) = tries.next_delay(judge(&error)) else {
            return Err(error);
        };
        tracing::info!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }
}
