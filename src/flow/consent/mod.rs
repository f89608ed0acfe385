//! Whose sound, words and name may go on: the one place that decides it.
//!
//! What is somebody's carries their [`Stamp`]. From the moment they say no, are forgotten or may be
//! heard no more, it has ended for good: what carries it does not open any more ([`Stamped`]),
//! wherever it is at that moment, and what is being done with it stops. Every hand-over opens
//! anew: from the network to the ear, to a place in line, to a provider, to a line, into the
//! ledger, onto the board, into a file, into a question to a model.
//!
//! Memory is first. [`Consents`] knows before the ledger does, goes on knowing where the ledger
//! can't be written, and tries to write until it can.

mod book;
mod stamp;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use book::ConsentBook;
pub use stamp::{Stamp, Stamped, Stamps};

use stamp::Spell;

use crate::store::{Consent, Forgotten, Store, StoreError, Timestamp};

/// People that are known by a stamp. Of those beyond it, whoever has nothing on its way is dropped.
const MAX_PEOPLE: usize = 50_000;

/// So long what was read from the ledger may be on its way: until then it is known when its people
/// were forgotten.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// The waits before what could not be written is tried again, doubling from the first to the
/// longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All that this process knows of who may be heard and who is forgotten. Clones are the same.
#[derive(Clone, Default)]
pub struct Consents(Arc<Shared>);

#[derive(Default)]
struct Shared {
    register: Mutex<Register>,
    /// Something could not be written.
    behind: Notify,
}

#[derive(Default)]
struct Register {
    servers: HashMap<u64, ConsentBook>,
    people: HashMap<u64, Known>,
    /// People whom the ledger still has to forget.
    to_forget: HashSet<u64>,
    /// Wishes so far.
    wishes: u64,
}

#[derive(Default)]
struct Known {
    spell: Spell,
    forgotten: Option<Timestamp>,
}

impl std::fmt::Debug for Consents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let register = self.register();
        let sizes = (register.servers.len(), register.people.len());
        write!(f, "Consents({sizes:?})")
    }
}

impl Consents {
    /// The book of a server.
    #[must_use]
    pub fn book(&self, guild: u64) -> ConsentBook {
        let mut register = self.register();
        register.servers.entry(guild).or_default().clone()
    }

    /// The book of a server, with what the ledger knows.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn read_book(&self, store: &Store, guild: u64) -> Result<ConsentBook, StoreError> {
        let book = self.book(guild);
        let as_of = self.register().wishes;
        let mut decided = store.consents(guild).await?;
        {
            let register = self.register();
            decided.retain(|person, _| !register.to_forget.contains(person));
        }
        book.load(&decided, as_of);
        Ok(book)
    }

    /// The stamp for what a person writes or sends now. It ends when they are forgotten.
    #[must_use]
    pub fn stamp(&self, person: u64) -> Stamp {
        let mut register = self.register();
        Stamp::new(person, &register.known(person).spell)
    }

    /// The stamp for what the ledger, or Discord, has kept of a person since then. None if they
    /// were forgotten later.
    #[must_use]
    pub fn kept(&self, person: u64, at: Timestamp) -> Option<Stamp> {
        if person == 0 {
            return Some(Stamp::nobody());
        }
        let mut register = self.register();
        let known = register.known(person);
        let after = known.forgotten.is_none_or(|forgotten| at > forgotten);
        after.then(|| Stamp::new(person, &known.spell))
    }

    /// The same for what they said in a call. None also if they have said no since, or may not be
    /// heard.
    #[must_use]
    pub fn kept_in_call(&self, guild: u64, person: u64, at: Timestamp) -> Option<Stamp> {
        if person == 0 {
            return Some(Stamp::nobody());
        }
        self.kept(person, at)?;
        self.book(guild).said_at(person, at)
    }

    /// Somebody has decided whether they are heard in the calls of a server. A no holds at once; a
    /// yes once it is written.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written. A no holds all the same as long as this process lives, and
    /// is written when that is possible again.
    pub async fn decide(
        &self,
        store: &Store,
        (guild, person): (u64, u64),
        consent: Consent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let book = self.book(guild);
        let number = self.register().wish();
        book.asks(person, number);
        if consent == Consent::No {
            book.declines(person, at);
        }
        let still = || book.is_last(person, number);
        let written = store.set_consent(guild, person, consent, at, &still).await;
        match written {
            Ok(()) if !still() => {}
            Ok(()) => {
                let count = self.register().wish();
                match consent {
                    Consent::Yes => book.agrees(person, count),
                    Consent::No => book.is_written(person, count),
                }
            }
            Err(error) => {
                self.0.behind.notify_one();
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
    pub async fn forget(
        &self,
        store: &Store,
        person: u64,
        at: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        self.end_all_of(person, at);
        let forgotten = store.forget_author(person, at).await;
        match &forgotten {
            Ok(_) => {
                self.register().to_forget.remove(&person);
            }
            Err(_) => self.0.behind.notify_one(),
        }
        forgotten
    }

    fn end_all_of(&self, person: u64, at: Timestamp) {
        let mut register = self.register();
        let number = register.wish();
        register.to_forget.insert(person);
        let known = register.known(person);
        known.forgotten = Some(at);
        std::mem::take(&mut known.spell).cancel();
        for book in register.servers.values() {
            book.forgets(person, at, number);
        }
    }

    /// Whether the ledger lacks something that was decided.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let register = self.register();
        let mut books = register.servers.values();
        !register.to_forget.is_empty() || books.any(|book| !book.unwritten().is_empty())
    }

    /// Writes what could not be written, once that is possible again. Never ends.
    pub async fn keep_writing(self, store: Store, clock: fn() -> Timestamp) {
        loop {
            self.0.behind.notified().await;
            let mut wait = FIRST_WAIT;
            while let Err(error) = self.write_behind(&store, clock()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    ?wait,
                    "a decision is not written down yet"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    async fn write_behind(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let to_forget: Vec<u64> = self.register().to_forget.iter().copied().collect();
        for person in to_forget {
            store.forget_author(person, now).await?;
            let mut register = self.register();
            register.to_forget.remove(&person);
            // It took along what they have decided since.
            for book in register.servers.values() {
                book.write_again(person);
            }
        }
        let servers: Vec<(u64, ConsentBook)> = {
            let register = self.register();
            let all = register.servers.iter();
            all.map(|(guild, book)| (*guild, book.clone())).collect()
        };
        for (guild, book) in servers {
            for (person, consent, number) in book.unwritten() {
                let still = || book.is_last(person, number);
                store
                    .set_consent(guild, person, consent, now, &still)
                    .await?;
                if still() {
                    let count = self.register().wish();
                    book.is_written(person, count);
                }
            }
        }
        Ok(())
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.0
            .register
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register {
    fn wish(&mut self) -> u64 {
        self.wishes += 1;
        self.wishes
    }

    fn known(&mut self, person: u64) -> &mut Known {
        if self.people.len() >= MAX_PEOPLE && !self.people.contains_key(&person) {
            let recent = Timestamp::now().before(REMEMBERED);
            let to_forget = &self.to_forget;
            self.people.retain(|id, known| {
                Arc::strong_count(&known.spell) > 1
                    || to_forget.contains(id)
                    || known.forgotten.is_some_and(|at| at > recent)
            });
        }
        self.people.entry(person).or_default()
    }
}
