//! Who may be heard in the calls of one server.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::stamp::{Spell, Stamp};
use crate::flow::session::ConsentRule;
use crate::store::{Consent, Timestamp};

/// People of one server that are known without having decided anything. Whoever comes after them
/// is not heard before saying yes.
const MAX_UNDECIDED: usize = 10_000;

/// Who may be heard in the calls of a server, as it is now. Clones are the same book.
#[derive(Clone, Default)]
pub struct ConsentBook(Arc<RwLock<Book>>);

#[derive(Default)]
struct Book {
    /// None: nobody has said yet.
    rule: Option<ConsentRule>,
    people: HashMap<u64, Person>,
    undecided: usize,
}

#[derive(Default)]
struct Person {
    decided: Option<Consent>,
    spell: Spell,
    /// When the spell began; none if it was there when the book was opened.
    since: Option<Instant>,
    /// When the last one ended: what they said before that is not used any more.
    withdrawn: Option<Timestamp>,
    /// The last wish of theirs, as the register counts them.
    asked: u64,
    /// The count of the register when this last changed, or was written.
    changed: u64,
    /// What the ledger does not have yet.
    unwritten: bool,
}

impl Person {
    fn begin_anew(&mut self, at: Timestamp) {
        self.spell.cancel();
        self.spell = Spell::default();
        self.since = Some(Instant::now());
        self.withdrawn = Some(at);
    }
}

impl std::fmt::Debug for ConsentBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConsentBook({} people)", self.read().people.len())
    }
}

impl Book {
    fn may(&self, person: u64) -> bool {
        let decided = self.people.get(&person).and_then(|it| it.decided);
        allows(self.rule.unwrap_or_default(), decided)
    }

    /// The place of somebody; none if there is no room for one more who has decided nothing.
    fn place(&mut self, person: u64) -> Option<&mut Person> {
        if !self.people.contains_key(&person) {
            if self.undecided >= MAX_UNDECIDED {
                return None;
            }
            self.undecided += 1;
        }
        Some(self.people.entry(person).or_default())
    }
}

fn allows(rule: ConsentRule, decided: Option<Consent>) -> bool {
    match (decided, rule) {
        (Some(Consent::Yes), _) | (None, ConsentRule::Notice) => true,
        (Some(Consent::No), _) | (None, ConsentRule::Ask) => false,
    }
}

impl ConsentBook {
    /// Whether somebody may be heard.
    #[must_use]
    pub fn may(&self, person: u64) -> bool {
        self.read().may(person)
    }

    /// The stamp for what is somebody's now. None if they may not be heard.
    #[must_use]
    pub fn stamp(&self, person: u64) -> Option<Stamp> {
        {
            let book = self.read();
            if !book.may(person) {
                return None;
            }
            if let Some(known) = book.people.get(&person) {
                return Some(Stamp::new(person, &known.spell));
            }
        }
        let mut book = self.write();
        if !book.may(person) {
            return None;
        }
        let place = book.place(person)?;
        Some(Stamp::new(person, &place.spell))
    }

    /// The stamp for what somebody says now, and since when it is theirs: what they said before is
    /// not heard. None if they may not be heard.
    #[must_use]
    pub fn hears(&self, person: u64) -> Option<(Stamp, Option<Instant>)> {
        let stamp = self.stamp(person)?;
        let book = self.read();
        let known = book.people.get(&person)?;
        let is_it = Stamp::new(person, &known.spell).is(&stamp);
        is_it.then_some((stamp, known.since))
    }

    /// The stamp for what somebody said at that time. None if they may not be heard, or have taken
    /// it back since.
    #[must_use]
    pub fn said_at(&self, person: u64, at: Timestamp) -> Option<Stamp> {
        let stamp = self.stamp(person)?;
        let book = self.read();
        let known = book.people.get(&person)?;
        let is_it = Stamp::new(person, &known.spell).is(&stamp);
        let after = known.withdrawn.is_none_or(|withdrawn| at > withdrawn);
        (is_it && after).then_some(stamp)
    }

