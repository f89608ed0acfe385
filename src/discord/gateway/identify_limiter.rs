//! Spaces out IDENTIFY payloads and keeps them within Discord's daily session start limit.
//!
//! Discord resets the token of a bot that exceeds the limit:
//! <https://discord.com/developers/docs/events/gateway#session-start-limit-object>.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serenity::all::Http;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shard;
use crate::discord::decode::{GatewayBot, SessionStartLimit};
use crate::discord::rest;

/// Minimum time between two IDENTIFYs in the same rate limit bucket.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(5);

/// How long the request for the number of remaining starts may take.
const START_LIMIT_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Upper bound on `max_concurrency`: the largest value that Discord hands out.
const MAX_BUCKETS: u32 = 256;

/// Grants shards permission to start a session, one at a time per bucket.
pub(super) struct IdentifyLimiter {
    http: Arc<Http>,
    /// For each bucket, the earliest time of the next IDENTIFY.
    buckets: Vec<Mutex<Instant>>,
    remaining_starts: std::sync::Mutex<RemainingStarts>,
}

struct RemainingStarts {
    limit: SessionStartLimit,
    /// Shards that have used the start they were granted from the initial limit.
    identified_shards: HashSet<u32>,
}

/// Permission to send IDENTIFY. Dropping it starts the bucket's wait of [`IDENTIFY_INTERVAL`].
pub(super) struct IdentifyPermit<'a>(MutexGuard<'a, Instant>);

impl Drop for IdentifyPermit<'_> {
    fn drop(&mut self) {
        *self.0 = Instant::now() + IDENTIFY_INTERVAL;
    }
}

impl IdentifyLimiter {
    pub(super) fn new(http: Arc<Http>, gateway_bot: &GatewayBot) -> Self {
        let limit = gateway_bot.session_start_limit;
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

    /// Waits until this shard may start a session. Returns `None` only if there are no buckets.
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
                "session start limit reached: waiting until it resets"
            );
            sleep(wait).await;
        }
        sleep_until(*bucket).await;
        Some(IdentifyPermit(bucket))
    }

    /// Takes one start and returns the limit as it was before. The first start of each shard is
    /// covered by the limit fetched at startup; later ones ask Discord again, since other processes
    /// may have used the same token.
    async fn take_start(&self, shard: Shard) -> SessionStartLimit {
        let first = self
            .lock_remaining_starts()
            .identified_shards
            .insert(shard.index);
        if !first
            && let Ok(Ok(fetched)) =
                timeout(START_LIMIT_QUERY_TIMEOUT, rest::get_gateway_bot(&self.http)).await
        {
            self.lock_remaining_starts().limit = fetched.session_start_limit;
        }
        let mut remaining = self.lock_remaining_starts();
        let limit = remaining.limit;
        remaining.limit.remaining = limit.remaining.saturating_sub(1);
        limit
    }

    fn lock_remaining_starts(&self) -> std::sync::MutexGuard<'_, RemainingStarts> {
        self.remaining_starts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
