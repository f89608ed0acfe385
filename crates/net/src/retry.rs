//! The one retry policy.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How often and how long: the bounds of every retry.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub retries: usize,
    /// The first wait; each further one is twice as long, with jitter.
    pub first_wait: Duration,
    /// The longest wait of our own choosing.
    pub longest_wait: Duration,
    /// The longest `Retry-After` that is obeyed; a server that asks for more gets no retry.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 2,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(20),
        }
    }
}

impl RetryPolicy {
    /// One try and no more.
    pub fn never() -> Self {
        Self {
            retries: 0,
            ..Self::default()
        }
    }

    /// The tries of one undertaking, for whoever does not fit into [`retrying`].
    pub fn tries(&self) -> Tries {
        let waits = ExponentialBuilder::default()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_factor(2.0)
            .with_max_times(self.retries)
            .with_jitter()
            .build();
        Tries {
            waits,
            longest_wait: self.longest_wait,
            longest_retry_after: self.longest_retry_after,
        }
    }
}

/// The tries that an undertaking has left.
#[derive(Debug)]
pub struct Tries {
    waits: ExponentialBackoff,
    longest_wait: Duration,
    longest_retry_after: Duration,
}

impl Tries {
    /// How long to wait before the next try; `None`: there is none.
    pub fn next_wait(&mut self, judged: Retry) -> Option<Duration> {
        let own_wait = self.waits.next()?;
        match judged {
            Retry::No => None,
            Retry::WithBackoff => Some(own_wait.min(self.longest_wait)),
            Retry::After(wait) => (wait <= self.longest_retry_after).then_some(wait),
        }
    }
}

/// Whether a failed exchange is worth another try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// It would fail again.
    No,
    /// After a wait of our own choosing.
    WithBackoff,
    /// After the wait that the server asked for.
    After(Duration),
}

/// Calls `exchange` until it succeeds, `judge` says no, or the policy's bounds are reached.
/// The last error is returned.
pub async fn retrying<T, E, Fut>(
    policy: &RetryPolicy,
    judge: impl Fn(&E) -> Retry,
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
        let Some(wait) = tries.next_wait(judge(&error)) else {
            return Err(error);
        };
        tracing::info!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }
}
