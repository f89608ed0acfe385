//! Decides whose audio, words and name may be used.
//!
//! A value that belongs to a user carries a [`ConsentGrant`]. When the user withdraws consent, is
//! forgotten, or may no longer be heard, the grant ends for good: a [`PersonalData`] value can no
//! longer be read, wherever it is at that moment, and work on it stops. The grant is checked at
//! every hand-over: from the network to the decoder, into a queue, to a provider, to a transcript
//! line, to the ledger, to the transcript view, to a file, and into a prompt.
//!
//! Memory comes first: [`ConsentRegistry`] changes its state before the ledger does, keeps it if
//! the ledger can't be written, and retries the write until it succeeds.

mod grant;
mod guild_consents;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use grant::{ConsentGrant, ConsentGrants, PersonalData};
pub use guild_consents::GuildConsents;

use grant::GrantToken;
use net::Backoff;

use crate::store::{Consent, DeletedCounts, Store, StoreError, Timestamp};

/// Users tracked at once. When the limit is reached, users without live grants are evicted.
const MAX_USERS: usize = 50_000;

/// How long a user stays known as forgotten. Data that was read from the ledger before that may
/// be in use for this long.
const FORGET_RETENTION: Duration = Duration::from_secs(3_600);

/// Waits between retries of a failed write, doubling from the first to the longest.
const INITIAL_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Whether members are transcribed before they have decided.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentRule {
    /// Only members who have agreed are transcribed.
    #[default]
    Ask,
    /// All members are notified, and transcribed unless they opt out.
    Notice,
}

/// The process-wide consent state: who may be heard, and who has been forgotten. Clones share it.
#[derive(Clone, Default)]
pub struct ConsentRegistry(Arc<RegistryInner>);

#[derive(Default)]
struct RegistryInner {
    state: Mutex<RegistryState>,
    /// Notified when a write to the ledger has failed.
    write_failed: Notify,
}

#[derive(Default)]
struct RegistryState {
    guilds: HashMap<u64, GuildConsents>,
    users: HashMap<u64, KnownUser>,
    /// Users who are still to be deleted from the ledger.
    pending_forgets: HashSet<u64>,
    /// Sequence number of the latest change.
    last_request: u64,
}

#[derive(Default)]
struct KnownUser {
    token: GrantToken,
    forgotten_at: Option<Timestamp>,
}

impl std::fmt::Debug for ConsentRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock_state();
        let sizes = (state.guilds.len(), state.users.len());
        write!(f, "ConsentRegistry({sizes:?})")
    }
}

impl ConsentRegistry {
    /// The consents of a guild, as known to this process.
    #[must_use]
    pub fn for_guild(&self, guild: u64) -> GuildConsents {
        let mut state = self.lock_state();
        state.guilds.entry(guild).or_default().clone()
    }

