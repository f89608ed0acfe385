//! Sessions are begun one after the other, and not more of them than Discord allows in a day: who
//! begins too many has their token reset.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serenity::all::Http;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shard;
use crate::discord::decode::{GatewayBot, StartLimit};
use crate::discord::rest;

/// Between two starts in the same bucket.
const BETWEEN: Duration = Duration::from_secs(5);

/// How long it may take to ask how many starts are left.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Starts that may be made at the same time: as many as Discord ever gives.
const MAX_BUCKETS: u32 = 256;

/// Whom a session may be begun by.
pub(super) struct Gate {
    http: Arc<Http>,
    /// When the next may begin, per bucket.
    buckets: Vec<Mutex<Instant>>,
    left: std::sync::Mutex<Left>,
}

struct Left {
    limit: StartLimit,
    /// Shards that have begun a session with what was known at first.
    begun: HashSet<u32>,
}

/// The right to begin a session; the next begins some time after it is dropped.
pub(super) struct Pass<'a>(MutexGuard<'a, Instant>);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0 = Instant::now() + BETWEEN;
    }
}

impl Gate {
    pub(super) fn new(http: Arc<Http>, known: &GatewayBot) -> Self {
        let limit = known.session_start_limit;
        let buckets = limit.max_concurrency.clamp(1, MAX_BUCKETS);
        Self {
            http,
            buckets: (0..buckets).map(|_| Mutex::new(Instant::now())).collect(),
            left: std::sync::Mutex::new(Left {
                limit,
                begun: HashSet::new(),
            }),
        }
    }

    /// Waits until this shard may begin a session.
    pub(super) async fn pass(&self, shard: Shard) -> Option<Pass<'_>> {
        let buckets = self.buckets.len();
        let index = usize::try_from(shard.index).unwrap_or_default();
        let bucket = self.buckets.get(index.checked_rem(buckets)?)?.lock().await;
        let limit = self.limit(shard).await;
        if limit.remaining == 0 {
            let wait = Duration::from_millis(limit.reset_after.into()).max(BETWEEN);
            tracing::error!(
                shard = shard.index,
                seconds = wait.as_secs(),
                "Discord allows no more sessions for now: waiting until it does"
            );
            sleep(wait).await;
        }
        sleep_until(*bucket).await;
        Some(Pass(bucket))
    }

    /// What is left, this start not counted. The first of each shard is known to be allowed; for
    /// others Discord is asked, since other processes may begin sessions too.
    async fn limit(&self, shard: Shard) -> StartLimit {
        let first = self.left().begun.insert(shard.index);
        if !first && let Ok(Ok(now)) = timeout(ASK_LIMIT, rest::gateway_bot(&self.http)).await {
            self.left().limit = now.session_start_limit;
        }
        let mut left = self.left();
        let limit = left.limit;
        left.limit.remaining = limit.remaining.saturating_sub(1);
        limit
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
