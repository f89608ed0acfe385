//! What is somebody's, with their leave on it.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio_util::sync::CancellationToken;

/// A time in which a person's things may be used. Ended once, it never begins again.
pub(super) type GrantToken = Arc<CancellationToken>;

/// A person's leave, as it was when it was given. It holds until they say no, are forgotten, or may
/// be heard no longer; a later yes is another one.
#[derive(Clone)]
pub struct ConsentGrant {
    user_id: u64,
    token: GrantToken,
}

impl ConsentGrant {
    pub(super) fn new(user_id: u64, spell: &GrantToken) -> Self {
        let token = Arc::clone(spell);
        Self { user_id, token }
    }

    /// For what is nobody's. Always holds.
    #[must_use]
    pub fn unowned() -> Self {
        Self::new(0, &GrantToken::default())
    }

    /// Whose it is; 0 for nobody.
    #[must_use]
    pub fn person(&self) -> u64 {
        self.user_id
    }

    /// Whether it still holds.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.token.is_cancelled()
    }

    /// Whether both were given in the same breath, and so end together.
    #[must_use]
    pub fn is_same_grant(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.token, &other.token)
    }

    /// Waits until it holds no longer.
    pub async fn withdrawn(&self) {
        self.token.cancelled().await;
    }

    /// Does something with what is theirs, and drops it at once when the stamp ends.
    pub async fn unless_withdrawn<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.withdrawn() => None,
            done = work => self.is_active().then_some(done),
        }
    }

    /// Cancelled when the stamp ends; whoever cancels it ends nothing but itself.
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Puts the stamp on something of theirs.
    pub fn wrap<T>(&self, value: T) -> PersonalData<T> {
        PersonalData {
            grant: self.clone(),
            value,
        }
    }
}

impl std::fmt::Debug for ConsentGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stamp({}, {})", self.user_id, self.is_active())
    }
}

/// Something of somebody's. It comes out only while its stamp holds: whoever hands it on opens it
/// and stamps what they hand on.
#[derive(Clone)]
pub struct PersonalData<T> {
    grant: ConsentGrant,
    value: T,
}

impl<T> PersonalData<T> {
    /// Its stamp.
    pub fn grant(&self) -> &ConsentGrant {
        &self.grant
    }

    /// What it is, unless the stamp has ended.
    pub fn into_inner(self) -> Option<T> {
        self.grant.is_active().then_some(self.value)
    }

    /// The same without taking it.
    pub fn get(&self) -> Option<&T> {
        self.grant.is_active().then_some(&self.value)
    }

    /// The same with something else made of it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> PersonalData<U> {
        PersonalData {
            value: make(self.value),
            grant: self.grant,
        }
    }
}

impl<T> std::fmt::Debug for PersonalData<T> {
    /// What is somebody's never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stamped({:?})", self.grant)
    }
}

/// The stamps of all that something rests on.
#[derive(Clone, Debug, Default)]
pub struct ConsentGrants(Vec<ConsentGrant>);

impl ConsentGrants {
    /// Whether all of them hold.
    #[must_use]
    pub fn all_active(&self) -> bool {
        self.0.iter().all(ConsentGrant::is_active)
    }

    /// Waits until the first of them holds no longer.
    pub async fn any_withdrawn(&self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let all = self.0.iter().map(|stamp| Box::pin(stamp.withdrawn()));
        select_all(all).await;
    }

    /// Does something with what rests on them, and drops it at once when the first of them ends.
    pub async fn unless_withdrawn<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.any_withdrawn() => None,
            done = work => self.all_active().then_some(done),
        }
    }

    /// One more, if it is not among them.
    pub fn insert(&mut self, stamp: &ConsentGrant) {
        if !self.0.iter().any(|known| known.is_same_grant(stamp)) {
            self.0.push(stamp.clone());
        }
    }
}

impl FromIterator<ConsentGrant> for ConsentGrants {
    fn from_iter<I: IntoIterator<Item = ConsentGrant>>(stamps: I) -> Self {
        let mut all = Self::default();
        for stamp in stamps {
            all.insert(&stamp);
        }
        all
    }
}