    /// Who is heard without having decided anything. Whoever is not any more has taken nothing
    /// back, but what is on its way is dropped.
    pub fn set_rule(&self, rule: ConsentRule) {
        let mut book = self.write();
        book.rule = Some(rule);
        for person in book.people.values_mut() {
            if !allows(rule, person.decided) {
                person.spell.cancel();
                person.spell = Spell::default();
                person.since = Some(Instant::now());
            }
        }
    }

    /// The rule has changed, and whoever is being listened to was told the former one: only what is
    /// stricter holds at once.
    pub fn tighten(&self, rule: ConsentRule) {
        let former = self.read().rule;
        if former.is_none() || rule == ConsentRule::Ask {
            self.set_rule(rule);
        }
    }

    /// What the ledger knows, if it was read after the register had counted to `as_of`. What was
    /// decided since, or could not be written, is not in it.
    pub(super) fn load(&self, decided: &HashMap<u64, Consent>, as_of: u64) {
        let mut book = self.write();
        let rule = book.rule.unwrap_or_default();
        for (id, person) in &mut book.people {
            if person.unwritten || person.changed > as_of {
                continue;
            }
            let before = allows(rule, person.decided);
            person.decided = decided.get(id).copied();
            if before != allows(rule, person.decided) {
                person.spell.cancel();
                person.spell = Spell::default();
                person.since = Some(Instant::now());
            }
        }
        for (id, consent) in decided {
            book.people.entry(*id).or_insert_with(|| Person {
                decided: Some(*consent),
                ..Person::default()
            });
        }
    }

    /// Somebody wants something: earlier wishes that are still on their way no longer count.
    pub(super) fn asks(&self, person: u64, number: u64) {
        self.write().people.entry(person).or_default().asked = number;
    }

    /// Whether that was their last wish.
    pub(super) fn is_last(&self, person: u64, number: u64) -> bool {
        let book = self.read();
        let known = book.people.get(&person);
        known.is_some_and(|it| it.asked == number)
    }

    /// Somebody is heard no more.
    pub(super) fn declines(&self, person: u64, at: Timestamp) {
        let mut book = self.write();
        let known = book.people.entry(person).or_default();
        known.decided = Some(Consent::No);
        known.unwritten = true;
        known.begin_anew(at);
    }

    /// Somebody may be heard, as the ledger knows.
    pub(super) fn agrees(&self, person: u64, count: u64) {
        let mut book = self.write();
        let rule = book.rule.unwrap_or_default();
        let known = book.people.entry(person).or_default();
        let before = allows(rule, known.decided);
        known.decided = Some(Consent::Yes);
        known.unwritten = false;
        known.changed = count;
        if !before {
            known.spell = Spell::default();
            known.since = Some(Instant::now());
        }
    }

    /// Nothing is known of somebody, and nothing of theirs is used.
    pub(super) fn forgets(&self, person: u64, at: Timestamp, number: u64) {
        let mut book = self.write();
        // Also of somebody who is not known yet: what was read of them a moment ago is old.
        let known = book.people.entry(person).or_default();
        known.decided = None;
        known.unwritten = false;
        known.asked = number;
        known.changed = number;
        known.begin_anew(at);
    }

    /// The ledger has their decision.
    pub(super) fn is_written(&self, person: u64, count: u64) {
        if let Some(known) = self.write().people.get_mut(&person) {
            known.unwritten = false;
            known.changed = count;
        }
    }

    /// Decisions that the ledger does not have, with the number of the wish.
    pub(super) fn unwritten(&self) -> Vec<(u64, Consent, u64)> {
        let book = self.read();
        let unwritten = book.people.iter().filter(|(_, it)| it.unwritten);
        unwritten
            .filter_map(|(id, it)| Some((*id, it.decided?, it.asked)))
            .collect()
    }

    /// Their decision has to be written once more, if there is one.
    pub(super) fn write_again(&self, person: u64) {
        if let Some(known) = self.write().people.get_mut(&person) {
            known.unwritten = known.decided.is_some();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
