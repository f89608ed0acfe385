//! Cache of who is in which voice channel.

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
        server: u64,
        seats: impl IntoIterator<Item = (u64, CachedVoiceState)>,
    ) {
        let mut all = self.lock_states();
        all.remove_guild(server);
        for (person, seat) in seats {
            all.insert(server, person, seat);
        }
    }

    /// Sets or removes a user's entry. Returns the previous one.
    pub(super) fn replace(
        &self,
        server: u64,
        person: u64,
        seat: Option<CachedVoiceState>,
    ) -> Option<CachedVoiceState> {
        let mut all = self.lock_states();
        let before = all.remove(server, person);
        if let Some(mut seat) = seat {
            if seat.name.is_none() {
                seat.name = before.as_ref().and_then(|before| before.name.clone());
            }
            all.insert(server, person, seat);
        }
        before
    }

    /// A user's entry; `None` if they are in no channel.
    pub(super) fn get(&self, server: u64, person: u64) -> Option<CachedVoiceState> {
        let all = self.lock_states();
        all.guilds.get(&server)?.get(&person).cloned()
    }

    /// The users in a channel, without bots.
    pub(super) fn humans_in_channel(
        &self,
        server: u64,
        channel: u64,
    ) -> Vec<(u64, Option<String>)> {
        let all = self.lock_states();
        let seats = all.guilds.get(&server).into_iter().flatten();
        seats
            .filter(|(_, seat)| seat.channel_id == channel && !seat.is_bot)
            .map(|(person, seat)| (*person, seat.name.clone()))
            .collect()
    }

    /// Number of users in a channel, including bots.
    pub(super) fn count_in_channel(&self, server: u64, channel: u64) -> usize {
        let all = self.lock_states();
        let seats = all.guilds.get(&server).into_iter().flatten();
        seats.filter(|(_, seat)| seat.channel_id == channel).count()
    }

    fn lock_states(&self) -> MutexGuard<'_, VoiceStateMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VoiceStateMap {
    fn insert(&mut self, server: u64, person: u64, seat: CachedVoiceState) {
        if self.total >= MAX_VOICE_STATES {
            return;
        }
        let seats = self.guilds.entry(server).or_default();
        if seats.insert(person, seat).is_none() {
            self.total += 1;
        }
    }

    fn remove(&mut self, server: u64, person: u64) -> Option<CachedVoiceState> {
        let seats = self.guilds.get_mut(&server)?;
        let seat = seats.remove(&person);
        self.total -= usize::from(seat.is_some());
        if seats.is_empty() {
            self.guilds.remove(&server);
        }
        seat
    }

    fn remove_guild(&mut self, server: u64) {
        let gone = self.guilds.remove(&server).map_or(0, |seats| seats.len());
        self.total -= gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(channel: u64, name: &str) -> CachedVoiceState {
        CachedVoiceState {
            channel_id: channel,
            name: (!name.is_empty()).then(|| name.to_owned()),
            is_bot: name == "bot",
            cannot_hear: None,
        }
    }

    #[test]
    fn people_come_move_and_go() {
        let presence = VoiceStateCache::default();
        presence.replace_guild(1, [(7, seat(10, "Ana")), (8, seat(10, "bot"))]);
        assert_eq!(
            presence.humans_in_channel(1, 10),
            [(7, Some("Ana".to_owned()))]
        );
        assert_eq!(presence.count_in_channel(1, 10), 2);
        // The event for a move has no name.
        let before = presence.replace(1, 7, Some(seat(11, "")));
        assert_eq!(before, Some(seat(10, "Ana")));
        assert_eq!(presence.get(1, 7), Some(seat(11, "Ana")));
        assert_eq!(presence.replace(1, 7, None), Some(seat(11, "Ana")));
        assert_eq!(presence.get(1, 7), None);
        presence.replace_guild(1, []);
        assert_eq!(presence.count_in_channel(1, 10), 0);
        assert_eq!(presence.lock_states().total, 0);
    }
}
