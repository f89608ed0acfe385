//! Whose sound, words and name may go on: the one place that decides it.
//!
//! What is somebody's carries their [`ConsentGrant`]. From the moment they say no, are forgotten or may be
//! heard no more, it has ended for good: what carries it does not open any more ([`PersonalData`]),
//! wherever it is at that moment, and what is being done with it stops. Every hand-over opens
//! anew: from the network to the ear, to a place in line, to a provider, to a line, into the
//! ledger, onto the board, into a file, into a question to a model.
//!
//! Memory is first. [`ConsentRegistry`] knows before the ledger does, goes on knowing where the ledger
//! can't be written, and tries to write until it can.

mod grant;
mod guild_consents;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use grant::{ConsentGrant, ConsentGrants, PersonalData};
pub use guild_consents::GuildConsents;

use grant::GrantToken;

use crate::store::{Consent, DeletedCounts, Store, StoreError, Timestamp};

/// People that are known by a stamp. Of those beyond it, whoever has nothing on its way is dropped.
const MAX_USERS: usize = 50_000;

/// So long what was read from the ledger may be on its way: until then it is known when its people
/// were forgotten.
const FORGET_RETENTION: Duration = Duration::from_secs(3_600);

/// The waits before what could not be written is tried again, doubling from the first to the
/// longest.
const INITIAL_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// All that this process knows of who may be heard and who is forgotten. Clones are the same.
#[derive(Clone, Default)]
pub struct ConsentRegistry(Arc<RegistryInner>);

#[derive(Default)]
struct RegistryInner {
    state: Mutex<RegistryState>,
    /// Something could not be written.
    write_failed: Notify,
}

#[derive(Default)]
struct RegistryState {
    guilds: HashMap<u64, GuildConsents>,
    users: HashMap<u64, KnownUser>,
    /// People whom the ledger still has to forget.
    pending_forgets: HashSet<u64>,
    /// Wishes so far.
    last_request: u64,
}

#[derive(Default)]
struct KnownUser {
    token: GrantToken,
    forgotten_at: Option<Timestamp>,
}

impl std::fmt::Debug for ConsentRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let register = self.lock_state();
        let sizes = (register.guilds.len(), register.users.len());
        write!(f, "Consents({sizes:?})")
    }
}

impl ConsentRegistry {
    /// The book of a server.
    #[must_use]
    pub fn for_guild(&self, guild: u64) -> GuildConsents {
        let mut register = self.lock_state();
        register.guilds.entry(guild).or_default().clone()
    }

    /// The book of a server, with what the ledger knows.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn load_guild(&self, store: &Store, guild: u64) -> Result<GuildConsents, StoreError> {
        let book = self.for_guild(guild);
        let as_of = self.lock_state().last_request;
        let mut decided = store.consents(guild).await?;
        {
            let register = self.lock_state();
            decided.retain(|person, _| !register.pending_forgets.contains(person));
        }
        book.load_decisions(&decided, as_of);
        Ok(book)
    }

    /// The stamp for what a person writes or sends now. It ends when they are forgotten.
    #[must_use]
    pub fn current_grant(&self, person: u64) -> ConsentGrant {
        let mut register = self.lock_state();
        ConsentGrant::new(person, &register.user_entry(person).token)
    }

    /// The stamp for what the ledger, or Discord, has kept of a person since then. None if they
    /// were forgotten later.
    #[must_use]
    pub fn grant_for_stored(&self, person: u64, at: Timestamp) -> Option<ConsentGrant> {
        if person == 0 {
            return Some(ConsentGrant::unowned());
        }
        let mut register = self.lock_state();
        let known = register.user_entry(person);
        let after = known.forgotten_at.is_none_or(|forgotten| at > forgotten);
        after.then(|| ConsentGrant::new(person, &known.token))
    }

    /// The same for what they said in a call. None also if they have said no since, or may not be
    /// heard.
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

    /// Somebody has decided whether they are heard in the calls of a server. A no holds at once; a
    /// yes once it is written.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written. A no holds all the same as long as this process lives, and
    /// is written when that is possible again.
    pub async fn record_decision(
        &self,
        store: &Store,
        (guild, person): (u64, u64),
        consent: Consent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let book = self.for_guild(guild);
        let number = self.lock_state().next_request();
        book.set_latest_request(person, number);
        if consent == Consent::No {
            book.mark_declined(person, at);
        }
        let still = || book.is_latest_request(person, number);
        let written = store.set_consent(guild, person, consent, at, &still).await;
        match written {
            Ok(()) if !still() => {}
            Ok(()) => {
                let count = self.lock_state().next_request();
                match consent {
                    Consent::Yes => book.mark_agreed(person, count),
                    Consent::No => book.mark_written(person, count),
                }
            }
            Err(error) => {
                self.0.write_failed.notify_one();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Somebody is forgotten: all stamps of theirs have ended when this begins to write.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written. They are forgotten all the same as long as this process
    /// lives, and deleted when that is possible again.
    pub async fn forget_user(
        &self,
        store: &Store,
        person: u64,
        at: Timestamp,
    ) -> Result<DeletedCounts, StoreError> {
        self.end_all_grants(person, at);
        let forgotten = store.forget_author(person, at).await;
        match &forgotten {
            Ok(_) => {
                self.lock_state().pending_forgets.remove(&person);
            }
            Err(_) => self.0.write_failed.notify_one(),
        }
        forgotten
    }

    fn end_all_grants(&self, person: u64, at: Timestamp) {
        let mut register = self.lock_state();
        let number = register.next_request();
        register.pending_forgets.insert(person);
        let known = register.user_entry(person);
        known.forgotten_at = Some(at);
        std::mem::take(&mut known.token).cancel();
        for book in register.guilds.values() {
            book.mark_forgotten(person, at, number);
        }
    }

    /// Whether the ledger lacks something that was decided.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        let register = self.lock_state();
        let mut books = register.guilds.values();
        !register.pending_forgets.is_empty()
            || books.any(|book| !book.unwritten_decisions().is_empty())
    }

    /// Writes what could not be written, once that is possible again. Never ends.
    pub async fn run_write_retries(self, store: Store, clock: fn() -> Timestamp) {
        loop {
            self.0.write_failed.notified().await;
            let mut wait = INITIAL_BACKOFF;
            while let Err(error) = self.write_pending(&store, clock()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    ?wait,
                    "a decision is not written down yet"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(MAX_BACKOFF);
            }
        }
    }

    async fn write_pending(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let to_forget: Vec<u64> = self.lock_state().pending_forgets.iter().copied().collect();
        for person in to_forget {
            store.forget_author(person, now).await?;
            let mut register = self.lock_state();
            register.pending_forgets.remove(&person);
            // It took along what they have decided since.
            for book in register.guilds.values() {
                book.mark_unwritten(person);
            }
        }
        let servers: Vec<(u64, GuildConsents)> = {
            let register = self.lock_state();
            let all = register.guilds.iter();
            all.map(|(guild, book)| (*guild, book.clone())).collect()
        };
        for (guild, book) in servers {
            for (person, consent, number) in book.unwritten_decisions() {
                let still = || book.is_latest_request(person, number);
                store
                    .set_consent(guild, person, consent, now, &still)
                    .await?;
                if still() {
                    let count = self.lock_state().next_request();
                    book.mark_written(person, count);
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
            self.users.retain(|id, known| {
                Arc::strong_count(&known.token) > 1
                    || to_forget.contains(id)
                    || known.forgotten_at.is_some_and(|at| at > recent)
            });
        }
        self.users.entry(person).or_default()
    }
}
