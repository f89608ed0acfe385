//! Consent grants, and values that can be read only while their grant is active.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio_util::sync::CancellationToken;

/// Identifies one period of consent. Cancelled when the period ends, and never reused.
pub(super) type GrantToken = Arc<CancellationToken>;

/// A user's permission to use their data. It stays active until the user withdraws consent, is
/// forgotten, or may no longer be heard. A later consent is a different grant.
#[derive(Clone)]
pub struct ConsentGrant {
    user_id: u64,
    token: GrantToken,
}

impl ConsentGrant {
    pub(super) fn new(user_id: u64, token: &GrantToken) -> Self {
        Self {
            user_id,
            token: Arc::clone(token),
        }
    }

    /// A grant for data that belongs to no user. It never ends.
    #[must_use]
    pub fn unowned() -> Self {
        Self::new(0, &GrantToken::default())
    }

    /// The user whose data this covers; 0 for unowned data.
    #[must_use]
    pub fn user_id(&self) -> u64 {
        self.user_id
    }

    /// Whether the grant has not been withdrawn.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.token.is_cancelled()
    }

    /// Whether both share one period of consent, and so end together.
    #[must_use]
    pub fn is_same_grant(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.token, &other.token)
    }

    /// Waits until the grant is withdrawn.
    pub async fn withdrawn(&self) {
        self.token.cancelled().await;
    }

    /// Runs `work` on the user's data and drops it as soon as the grant is withdrawn. `None` if it
    /// was withdrawn.
    pub async fn unless_withdrawn<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.withdrawn() => None,
            done = work => self.is_active().then_some(done),
        }
    }

    /// A token that is cancelled when the grant is withdrawn. Cancelling the child leaves the grant
    /// active.
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Attaches this grant to a value of the user's.
    pub fn wrap<T>(&self, value: T) -> PersonalData<T> {
        PersonalData {
            grant: self.clone(),
            value,
        }
    }
}

impl std::fmt::Debug for ConsentGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConsentGrant({}, {})", self.user_id, self.is_active())
    }
}

/// A value that belongs to a user. It can be read only while its grant is active. Code that derives
/// a new value from it wraps the result in the same grant.
#[derive(Clone)]
pub struct PersonalData<T> {
    grant: ConsentGrant,
    value: T,
}

impl<T> PersonalData<T> {
    /// The grant that the value depends on.
    pub fn grant(&self) -> &ConsentGrant {
        &self.grant
    }

    /// The value, or `None` if the grant has been withdrawn.
    pub fn into_inner(self) -> Option<T> {
        self.grant.is_active().then_some(self.value)
    }

    /// Borrows the value, or `None` if the grant has been withdrawn.
    pub fn get(&self) -> Option<&T> {
        self.grant.is_active().then_some(&self.value)
    }

    /// Converts the value and keeps the grant.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> PersonalData<U> {
        PersonalData {
            value: convert(self.value),
            grant: self.grant,
        }
    }
}

impl<T> std::fmt::Debug for PersonalData<T> {
    /// Never prints the value: personal data must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonalData({:?})", self.grant)
    }
}

/// All grants that a result depends on, without duplicates.
#[derive(Clone, Debug, Default)]
pub struct ConsentGrants(Vec<ConsentGrant>);

impl ConsentGrants {
    /// Whether none of them has been withdrawn.
    #[must_use]
    pub fn all_active(&self) -> bool {
        self.0.iter().all(ConsentGrant::is_active)
    }

    /// Waits until any of them is withdrawn. Never returns if there are none.
    pub async fn any_withdrawn(&self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let all = self.0.iter().map(|grant| Box::pin(grant.withdrawn()));
        select_all(all).await;
    }

    /// Runs `work` and drops it as soon as any of the grants is withdrawn. `None` if one was.
    pub async fn unless_withdrawn<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.any_withdrawn() => None,
            done = work => self.all_active().then_some(done),
        }
    }

    /// Adds a grant unless it is already in the set.
    pub fn insert(&mut self, grant: &ConsentGrant) {
        if !self.0.iter().any(|known| known.is_same_grant(grant)) {
            self.0.push(grant.clone());
        }
    }
}

impl FromIterator<ConsentGrant> for ConsentGrants {
    fn from_iter<I: IntoIterator<Item = ConsentGrant>>(grants: I) -> Self {
        let mut all = Self::default();
        for grant in grants {
            all.insert(&grant);
        }
        all
    }
}