    /// The consents of a guild, updated from the ledger.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn load_guild(&self, store: &Store, guild: u64) -> Result<GuildConsents, StoreError> {
        let guild_consents = self.for_guild(guild);
        let as_of = self.lock_state().last_request;
        let mut decisions = store.consents(guild).await?;
        {
            let state = self.lock_state();
            decisions.retain(|person, _| !state.pending_forgets.contains(person));
        }
        guild_consents.load_decisions(&decisions, as_of);
        Ok(guild_consents)
    }

    /// A grant for what a user writes or sends now. It ends when the user is forgotten.
    #[must_use]
    pub fn current_grant(&self, person: u64) -> ConsentGrant {
        let mut state = self.lock_state();
        ConsentGrant::new(person, &state.user_entry(person).token)
    }

    /// A grant for a user's data that the ledger or Discord stored at `at`. `None` if the
    /// user was forgotten after that.
    #[must_use]
    pub fn grant_for_stored(&self, person: u64, at: Timestamp) -> Option<ConsentGrant> {
        if person == 0 {
            return Some(ConsentGrant::unowned());
        }
        let mut state = self.lock_state();
        let user = state.user_entry(person);
        let after = user.forgotten_at.is_none_or(|forgotten| at > forgotten);
        after.then(|| ConsentGrant::new(person, &user.token))
    }

    /// A grant for what a user said in a call of this guild at `at`. `None` if they were forgotten
    /// or withdrew consent after that, or may not be heard.
    #[must_use]
    pub fn grant_for_stored_speech(
        &self,
        guild: u64,
        person: u64,
        at: Timestamp,
    ) -> Option<ConsentGrant> {
        if person == 0 {
            return Some(ConsentGrant::unowned());
        }
        self.grant_for_stored(person, at)?;
        self.for_guild(guild).grant_for_speech_at(person, at)
    }

    /// Records whether a user may be heard in a guild's calls. A withdrawal takes effect at once;
    /// consent takes effect when it has been written.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written. A withdrawal still holds for the life of this process, and
    /// the write is retried.
    pub async fn record_decision(
        &self,
        store: &Store,
        (guild, person): (u64, u64),
        consent: Consent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let guild_consents = self.for_guild(guild);
        let request = self.lock_state().next_request();
        guild_consents.set_latest_request(person, request);
        if consent == Consent::No {
            guild_consents.mark_declined(person, at);
        }
        let is_latest = || guild_consents.is_latest_request(person, request);
        let written = store
            .set_consent(guild, person, consent, at, &is_latest)
            .await;
        match written {
            Ok(()) if !is_latest() => {}
            Ok(()) => {
                let sequence = self.lock_state().next_request();
                match consent {
                    Consent::Yes => guild_consents.mark_agreed(person, sequence),
                    Consent::No => guild_consents.mark_written(person, sequence),
                }
            }
            Err(error) => {
                self.0.write_failed.notify_one();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Forgets a user. All their grants have ended before the ledger is written.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written. The user is still forgotten for the life of this process,
    /// and the deletion is retried.
    pub async fn forget_user(
        &self,
        store: &Store,
        person: u64,
        at: Timestamp,
    ) -> Result<DeletedCounts, StoreError> {
        self.end_all_grants(person, at);
        let deleted = store.forget_author(person, at).await;
        match &deleted {
            Ok(_) => {
                self.lock_state().pending_forgets.remove(&person);
            }
            Err(_) => self.0.write_failed.notify_one(),
        }
        deleted
    }

    fn end_all_grants(&self, person: u64, at: Timestamp) {
        let mut state = self.lock_state();
        let request = state.next_request();
        state.pending_forgets.insert(person);
        let user = state.user_entry(person);
        user.forgotten_at = Some(at);
        std::mem::take(&mut user.token).cancel();
        for guild_consents in state.guilds.values() {
            guild_consents.mark_forgotten(person, at, request);
        }
    }

    /// Whether some decision or deletion is missing from the ledger.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        let state = self.lock_state();
        let mut all_guilds = state.guilds.values();
        !state.pending_forgets.is_empty()
            || all_guilds.any(|guild_consents| !guild_consents.unwritten_decisions().is_empty())
    }

    /// Retries failed writes until they succeed. Never returns.
    pub async fn run_write_retries(self, store: Store, clock: fn() -> Timestamp) {
        loop {
            self.0.write_failed.notified().await;
            let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
            while let Err(error) = self.write_pending(&store, clock()).await {
                let wait = backoff.next_delay();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    ?wait,
                    "a consent decision is not stored yet"
                );
                tokio::time::sleep(wait).await;
            }
        }
    }

    async fn write_pending(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let to_forget: Vec<u64> = self.lock_state().pending_forgets.iter().copied().collect();
        for person in to_forget {
            store.forget_author(person, now).await?;
            let mut state = self.lock_state();
            state.pending_forgets.remove(&person);
            // The deletion removed decisions that the user has made since.
            for guild_consents in state.guilds.values() {
                guild_consents.mark_unwritten(person);
            }
        }
        let guilds: Vec<(u64, GuildConsents)> = {
            let state = self.lock_state();
            let all = state.guilds.iter();
            all.map(|(guild, guild_consents)| (*guild, guild_consents.clone()))
                .collect()
        };
        for (guild, guild_consents) in guilds {
            for (person, consent, request) in guild_consents.unwritten_decisions() {
                let is_latest = || guild_consents.is_latest_request(person, request);
                store
                    .set_consent(guild, person, consent, now, &is_latest)
                    .await?;
                if is_latest() {
                    let sequence = self.lock_state().next_request();
                    guild_consents.mark_written(person, sequence);
                }
            }
        }
        Ok(())
    }

    fn lock_state(&self) -> MutexGuard<'_, RegistryState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryState {
    fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    fn user_entry(&mut self, person: u64) -> &mut KnownUser {
        if self.users.len() >= MAX_USERS && !self.users.contains_key(&person) {
            let recent = Timestamp::now().earlier_by(FORGET_RETENTION);
            let to_forget = &self.pending_forgets;
            self.users.retain(|id, user| {
                Arc::strong_count(&user.token) > 1
                    || to_forget.contains(id)
                    || user.forgotten_at.is_some_and(|at| at > recent)
            });
        }
        self.users.entry(person).or_default()
    }
}
