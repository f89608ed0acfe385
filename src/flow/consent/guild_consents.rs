//! Who may be heard in the voice calls of one guild.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::grant::{ConsentGrant, GrantToken};
use crate::flow::session::ConsentRule;
use crate::store::{Consent, Timestamp};

/// Users of one guild that are tracked without a decision of their own. Users beyond this limit are
/// heard only after they agree.
const MAX_UNDECIDED_USERS: usize = 10_000;

/// Who may currently be heard in one guild's voice calls. Clones share the same state.
#[derive(Clone, Default)]
pub struct GuildConsents(Arc<RwLock<GuildConsentState>>);

#[derive(Default)]
struct GuildConsentState {
    /// `None` until the guild's rule has been loaded or set.
    rule: Option<ConsentRule>,
    users: HashMap<u64, UserConsent>,
    undecided_count: usize,
}

#[derive(Default)]
struct UserConsent {
    decision: Option<Consent>,
    token: GrantToken,
    /// When the current token was created; `None` if it already existed when the state was loaded.
    token_since: Option<Instant>,
    /// When the last token ended. Speech up to this time is no longer used.
    withdrawn_at: Option<Timestamp>,
    /// Sequence number of the user's latest request, from
    /// [`ConsentRegistry`](super::ConsentRegistry).
    latest_request: u64,
    /// The registry's sequence number when this entry last changed or was written.
    changed_at_sequence: u64,
    /// The decision is not in the ledger yet.
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

    /// The user's entry, created if needed. `None` if there are too many undecided users.
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
    /// Whether this user may be heard.
    #[must_use]
    pub fn is_allowed(&self, person: u64) -> bool {
        self.read().is_allowed(person)
    }

    /// A grant for this user's data as of now. `None` if they may not be heard.
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

    /// A grant for what the user says now, and when it started. Speech from before that time is not
    /// covered. `None` if they may not be heard.
    #[must_use]
    pub fn current_grant_with_start(&self, person: u64) -> Option<(ConsentGrant, Option<Instant>)> {
        let stamp = self.current_grant(person)?;
        let book = self.read();
        let known = book.users.get(&person)?;
        let is_it = ConsentGrant::new(person, &known.token).is_same_grant(&stamp);
        is_it.then_some((stamp, known.token_since))
    }

    /// A grant for what the user said at that time. `None` if they may not be heard, or have
    /// withdrawn consent since.
    #[must_use]
    pub fn grant_for_speech_at(&self, person: u64, at: Timestamp) -> Option<ConsentGrant> {
        let stamp = self.current_grant(person)?;
        let book = self.read();
        let known = book.users.get(&person)?;
        let is_it = ConsentGrant::new(person, &known.token).is_same_grant(&stamp);
        let after = known.withdrawn_at.is_none_or(|withdrawn| at > withdrawn);
        (is_it && after).then_some(stamp)
    }

    /// Sets the rule for users who have not decided. Users who may no longer be heard under the new
    /// rule have not withdrawn consent, but their data in flight is dropped.
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

    /// Applies a changed rule as far as it is stricter. A laxer rule has to wait: the users in the
    /// call have been notified of the former one.
    pub fn tighten_rule(&self, rule: ConsentRule) {
        let former = self.read().rule;
        if former.is_none() || rule == ConsentRule::Ask {
            self.set_rule(rule);
        }
    }

    /// Merges `decided`, which was read from the ledger when the registry's sequence number was
    /// `as_of`. Entries that changed later, or that are not written yet, are kept.
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

    /// Records a user's latest request, so that earlier ones still in progress have no effect.
    pub(super) fn set_latest_request(&self, person: u64, number: u64) {
        self.write().users.entry(person).or_default().latest_request = number;
    }

    /// Whether this is the user's latest request.
    pub(super) fn is_latest_request(&self, person: u64, number: u64) -> bool {
        let book = self.read();
        let known = book.users.get(&person);
        known.is_some_and(|it| it.latest_request == number)
    }

    /// The user may no longer be heard, as of now.
    pub(super) fn mark_declined(&self, person: u64, at: Timestamp) {
        let mut book = self.write();
        let known = book.users.entry(person).or_default();
        known.decision = Some(Consent::No);
        known.unwritten = true;
        known.withdraw(at);
    }

    /// The user may be heard: their consent is in the ledger.
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

    /// Resets the user to undecided and withdraws their grant.
    pub(super) fn mark_forgotten(&self, person: u64, at: Timestamp, number: u64) {
        let mut book = self.write();
        // Also for unknown users: a ledger read in progress may still return their old decision.
        let known = book.users.entry(person).or_default();
        known.decision = None;
        known.unwritten = false;
        known.latest_request = number;
        known.changed_at_sequence = number;
        known.withdraw(at);
    }

    /// The user's decision is in the ledger.
    pub(super) fn mark_written(&self, person: u64, count: u64) {
        if let Some(known) = self.write().users.get_mut(&person) {
            known.unwritten = false;
            known.changed_at_sequence = count;
        }
    }

    /// Decisions that are not in the ledger yet, each with its request's sequence number.
    pub(super) fn unwritten_decisions(&self) -> Vec<(u64, Consent, u64)> {
        let book = self.read();
        let unwritten = book.users.iter().filter(|(_, it)| it.unwritten);
        unwritten
            .filter_map(|(id, it)| Some((*id, it.decision?, it.latest_request)))
            .collect()
    }

    /// The user's decision, if there is one, has to be written again.
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
