//! Sessions are begun one after the other, and not more of them than Discord allows in a day: who
//! begins too many has their token reset.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serenity::all::Http;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shard;
use crate::discord::decode::{GatewayBot, SessionStartLimit};
use crate::discord::rest;

/// Between two starts in the same bucket.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(5);

/// How long it may take to ask how many starts are left.
const START_LIMIT_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts that may be made at the same time: as many as Discord ever gives.
const MAX_BUCKETS: u32 = 256;

/// Whom a session may be begun by.
pub(super) struct IdentifyLimiter {
    http: Arc<Http>,
    /// When the next may begin, per bucket.
    buckets: Vec<Mutex<Instant>>,
    remaining_starts: std::sync::Mutex<RemainingStarts>,
}

struct RemainingStarts {
    limit: SessionStartLimit,
    /// Shards that have begun a session with what was known at first.
    identified_shards: HashSet<u32>,
}

/// The right to begin a session; the next begins some time after it is dropped.
pub(super) struct IdentifyPermit<'a>(MutexGuard<'a, Instant>);

impl Drop for IdentifyPermit<'_> {
    fn drop(&mut self) {
        *self.0 = Instant::now() + IDENTIFY_INTERVAL;
    }
}

impl IdentifyLimiter {
    pub(super) fn new(http: Arc<Http>, known: &GatewayBot) -> Self {
        let limit = known.session_start_limit;
        let buckets = limit.max_concurrency.clamp(1, MAX_BUCKETS);
        Self {
            http,
            buckets: (0..buckets).map(|_| Mutex::new(Instant::now())).collect(),
            remaining_starts: std::sync::Mutex::new(RemainingStarts {
                limit,
                identified_shards: HashSet::new(),
            }),
        }
    }

    /// Waits until this shard may begin a session.
    pub(super) async fn acquire(&self, shard: Shard) -> Option<IdentifyPermit<'_>> {
        let buckets = self.buckets.len();
        let index = usize::try_from(shard.index).unwrap_or_default();
        let bucket = self.buckets.get(index.checked_rem(buckets)?)?.lock().await;
        let limit = self.take_start(shard).await;
        if limit.remaining == 0 {
            let wait = Duration::from_millis(limit.reset_after.into()).max(IDENTIFY_INTERVAL);
            tracing::error!(
                shard = shard.index,
                seconds = wait.as_secs(),
                "Discord allows no more sessions for now: waiting until it does"
            );
            sleep(wait).await;
        }
        sleep_until(*bucket).await;
        Some(IdentifyPermit(bucket))
    }

    /// What is left, this start not counted. The first of each shard is known to be allowed; for
    /// others Discord is asked, since other processes may begin sessions too.
    async fn take_start(&self, shard: Shard) -> SessionStartLimit {
        let first = self
            .lock_remaining_starts()
            .identified_shards
            .insert(shard.index);
        if !first
            && let Ok(Ok(now)) =
                timeout(START_LIMIT_QUERY_TIMEOUT, rest::get_gateway_bot(&self.http)).await
        {
            self.lock_remaining_starts().limit = now.session_start_limit;
        }
        let mut left = self.lock_remaining_starts();
        let limit = left.limit;
        left.limit.remaining = limit.remaining.saturating_sub(1);
        limit
    }

    fn lock_remaining_starts(&self) -> std::sync::MutexGuard<'_, RemainingStarts> {
        self.remaining_starts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
