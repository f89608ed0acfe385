//! Limits how often a growing message is edited.
//!
//! serenity obeys the limits in Discord's response headers; an edit that waits there delays the
//! next one, and also the final one. So progress edits stay well below the usual limit of about
//! five edits in five seconds per channel.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Minimum time between progress edits in a channel.
const MIN_EDIT_INTERVAL: Duration = Duration::from_millis(1_250);

/// Maximum time between them when Discord is slow.
const MAX_EDIT_INTERVAL: Duration = Duration::from_secs(10);

/// Channels to remember.
const MAX_CHANNELS: usize = 10_000;

/// When the next edit may be sent, by channel.
#[derive(Default)]
pub(super) struct EditLimiter {
    next_edit_at: Mutex<HashMap<u64, Instant>>,
}

impl EditLimiter {
    /// Waits until this channel may be edited.
    pub(super) async fn wait_for_turn(&self, channel: u64) {
        let turn = {
            let mut next = self
                .next_edit_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if next.len() >= MAX_CHANNELS {
                next.retain(|_, at| *at > now);
            }
            let turn = next.get(&channel).map_or(now, |at| (*at).max(now));
            if next.len() < MAX_CHANNELS {
                next.insert(channel, turn + MIN_EDIT_INTERVAL);
            }
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    /// Slows down the edits in this channel after one that took `duration`.
    pub(super) fn record_duration(&self, channel: u64, duration: Duration) {
        if duration < MIN_EDIT_INTERVAL {
            return;
        }
        let mut next = self
            .next_edit_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let later = Instant::now() + (duration * 2).min(MAX_EDIT_INTERVAL);
        if let Some(at) = next.get_mut(&channel) {
            *at = (*at).max(later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn channels_are_limited_separately() {
        let limiter = EditLimiter::default();
        let start = Instant::now();
        limiter.wait_for_turn(1).await;
        limiter.wait_for_turn(2).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        limiter.wait_for_turn(1).await;
        assert_eq!(start.elapsed(), MIN_EDIT_INTERVAL);
        limiter.record_duration(1, Duration::from_secs(3));
        limiter.wait_for_turn(1).await;
        assert_eq!(start.elapsed(), MIN_EDIT_INTERVAL + Duration::from_secs(6));
    }
}
