//! Who may be heard in the calls of one server.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::grant::{ConsentGrant, GrantToken};
use crate::flow::session::ConsentRule;
use crate::store::{Consent, Timestamp};

/// People of one server that are known without having decided anything. Whoever comes after them
/// is not heard before saying yes.
const MAX_UNDECIDED_USERS: usize = 10_000;

/// Who may be heard in the calls of a server, as it is now. Clones are the same book.
#[derive(Clone, Default)]
pub struct GuildConsents(Arc<RwLock<GuildConsentState>>);

#[derive(Default)]
struct GuildConsentState {
    /// None: nobody has said yet.
    rule: Option<ConsentRule>,
    users: HashMap<u64, UserConsent>,
    undecided_count: usize,
}

#[derive(Default)]
struct UserConsent {
    decision: Option<Consent>,
    token: GrantToken,
    /// When the spell began; none if it was there when the book was opened.
    token_since: Option<Instant>,
    /// When the last one ended: what they said before that is not used any more.
    withdrawn_at: Option<Timestamp>,
    /// The last wish of theirs, as the register counts them.
    latest_request: u64,
    /// The count of the register when this last changed, or was written.
    changed_at_sequence: u64,
    /// What the ledger does not have yet.
    unwritten: bool,
}

impl UserConsent {
    fn withdraw(&mut self, at: Timestamp) {
        self.token.cancel();
        self.token = GrantToken::default();
        self.token_since = Some(Instant::now());
        self.withdrawn_at = Some(at);
    }
}

impl std::fmt::Debug for GuildConsents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConsentBook({} people)", self.read().users.len())
    }
}

impl GuildConsentState {
    fn is_allowed(&self, person: u64) -> bool {
        let decided = self.users.get(&person).and_then(|it| it.decision);
        rule_allows(self.rule.unwrap_or_default(), decided)
    }

    /// The place of somebody; none if there is no room for one more who has decided nothing.
    fn user_entry(&mut self, person: u64) -> Option<&mut UserConsent> {
        if !self.users.contains_key(&person) {
            if self.undecided_count >= MAX_UNDECIDED_USERS {
                return None;
            }
            self.undecided_count += 1;
        }
        Some(self.users.entry(person).or_default())
    }
}

fn rule_allows(rule: ConsentRule, decided: Option<Consent>) -> bool {
    match (decided, rule) {
        (Some(Consent::Yes), _) | (None, ConsentRule::Notice) => true,
        (Some(Consent::No), _) | (None, ConsentRule::Ask) => false,
    }
}

impl GuildConsents {
    /// Whether somebody may be heard.
    #[must_use]
    pub fn is_allowed(&self, person: u64) -> bool {
        self.read().is_allowed(person)
    }

    /// The stamp for what is somebody's now. None if they may not be heard.
    #[must_use]
    pub fn current_grant(&self, person: u64) -> Option<ConsentGrant> {
        {
            let book = self.read();
            if !book.is_allowed(person) {
                return None;
            }
            if let Some(known) = book.users.get(&person) {
                return Some(ConsentGrant::new(person, &known.token));
            }
        }
        let mut book = self.write();
        if !book.is_allowed(person) {
            return None;
        }
        let place = book.user_entry(person)?;
        Some(ConsentGrant::new(person, &place.token))
    }

    /// The stamp for what somebody says now, and since when it is theirs: what they said before is
    /// not heard. None if they may not be heard.
    #[must_use]
    pub fn current_grant_with_start(&self, person: u64) -> Option<(ConsentGrant, Option<Instant>)> {
        let stamp = self.current_grant(person)?;
        let book = self.read();
        let known = book.users.get(&person)?;
        let is_it = ConsentGrant::new(person, &known.token).is_same_grant(&stamp);
        is_it.then_some((stamp, known.token_since))
    }

    /// The stamp for what somebody said at that time. None if they may not be heard, or have taken
    /// it back since.
    #[must_use]
    pub fn grant_for_speech_at(&self, person: u64, at: Timestamp) -> Option<ConsentGrant> {
        let stamp = self.current_grant(person)?;
        let book = self.read();
        let known = book.users.get(&person)?;
        let is_it = ConsentGrant::new(person, &known.token).is_same_grant(&stamp);
        let after = known.withdrawn_at.is_none_or(|withdrawn| at > withdrawn);
        (is_it && after).then_some(stamp)
    }

