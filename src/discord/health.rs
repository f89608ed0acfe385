//! Health of the running bot for monitoring: numbers and ids only, never user names or content.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use metrics::gauge;

use super::voice::VoiceSessions;
use crate::store::Timestamp;
use audio::SpeakerStats;

/// Maximum number of shards tracked, more than Discord assigns to any bot.
const MAX_SHARDS: usize = 16_384;

/// Health of the running bot. Clones share their state.
#[derive(Clone, Default)]
pub struct BotHealth(Arc<BotHealthInner>);

#[derive(Default)]
struct BotHealthInner {
    /// By shard index; empty before the first connection.
    shards: Mutex<Vec<ShardState>>,
    /// Bot name and number of servers, set once all shards have connected.
    bot: OnceLock<(String, usize)>,
    sessions: OnceLock<Weak<VoiceSessions>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ShardState {
    NotConnected,
    Connected,
    Disconnected {
        since: Instant,
        attempts: u32,
        retry_at: Instant,
    },
}

/// A shard that has lost its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DisconnectedShard {
    /// Shard index.
    pub shard: usize,
    /// Time since the connection was lost.
    pub down_for: Duration,
    /// Failed attempts to reconnect.
    pub tries: u32,
    /// Time until the next attempt.
    pub next: Duration,
}

/// A running voice session.
#[derive(Debug)]
pub struct VoiceSessionStatus {
    /// Session id in the ledger.
    pub id: i64,
    /// Server id.
    pub guild: u64,
    /// Id of the voice channel.
    pub voice_channel: u64,
    /// When the session started.
    pub started: Timestamp,
    /// Reception statistics by user id.
    pub people: Vec<(u64, SpeakerStats)>,
}

impl BotHealth {
    /// Connected shards and all shards; both are zero before the first connection.
    #[must_use]
    pub fn connected_and_total_shards(&self) -> (usize, usize) {
        let shards = self.lock_shards();
        let up = shards
            .iter()
            .filter(|state| **state == ShardState::Connected);
        (up.count(), shards.len())
    }

    /// The shards that have lost their connection.
    #[must_use]
    pub fn away(&self) -> Vec<DisconnectedShard> {
        let now = Instant::now();
        let shards = self.lock_shards();
        let states = shards.iter().enumerate();
        states
            .filter_map(|(shard, state)| match *state {
                ShardState::Disconnected {
                    since,
                    attempts,
                    retry_at,
                } => Some(DisconnectedShard {
                    shard,
                    down_for: now.saturating_duration_since(since),
                    // The first attempt was the connection that was lost.
                    tries: attempts.saturating_sub(1),
                    next: retry_at.saturating_duration_since(now),
                }),
                ShardState::NotConnected | ShardState::Connected => None,
            })
            .collect()
    }

    /// The bot's name and the number of its servers when all shards had first connected.
    #[must_use]
    pub fn bot_name_and_guild_count(&self) -> Option<(&str, usize)> {
        let (name, servers) = self.0.bot.get()?;
        Some((name, *servers))
    }

    /// The running voice sessions.
    #[must_use]
    pub fn voice_sessions(&self) -> Vec<VoiceSessionStatus> {
        let sessions = self.0.sessions.get().and_then(Weak::upgrade);
        sessions.map_or_else(Vec::new, |sessions| sessions.snapshot())
    }

    /// Sets the number of shards; none of them is connected yet.
    pub(super) fn set_shard_count(&self, shards: u32) {
        let shards = usize::try_from(shards).unwrap_or(usize::MAX);
        *self.lock_shards() = vec![ShardState::NotConnected; shards.min(MAX_SHARDS)];
        self.update_gauge();
    }

    pub(super) fn mark_connected(&self, shard: u32) {
        self.set_shard_state(shard, ShardState::Connected);
    }

    /// Records that a shard has been disconnected since `since` and retries at `retry_at`.
    pub(super) fn mark_disconnected(
        &self,
        shard: u32,
        since: Instant,
        attempts: u32,
        retry_at: Instant,
    ) {
        self.set_shard_state(
            shard,
            ShardState::Disconnected {
                since,
                attempts,
                retry_at,
            },
        );
    }

    /// Marks all shards as not connected.
    pub(super) fn reset_shards(&self) {
        self.lock_shards().fill(ShardState::NotConnected);
        self.update_gauge();
    }

    fn set_shard_state(&self, shard: u32, state: ShardState) {
        let index = usize::try_from(shard).unwrap_or(usize::MAX);
        if let Some(known) = self.lock_shards().get_mut(index) {
            *known = state;
        }
        self.update_gauge();
    }

    fn update_gauge(&self) {
        let (up, _) = self.connected_and_total_shards();
        gauge!("talkback_gateway_shards_up").set(u32::try_from(up).map_or(0.0, f64::from));
    }

    fn lock_shards(&self) -> MutexGuard<'_, Vec<ShardState>> {
        self.0.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_bot(&self, name: &str, servers: usize) {
        let _ = self.0.bot.set((name.to_owned(), servers));
    }

    pub(super) fn set_voice_sessions(&self, sessions: &Arc<VoiceSessions>) {
        let _ = self.0.sessions.set(Arc::downgrade(sessions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_shards_are_counted_once() {
        let health = BotHealth::default();
        assert_eq!(health.connected_and_total_shards(), (0, 0));
        // A shard of an earlier gateway session.
        health.mark_connected(3);
        health.set_shard_count(2);
        assert_eq!(health.connected_and_total_shards(), (0, 2));
        let now = Instant::now();
        for _ in 0..2 {
            health.mark_connected(0);
            assert_eq!(health.connected_and_total_shards(), (1, 2));
        }
        for tries in 1..3 {
            health.mark_disconnected(0, now, tries, now);
            assert_eq!(health.connected_and_total_shards(), (0, 2));
        }
        assert_eq!(health.away().first().map(|away| away.tries), Some(1));
        health.reset_shards();
        health.reset_shards();
        assert_eq!(health.connected_and_total_shards(), (0, 2));
        assert_eq!(health.away(), []);
    }
}
