//! What others may see of the running bot: numbers and ids, no names of people and no words.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::voice::Sessions;
use crate::audio::Counts;
use crate::store::Timestamp;

/// The state that others look at while the bot runs. Cloning shares it.
#[derive(Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Default)]
struct Shared {
    up: AtomicUsize,
    shards: AtomicUsize,
    /// Known once all shards have been connected.
    bot: OnceLock<(String, usize)>,
    sessions: OnceLock<Weak<Sessions>>,
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
        (
            self.0.up.load(Ordering::Relaxed),
            self.0.shards.load(Ordering::Relaxed),
        )
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

    /// There are so many shards.
    pub(super) fn has_shards(&self, shards: usize) {
        self.0.shards.store(shards, Ordering::Relaxed);
    }

    /// One shard more is connected; says how many are.
    pub(super) fn one_more(&self) -> usize {
        self.0.up.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// One shard less is connected; says how many are.
    pub(super) fn one_less(&self) -> usize {
        self.0.up.fetch_sub(1, Ordering::Relaxed).saturating_sub(1)
    }

    /// None is.
    pub(super) fn none_up(&self) {
        self.0.up.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_called(&self, name: &str, servers: usize) {
        let _ = self.0.bot.set((name.to_owned(), servers));
    }

    pub(super) fn holds(&self, sessions: &Arc<Sessions>) {
        let _ = self.0.sessions.set(Arc::downgrade(sessions));
    }
}
