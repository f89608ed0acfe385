//! Cache of who is in which voice channel, and the changes to it that sessions have to follow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::flow::session::transcript_view::CannotHearReason;

/// Maximum number of entries, over all servers.
const MAX_VOICE_STATES: usize = 200_000;

/// A user in a voice channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::discord) struct CachedVoiceState {
    pub(super) channel_id: u64,
    /// Their display name in the server, if the gateway sent it.
    pub(super) name: Option<String>,
    pub(super) is_bot: bool,
    /// Why they can't hear anyone.
    pub(super) cannot_hear: Option<CannotHearReason>,
}

/// Server, and whether the queue is for the bot's own changes or for those of other members.
pub(super) type VoiceStateQueueKey = (u64, bool);

/// A change that takes requests to apply.
#[derive(Debug)]
pub(super) enum VoiceStateChange {
    /// A member joined, left or switched channels.
    MemberChanged {
        person: u64,
        before: Option<CachedVoiceState>,
        now: Option<CachedVoiceState>,
    },
    /// Send the session the complete list of members.
    SyncMembers,
    BotMoved,
}

/// Voice states by server and user.
#[derive(Debug, Default)]
pub(super) struct VoiceStateCache(Mutex<VoiceStateMap>);

#[derive(Debug, Default)]
struct VoiceStateMap {
    guilds: HashMap<u64, HashMap<u64, CachedVoiceState>>,
    total: usize,
}

impl VoiceStateCache {
    /// Replaces all entries of a server.
    pub(super) fn replace_guild(
        &self,
        guild_id: u64,
        states: impl IntoIterator<Item = (u64, CachedVoiceState)>,
    ) {
        let mut map = self.lock_states();
        map.remove_guild(guild_id);
        for (user_id, state) in states {
            map.insert(guild_id, user_id, state);
        }
    }

    /// Sets or removes a user's entry. Returns the previous one.
    pub(super) fn replace(
        &self,
        guild_id: u64,
        user_id: u64,
        state: Option<CachedVoiceState>,
    ) -> Option<CachedVoiceState> {
        let mut map = self.lock_states();
        let previous = map.remove(guild_id, user_id);
        if let Some(mut state) = state {
            if state.name.is_none() {
                state.name = previous.as_ref().and_then(|previous| previous.name.clone());
            }
            map.insert(guild_id, user_id, state);
        }
        previous
    }

    /// A user's entry; `None` if they are in no channel.
    pub(super) fn get(&self, guild_id: u64, user_id: u64) -> Option<CachedVoiceState> {
        let map = self.lock_states();
        map.guilds.get(&guild_id)?.get(&user_id).cloned()
    }

    /// The users in a channel, without bots.
    pub(super) fn humans_in_channel(
        &self,
        guild_id: u64,
        channel: u64,
    ) -> Vec<(u64, Option<String>)> {
        let map = self.lock_states();
        let states = map.guilds.get(&guild_id).into_iter().flatten();
        states
            .filter(|(_, state)| state.channel_id == channel && !state.is_bot)
            .map(|(user_id, state)| (*user_id, state.name.clone()))
            .collect()
    }

    /// Number of users in a channel, including bots.
    pub(super) fn count_in_channel(&self, guild_id: u64, channel: u64) -> usize {
        let map = self.lock_states();
        let states = map.guilds.get(&guild_id).into_iter().flatten();
        states
            .filter(|(_, state)| state.channel_id == channel)
            .count()
    }

    fn lock_states(&self) -> MutexGuard<'_, VoiceStateMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VoiceStateMap {
    fn insert(&mut self, guild_id: u64, user_id: u64, state: CachedVoiceState) {
        if self.total >= MAX_VOICE_STATES {
            return;
        }
        let states = self.guilds.entry(guild_id).or_default();
        if states.insert(user_id, state).is_none() {
            self.total += 1;
        }
    }

    fn remove(&mut self, guild_id: u64, user_id: u64) -> Option<CachedVoiceState> {
        let states = self.guilds.get_mut(&guild_id)?;
        let state = states.remove(&user_id);
        self.total -= usize::from(state.is_some());
        if states.is_empty() {
            self.guilds.remove(&guild_id);
        }
        state
    }

    fn remove_guild(&mut self, guild_id: u64) {
        let removed = self
            .guilds
            .remove(&guild_id)
            .map_or(0, |states| states.len());
        self.total -= removed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice_state(channel: u64, name: &str) -> CachedVoiceState {
        CachedVoiceState {
            channel_id: channel,
            name: (!name.is_empty()).then(|| name.to_owned()),
            is_bot: name == "bot",
            cannot_hear: None,
        }
    }

    #[test]
    fn people_come_move_and_go() {
        let cache = VoiceStateCache::default();
        cache.replace_guild(
            1,
            [(7, voice_state(10, "Ana")), (8, voice_state(10, "bot"))],
        );
        assert_eq!(
            cache.humans_in_channel(1, 10),
            [(7, Some("Ana".to_owned()))]
        );
        assert_eq!(cache.count_in_channel(1, 10), 2);
        // The event for a move has no name.
        let previous = cache.replace(1, 7, Some(voice_state(11, "")));
        assert_eq!(previous, Some(voice_state(10, "Ana")));
        assert_eq!(cache.get(1, 7), Some(voice_state(11, "Ana")));
        assert_eq!(cache.replace(1, 7, None), Some(voice_state(11, "Ana")));
        assert_eq!(cache.get(1, 7), None);
        cache.replace_guild(1, []);
        assert_eq!(cache.count_in_channel(1, 10), 0);
        assert_eq!(cache.lock_states().total, 0);
    }
}
