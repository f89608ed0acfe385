//! What a listener has heard, and how that compares to what was sent to it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandbox::Passed;

use super::said;

/// What became of a packet that the listener handed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// Nobody knows whose it is.
    Nobody,
    /// It is not what was said.
    Sealed,
    /// It is what somebody else said.
    Another,
    /// It is what this person said.
    Heard(u64),
}

/// What a listener has heard so far.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    packets: HashMap<(u32, u16), Fate>,
    connected: usize,
    ended: Option<String>,
}

/// Packets that were sent to a listener, by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    pub(crate) heard: usize,
    nobody: usize,
    sealed: usize,
    another: usize,
    missing: usize,
}

impl Log {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet was handed on.
    pub(crate) fn hears(&self, user: Option<u64>, ssrc: u32, sequence: u16, opus: &[u8]) {
        let fate = match user {
            None => Fate::Nobody,
            Some(user) if said::is_of(user, opus) => Fate::Heard(user),
            Some(_) if said::is_anybodys(opus) => Fate::Another,
            Some(_) => Fate::Sealed,
        };
        let mut inner = self.inner();
        let known = inner.packets.entry((ssrc, sequence)).or_insert(fate);
        if !matches!(known, Fate::Heard(_)) {
            *known = fate;
        }
    }

    /// A connection is made.
    pub(crate) fn connects(&self) {
        self.inner().connected += 1;
    }

    /// The connection is lost for good.
    pub(crate) fn ends(&self, why: String) {
        self.inner().ended = Some(why);
    }

    /// A connection is being made anew.
    pub(crate) fn begins(&self) {
        self.inner().ended = None;
    }

    /// How often a connection was made, and why there is none any more.
    pub(crate) fn state(&self) -> (usize, Option<String>) {
        let inner = self.inner();
        (inner.connected, inner.ended.clone())
    }

    /// What became of these packets of a person.
    pub(crate) fn tally(&self, user: u64, passed: &[Passed]) -> Tally {
        let inner = self.inner();
        let mut tally = Tally::default();
        for packet in passed {
            tally.sent += 1;
            let fate = inner.packets.get(&(packet.ssrc, packet.sequence));
            *match fate {
                None => &mut tally.missing,
                Some(Fate::Nobody) => &mut tally.nobody,
                Some(Fate::Sealed) => &mut tally.sealed,
                Some(Fate::Heard(heard)) if *heard == user => &mut tally.heard,
                Some(Fate::Another | Fate::Heard(_)) => &mut tally.another,
            } += 1;
        }
        tally
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.heard += other.heard;
        self.nobody += other.nobody;
        self.sealed += other.sealed;
        self.another += other.another;
        self.missing += other.missing;
    }
}

impl Tally {
    pub(crate) fn lost(&self) -> usize {
        self.sent - self.heard
    }

    /// Where the lost ones went missing.
    pub(crate) fn causes(&self) -> Vec<(&'static str, u64)> {
        let causes = [
            ("not handed on", self.missing),
            ("no user known", self.nobody),
            ("not opened", self.sealed),
            ("another's", self.another),
        ];
        causes.map(|(what, count)| (what, count as u64)).into()
    }
}
