//! How often a message that grows is edited.
//!
//! Discord's limits come with each answer and are obeyed by the HTTP client; an edit that has to
//! wait there holds up the next one, and the last one too. So edits that only show progress keep
//! well below what is usual, about five in five seconds for a channel.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two such edits in a channel.
const GAP: Duration = Duration::from_millis(1_250);

/// The longest time, where Discord itself is slow.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// Channels that are remembered.
const MAX_CHANNELS: usize = 10_000;

/// When the next edit may go into which channel.
#[derive(Default)]
pub(super) struct Pace {
    next: Mutex<HashMap<u64, Instant>>,
}

impl Pace {
    /// Waits for this channel's turn.
    pub(super) async fn wait(&self, channel: u64) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if next.len() >= MAX_CHANNELS {
                next.retain(|_, at| *at > now);
            }
            let turn = next.get(&channel).map_or(now, |at| (*at).max(now));
            if next.len() < MAX_CHANNELS {
                next.insert(channel, turn + GAP);
            }
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    /// An edit in this channel took so long: the next ones wait accordingly.
    pub(super) fn took(&self, channel: u64, time: Duration) {
        if time < GAP {
            return;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let later = Instant::now() + (time * 2).min(LONGEST_GAP);
        if let Some(at) = next.get_mut(&channel) {
            *at = (*at).max(later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_channel_waits_and_another_one_does_not() {
        let pace = Pace::default();
        let start = Instant::now();
        pace.wait(1).await;
        pace.wait(2).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.wait(1).await;
        assert_eq!(start.elapsed(), GAP);
        pace.took(1, Duration::from_secs(3));
        pace.wait(1).await;
        assert_eq!(start.elapsed(), GAP + Duration::from_secs(6));
    }
}
