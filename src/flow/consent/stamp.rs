//! What is somebody's, with their leave on it.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio_util::sync::CancellationToken;

/// A time in which a person's things may be used. Ended once, it never begins again.
pub(super) type Spell = Arc<CancellationToken>;

/// A person's leave, as it was when it was given. It holds until they say no, are forgotten, or may
/// be heard no longer; a later yes is another one.
#[derive(Clone)]
pub struct Stamp {
    person: u64,
    spell: Spell,
}

impl Stamp {
    pub(super) fn new(person: u64, spell: &Spell) -> Self {
        let spell = Arc::clone(spell);
        Self { person, spell }
    }

    /// For what is nobody's. Always holds.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new(0, &Spell::default())
    }

    /// Whose it is; 0 for nobody.
    #[must_use]
    pub fn person(&self) -> u64 {
        self.person
    }

    /// Whether it still holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.spell.is_cancelled()
    }

    /// Whether both were given in the same breath, and so end together.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.spell, &other.spell)
    }

    /// Waits until it holds no longer.
    pub async fn withdrawn(&self) {
        self.spell.cancelled().await;
    }

    /// Does something with what is theirs, and drops it at once when the stamp ends.
    pub async fn unless_withdrawn<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.withdrawn() => None,
            done = work => self.holds().then_some(done),
        }
    }

    /// Cancelled when the stamp ends; whoever cancels it ends nothing but itself.
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        self.spell.child_token()
    }

    /// Puts the stamp on something of theirs.
    pub fn on<T>(&self, value: T) -> Stamped<T> {
        Stamped {
            stamp: self.clone(),
            value,
        }
    }
}

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stamp({}, {})", self.person, self.holds())
    }
}

/// Something of somebody's. It comes out only while its stamp holds: whoever hands it on opens it
/// and stamps what they hand on.
#[derive(Clone)]
pub struct Stamped<T> {
    stamp: Stamp,
    value: T,
}

impl<T> Stamped<T> {
    /// Its stamp.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// What it is, unless the stamp has ended.
    pub fn open(self) -> Option<T> {
        self.stamp.holds().then_some(self.value)
    }

    /// The same without taking it.
    pub fn look(&self) -> Option<&T> {
        self.stamp.holds().then_some(&self.value)
    }

    /// The same with something else made of it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Stamped<U> {
        Stamped {
            value: make(self.value),
            stamp: self.stamp,
        }
    }
}

impl<T> std::fmt::Debug for Stamped<T> {
    /// What is somebody's never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stamped({:?})", self.stamp)
    }
}

/// The stamps of all that something rests on.
#[derive(Clone, Debug, Default)]
pub struct Stamps(Vec<Stamp>);

impl Stamps {
    /// Whether all of them hold.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.0.iter().all(Stamp::holds)
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
            done = work => self.hold().then_some(done),
        }
    }

    /// One more, if it is not among them.
    pub fn add(&mut self, stamp: &Stamp) {
        if !self.0.iter().any(|known| known.is(stamp)) {
            self.0.push(stamp.clone());
        }
    }
}

impl FromIterator<Stamp> for Stamps {
    fn from_iter<I: IntoIterator<Item = Stamp>>(stamps: I) -> Self {
        let mut all = Self::default();
        for stamp in stamps {
            all.add(&stamp);
        }
        all
    }
}
