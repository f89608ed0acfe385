//! Limits how often a user is told something by direct message.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Minimum time before a user is told again by direct message about the same channel.
const DM_COOLDOWN: Duration = Duration::from_secs(3_600);

/// How many users and channels to remember for that.
const MAX_DM_ENTRIES: usize = 10_000;

/// Who was told recently by direct message about which channel.
#[derive(Default)]
pub(super) struct DirectMessageLimiter(Mutex<HashMap<(u64, u64), Instant>>);

impl DirectMessageLimiter {
    /// Whether this user may be told about this channel now. Starts the cooldown.
    pub(super) fn try_acquire(&self, user: u64, channel: u64) -> bool {
        let mut last_told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last_told.len() >= MAX_DM_ENTRIES {
            last_told.retain(|_, at| at.elapsed() < DM_COOLDOWN);
        }
        let known = last_told.get(&(user, channel));
        if known.is_some_and(|at| at.elapsed() < DM_COOLDOWN) || last_told.len() >= MAX_DM_ENTRIES {
            return false;
        }
        last_told.insert((user, channel), Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn direct_messages_have_a_cooldown() {
        let limiter = DirectMessageLimiter::default();
        assert!(limiter.try_acquire(1, 7));
        assert!(!limiter.try_acquire(1, 7));
        assert!(limiter.try_acquire(2, 7) && limiter.try_acquire(1, 8));
        tokio::time::advance(DM_COOLDOWN).await;
        assert!(limiter.try_acquire(1, 7));
    }
}
