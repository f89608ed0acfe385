//! Who may be heard in the voice calls of one guild.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::ConsentRule;
use super::grant::{ConsentGrant, GrantToken};
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
        write!(f, "GuildConsents({} users)", self.read().users.len())
    }
}

impl GuildConsentState {
    fn is_allowed(&self, person: u64) -> bool {
        let decision = self.users.get(&person).and_then(|it| it.decision);
        rule_allows(self.rule.unwrap_or_default(), decision)
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

fn rule_allows(rule: ConsentRule, decision: Option<Consent>) -> bool {
    match (decision, rule) {
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
            let state = self.read();
            if !state.is_allowed(person) {
                return None;
            }
            if let Some(user) = state.users.get(&person) {
                return Some(ConsentGrant::new(person, &user.token));
            }
        }
        let mut state = self.write();
        if !state.is_allowed(person) {
            return None;
        }
        let entry = state.user_entry(person)?;
        Some(ConsentGrant::new(person, &entry.token))
    }

    /// A grant for what the user says now, and when it started. Speech from before that time is not
    /// covered. `None` if they may not be heard.
    #[must_use]
    pub fn current_grant_with_start(&self, person: u64) -> Option<(ConsentGrant, Option<Instant>)> {
        let grant = self.current_grant(person)?;
        let state = self.read();
        let user = state.users.get(&person)?;
        let is_current = ConsentGrant::new(person, &user.token).is_same_grant(&grant);
        is_current.then_some((grant, user.token_since))
    }

    /// A grant for what the user said at that time. `None` if they may not be heard, or have
    /// withdrawn consent since.
    #[must_use]
    pub fn grant_for_speech_at(&self, person: u64, at: Timestamp) -> Option<ConsentGrant> {
        let grant = self.current_grant(person)?;
        let state = self.read();
        let user = state.users.get(&person)?;
        let is_current = ConsentGrant::new(person, &user.token).is_same_grant(&grant);
        let after = user.withdrawn_at.is_none_or(|withdrawn| at > withdrawn);
        (is_current && after).then_some(grant)
    }

    /// Sets the rule for users who have not decided. Users who may no longer be heard under the new
    /// rule have not withdrawn consent, but their data in flight is dropped.
    pub fn set_rule(&self, rule: ConsentRule) {
        let mut state = self.write();
        state.rule = Some(rule);
        for user in state.users.values_mut() {
            if !rule_allows(rule, user.decision) {
                user.token.cancel();
                user.token = GrantToken::default();
                user.token_since = Some(Instant::now());
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
    pub(super) fn load_decisions(&self, decisions: &HashMap<u64, Consent>, as_of: u64) {
        let mut state = self.write();
        let rule = state.rule.unwrap_or_default();
        for (id, user) in &mut state.users {
            if user.unwritten || user.changed_at_sequence > as_of {
                continue;
            }
            let before = rule_allows(rule, user.decision);
            user.decision = decisions.get(id).copied();
            if before != rule_allows(rule, user.decision) {
                user.token.cancel();
                user.token = GrantToken::default();
                user.token_since = Some(Instant::now());
            }
        }
        for (id, consent) in decisions {
            state.users.entry(*id).or_insert_with(|| UserConsent {
                decision: Some(*consent),
                ..UserConsent::default()
            });
        }
    }

    /// Records a user's latest request, so that earlier ones still in progress have no effect.
    pub(super) fn set_latest_request(&self, person: u64, request: u64) {
        self.write().users.entry(person).or_default().latest_request = request;
    }

    /// Whether this is the user's latest request.
    pub(super) fn is_latest_request(&self, person: u64, request: u64) -> bool {
        let state = self.read();
        let user = state.users.get(&person);
        user.is_some_and(|it| it.latest_request == request)
    }

    /// The user may no longer be heard, as of now.
    pub(super) fn mark_declined(&self, person: u64, at: Timestamp) {
        let mut state = self.write();
        let user = state.users.entry(person).or_default();
        user.decision = Some(Consent::No);
        user.unwritten = true;
        user.withdraw(at);
    }

    /// The user may be heard: their consent is in the ledger.
    pub(super) fn mark_agreed(&self, person: u64, sequence: u64) {
        let mut state = self.write();
        let rule = state.rule.unwrap_or_default();
        let user = state.users.entry(person).or_default();
        let before = rule_allows(rule, user.decision);
        user.decision = Some(Consent::Yes);
        user.unwritten = false;
        user.changed_at_sequence = sequence;
        if !before {
            user.token = GrantToken::default();
            user.token_since = Some(Instant::now());
        }
    }

    /// Resets the user to undecided and withdraws their grant.
    pub(super) fn mark_forgotten(&self, person: u64, at: Timestamp, request: u64) {
        let mut state = self.write();
        // Also for unknown users: a ledger read in progress may still return their old decision.
        let user = state.users.entry(person).or_default();
        user.decision = None;
        user.unwritten = false;
        user.latest_request = request;
        user.changed_at_sequence = request;
        user.withdraw(at);
    }

    /// The user's decision is in the ledger.
    pub(super) fn mark_written(&self, person: u64, sequence: u64) {
        if let Some(user) = self.write().users.get_mut(&person) {
            user.unwritten = false;
            user.changed_at_sequence = sequence;
        }
    }

    /// Decisions that are not in the ledger yet, each with its request's sequence number.
    pub(super) fn unwritten_decisions(&self) -> Vec<(u64, Consent, u64)> {
        let state = self.read();
        let unwritten = state.users.iter().filter(|(_, it)| it.unwritten);
        unwritten
            .filter_map(|(id, it)| Some((*id, it.decision?, it.latest_request)))
            .collect()
    }

    /// The user's decision, if there is one, has to be written again.
    pub(super) fn mark_unwritten(&self, person: u64) {
        if let Some(user) = self.write().users.get_mut(&person) {
            user.unwritten = user.decision.is_some();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, GuildConsentState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, GuildConsentState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