    /// Who is heard without having decided anything. Whoever is not any more has taken nothing
    /// back, but what is on its way is dropped.
    pub fn set_rule(&self, rule: ConsentRule) {
        let mut book = self.write();
        book.rule = Some(rule);
        for person in book.users.values_mut() {
            if !rule_allows(rule, person.decision) {
                person.token.cancel();
                person.token = GrantToken::default();
                person.token_since = Some(Instant::now());
            }
        }
    }

    /// The rule has changed, and whoever is being listened to was told the former one: only what is
    /// stricter holds at once.
    pub fn tighten_rule(&self, rule: ConsentRule) {
        let former = self.read().rule;
        if former.is_none() || rule == ConsentRule::Ask {
            self.set_rule(rule);
        }
    }

    /// What the ledger knows, if it was read after the register had counted to `as_of`. What was
    /// decided since, or could not be written, is not in it.
    pub(super) fn load_decisions(&self, decided: &HashMap<u64, Consent>, as_of: u64) {
        let mut book = self.write();
        let rule = book.rule.unwrap_or_default();
        for (id, person) in &mut book.users {
            if person.unwritten || person.changed_at_sequence > as_of {
                continue;
            }
            let before = rule_allows(rule, person.decision);
            person.decision = decided.get(id).copied();
            if before != rule_allows(rule, person.decision) {
                person.token.cancel();
                person.token = GrantToken::default();
                person.token_since = Some(Instant::now());
            }
        }
        for (id, consent) in decided {
            book.users.entry(*id).or_insert_with(|| UserConsent {
                decision: Some(*consent),
                ..UserConsent::default()
            });
        }
    }

    /// Somebody wants something: earlier wishes that are still on their way no longer count.
    pub(super) fn set_latest_request(&self, person: u64, number: u64) {
        self.write().users.entry(person).or_default().latest_request = number;
    }

    /// Whether that was their last wish.
    pub(super) fn is_latest_request(&self, person: u64, number: u64) -> bool {
        let book = self.read();
        let known = book.users.get(&person);
        known.is_some_and(|it| it.latest_request == number)
    }

    /// Somebody is heard no more.
    pub(super) fn mark_declined(&self, person: u64, at: Timestamp) {
        let mut book = self.write();
        let known = book.users.entry(person).or_default();
        known.decision = Some(Consent::No);
        known.unwritten = true;
        known.withdraw(at);
    }

    /// Somebody may be heard, as the ledger knows.
    pub(super) fn mark_agreed(&self, person: u64, count: u64) {
        let mut book = self.write();
        let rule = book.rule.unwrap_or_default();
        let known = book.users.entry(person).or_default();
        let before = rule_allows(rule, known.decision);
        known.decision = Some(Consent::Yes);
        known.unwritten = false;
        known.changed_at_sequence = count;
        if !before {
            known.token = GrantToken::default();
            known.token_since = Some(Instant::now());
        }
    }

    /// Nothing is known of somebody, and nothing of theirs is used.
    pub(super) fn mark_forgotten(&self, person: u64, at: Timestamp, number: u64) {
        let mut book = self.write();
        // Also of somebody who is not known yet: what was read of them a moment ago is old.
        let known = book.users.entry(person).or_default();
        known.decision = None;
        known.unwritten = false;
        known.latest_request = number;
        known.changed_at_sequence = number;
        known.withdraw(at);
    }

    /// The ledger has their decision.
    pub(super) fn mark_written(&self, person: u64, count: u64) {
        if let Some(known) = self.write().users.get_mut(&person) {
            known.unwritten = false;
            known.changed_at_sequence = count;
        }
    }

    /// Decisions that the ledger does not have, with the number of the wish.
    pub(super) fn unwritten_decisions(&self) -> Vec<(u64, Consent, u64)> {
        let book = self.read();
        let unwritten = book.users.iter().filter(|(_, it)| it.unwritten);
        unwritten
            .filter_map(|(id, it)| Some((*id, it.decision?, it.latest_request)))
            .collect()
    }

    /// Their decision has to be written once more, if there is one.
    pub(super) fn mark_unwritten(&self, person: u64) {
        if let Some(known) = self.write().users.get_mut(&person) {
            known.unwritten = known.decision.is_some();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, GuildConsentState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, GuildConsentState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
