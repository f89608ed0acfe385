//! What others may see of the running bot: numbers and ids, no names of people and no words.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use metrics::gauge;

use super::voice::Sessions;
use crate::store::Timestamp;
use audio::Counts;

/// Shards of which the state is kept: more than Discord gives anybody.
const MAX_SHARDS: usize = 16_384;

/// The state that others look at while the bot runs. Cloning shares it.
#[derive(Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// By index; none while the gateway is not come to at all.
    shards: Mutex<Vec<ShardState>>,
    /// Known once all shards have been connected.
    bot: OnceLock<(String, usize)>,
    sessions: OnceLock<Weak<Sessions>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ShardState {
    /// Not connected yet.
    New,
    Up,
    Away {
        since: Instant,
        tries: u32,
        next: Instant,
    },
}

/// A shard that has lost its connection, seen from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShardAway {
    /// Its index.
    pub shard: usize,
    /// For how long.
    pub since: Duration,
    /// How often it has tried to come back.
    pub tries: u32,
    /// When it tries again.
    pub next: Duration,
}

/// A voice session, seen from outside.
#[derive(Debug)]
pub struct SessionSeen {
    /// Its number in the ledger.
    pub id: i64,
    /// The server.
    pub guild: u64,
    /// The voice channel.
    pub voice: u64,
    /// When it began.
    pub started: Timestamp,
    /// What was heard of whom.
    pub people: Vec<(u64, Counts)>,
}

impl Health {
    /// How many shards are connected, and how many there are; none before the first connection.
    #[must_use]
    pub fn shards(&self) -> (usize, usize) {
        let shards = self.states();
        let up = shards.iter().filter(|state| **state == ShardState::Up);
        (up.count(), shards.len())
    }

    /// The shards that have lost their connection.
    #[must_use]
    pub fn away(&self) -> Vec<ShardAway> {
        let now = Instant::now();
        let shards = self.states();
        let away = shards.iter().enumerate();
        away.filter_map(|(shard, state)| match *state {
            ShardState::Away { since, tries, next } => Some(ShardAway {
                shard,
                since: now.saturating_duration_since(since),
                // The first was the connection that is lost.
                tries: tries.saturating_sub(1),
                next: next.saturating_duration_since(now),
            }),
            ShardState::New | ShardState::Up => None,
        })
        .collect()
    }

    /// The bot's name and how many servers it was in when all shards were connected first.
    #[must_use]
    pub fn bot(&self) -> Option<(&str, usize)> {
        let (name, servers) = self.0.bot.get()?;
        Some((name, *servers))
    }

    /// The voice sessions that are held.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionSeen> {
        let sessions = self.0.sessions.get().and_then(Weak::upgrade);
        sessions.map_or_else(Vec::new, |sessions| sessions.seen())
    }

    /// So many shards are to be connected.
    pub(super) fn begins(&self, shards: u32) {
        let shards = usize::try_from(shards).unwrap_or(usize::MAX);
        *self.states() = vec![ShardState::New; shards.min(MAX_SHARDS)];
        self.show();
    }

    /// A shard is connected.
    pub(super) fn up(&self, shard: u32) {
        self.set(shard, ShardState::Up);
    }

    /// A shard is not connected since then, and is going to try again.
    pub(super) fn away_since(&self, shard: u32, since: Instant, tries: u32, next: Instant) {
        self.set(shard, ShardState::Away { since, tries, next });
    }

    /// All connections have ended.
    pub(super) fn ends(&self) {
        self.states().fill(ShardState::New);
        self.show();
    }

    fn set(&self, shard: u32, state: ShardState) {
        let index = usize::try_from(shard).unwrap_or(usize::MAX);
        if let Some(known) = self.states().get_mut(index) {
            *known = state;
        }
        self.show();
    }

    fn show(&self) {
        let (up, _) = self.shards();
        gauge!("talkback_gateway_shards_up").set(u32::try_from(up).map_or(0.0, f64::from));
    }

    fn states(&self) -> MutexGuard<'_, Vec<ShardState>> {
        self.0.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_called(&self, name: &str, servers: usize) {
        let _ = self.0.bot.set((name.to_owned(), servers));
    }

    pub(super) fn holds(&self, sessions: &Arc<Sessions>) {
        let _ = self.0.sessions.set(Arc::downgrade(sessions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_counted_once_however_often_it_comes_and_goes() {
        let health = Health::default();
        assert_eq!(health.shards(), (0, 0));
        // One of an earlier life.
        health.up(3);
        health.begins(2);
        assert_eq!(health.shards(), (0, 2));
        let now = Instant::now();
        for _ in 0..2 {
            health.up(0);
            assert_eq!(health.shards(), (1, 2));
        }
        for tries in 1..3 {
            health.away_since(0, now, tries, now);
            assert_eq!(health.shards(), (0, 2));
        }
        assert_eq!(health.away().first().map(|away| away.tries), Some(1));
        health.ends();
        health.ends();
        assert_eq!(health.shards(), (0, 2));
        assert_eq!(health.away(), []);
    }
}
