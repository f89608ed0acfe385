//! Who is connected, and who gives way when there is no place left.
//!
//! A place is taken for good only by a request that is whole and being answered. Whoever connects and
//! says nothing, says it slowly, or keeps a connection for later, makes room for whoever comes, the
//! longest-waiting first; then whoever sends a body slowly. So slow clients, however many, keep
//! nobody out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at a time. A browser opens six at most.
pub(super) const CONNECTIONS: usize = 128;

/// Those of one address. A reverse proxy is one address too: so many requests pass through it at the
/// same time, which is far more than the eight questions that are worked on at a time.
pub(super) const PER_ADDRESS: usize = 32;

/// How long an upload may go on before it gives way to another question.
const UNHURRIED: Duration = Duration::from_secs(30);

/// Connections beyond these, on which only `/healthz` is answered.
pub(super) const RESERVE: usize = 8;

/// All places. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: u64,
    /// By number: the lower, the longer there. At most all of the above.
    seats: BTreeMap<u64, Seat>,
}

struct Seat {
    of: IpAddr,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    reserve: bool,
    leave: CancellationToken,
}

/// What a connection is used for at the moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Phase {
    /// Nothing has been asked on it yet.
    Fresh,
    /// It is kept for the next request.
    Kept,
    /// A request is kept waiting on purpose.
    Held,
    /// The body of a request comes.
    Coming,
    /// A request is being answered.
    Busy,
}

/// The place of one connection; dropping it gives it back. Cloning shares it.
#[derive(Clone)]
pub(super) struct Place(Arc<Inner>);

struct Inner {
    places: Places,
    number: u64,
    leave: CancellationToken,
    reserve: bool,
}

/// A request that is being answered. Dropping it frees the connection for the next.
pub(super) struct Answering(Place);

impl Places {
    /// A place for whoever connects from `address`. Somebody may have to give theirs up for it.
    pub(super) fn take(&self, address: IpAddr) -> Place {
        let of = network(address);
        let mut state = self.state();
        let reserve = !state.make_room(of);
        let number = state.next;
        state.next += 1;
        let leave = CancellationToken::new();
        let seat = Seat {
            of,
            phase: Phase::Fresh,
            since: Instant::now(),
            reserve,
            leave: leave.clone(),
        };
        state.seats.insert(number, seat);
        Place(Arc::new(Inner {
            places: self.clone(),
            number,
            leave,
            reserve,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is an ordinary place for one more of this address; else there is one of the
    /// reserve afterwards.
    fn make_room(&mut self, of: IpAddr) -> bool {
        let ordinary = |seat: &&Seat| !seat.reserve;
        let theirs = self.seats.values().filter(ordinary);
        let theirs = theirs.filter(|seat| seat.of == of).count();
        let all = self.seats.values().filter(ordinary).count();
        let room = if theirs >= PER_ADDRESS {
            self.sends_away(|seat| !seat.reserve && seat.of == of && seat.gives_way())
        } else if all >= CONNECTIONS {
            self.sends_away(|seat| !seat.reserve && seat.gives_way())
        } else {
            true
        };
        if !room && self.seats.values().filter(|seat| seat.reserve).count() >= RESERVE {
            let _ = self.sends_away(|seat| seat.reserve && seat.gives_way())
                || self.sends_away(|seat| seat.reserve);
        }
        room
    }

    /// Whoever of these is of least use goes, and of those whoever has waited longest. False if there
    /// is none.
    fn sends_away(&mut self, whom: impl Fn(&Seat) -> bool) -> bool {
        let of_them = self.seats.iter().filter(|(_, seat)| whom(seat));
        let longest = of_them.min_by_key(|(_, seat)| (seat.wait(), seat.since));
        let Some(number) = longest.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(seat) = self.seats.remove(&number) {
            seat.leave.cancel();
        }
        true
    }
}

impl Seat {
    fn gives_way(&self) -> bool {
        self.phase < Phase::Busy
    }

    /// Those who ask nothing go before those whose question is on its way.
    fn wait(&self) -> Phase {
        self.phase.max(Phase::Held)
    }
}

impl Place {
    /// Resolves when somebody else has been given the place.
    pub(super) async fn is_given_away(&self) {
        self.0.leave.cancelled().await;
    }

    /// Whether only `/healthz` is answered here.
    pub(super) fn is_of_the_reserve(&self) -> bool {
        self.0.reserve
    }

    /// What it is used for, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let state = self.0.places.state();
        let seat = state.seats.get(&self.0.number);
        seat.map_or((Phase::Kept, Instant::now()), |it| (it.phase, it.since))
    }

    /// The head of a request has come, and with it the whole of it if it has no body.
    pub(super) fn answers(&self, is_whole: bool) -> Answering {
        self.is(if is_whole { Phase::Busy } else { Phase::Coming });
        Answering(self.clone())
    }

    /// All of a request has come, or its answer goes out already.
    pub(super) fn has_it_all(&self) {
        if self.phase().0 == Phase::Coming {
            self.is(Phase::Busy);
        }
    }

    /// Somebody's upload that has gone on for long ends, so that another question can be worked on.
    /// False if there is none.
    pub(super) fn ends_an_upload(&self) -> bool {
        let Some(long_ago) = Instant::now().checked_sub(UNHURRIED) else {
            return false;
        };
        let mut state = self.0.places.state();
        state.sends_away(|seat| seat.phase == Phase::Coming && seat.since < long_ago)
    }

    /// The answer is held back for a while, and the place is no longer worth keeping.
    pub(super) fn holds(&self) {
        self.is(Phase::Held);
    }

    fn is(&self, phase: Phase) {
        let mut state = self.0.places.state();
        if let Some(seat) = state.seats.get_mut(&self.0.number) {
            seat.phase = phase;
            seat.since = Instant::now();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is(Phase::Kept);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.places.state().seats.remove(&self.number);
    }
}

/// Whose address it is: of IPv6 the network, since a host has as many addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn gone(place: &Place) -> bool {
        place.0.leave.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_gives_way() {
        let places = Places::default();
        let mut there: Vec<Place> = Vec::new();
        for _ in 0..PER_ADDRESS {
            there.push(places.take(address(1)));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let busy = there[0].answers(true);
        let next = places.take(address(1));
        assert!(!next.is_of_the_reserve());
        assert!(!gone(&there[0]) && gone(&there[1]) && !gone(&there[2]));
        // Another address has nothing to do with it.
        let other = places.take(address(2));
        assert!(!other.is_of_the_reserve() && !gone(&there[2]));
        drop(busy);
        drop(there);
        drop((next, other));
        assert!(places.state().seats.is_empty());
    }

    #[tokio::test]
    async fn who_is_answered_stays_and_the_reserve_is_left() {
        let places = Places::default();
        let mut there = Vec::new();
        for number in 0..CONNECTIONS {
            let place = places.take(address(u8::try_from(number / PER_ADDRESS).expect("small")));
            assert!(!place.is_of_the_reserve());
            there.push((place.answers(true), place));
        }
        let mut extra: Vec<Place> = (0..100).map(|_| places.take(address(200))).collect();
        assert!(extra.iter().all(Place::is_of_the_reserve));
        assert_eq!(extra.iter().filter(|it| !gone(it)).count(), RESERVE);
        assert!(!gone(extra.last().expect("the last one")));
        assert!(there.iter().all(|(_, place)| !gone(place)));
        assert!(places.state().seats.len() <= CONNECTIONS + RESERVE);
        // Whoever is held back gives way too.
        there[5].1.holds();
        extra.push(places.take(address(201)));
        assert!(gone(&there[5].1) && !extra.last().expect("it").is_of_the_reserve());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_gives_way_after_those_who_ask_nothing() {
        let places = Places::default();
        let slow: Vec<_> = (0..PER_ADDRESS - 1)
            .map(|_| {
                let place = places.take(address(1));
                (place.answers(false), place)
            })
            .collect();
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = places.take(address(1));
        let _next = places.take(address(1));
        assert!(gone(&silent) && !gone(&slow[0].1));
        let next = places.take(address(1));
        let _answering = (next.answers(true), places.take(address(1)));
        assert!(gone(&slow[0].1) || gone(&slow[1].1));
        assert!(!gone(&next));
        assert!(!next.ends_an_upload(), "none has gone on for long");
        tokio::time::advance(UNHURRIED).await;
        slow[20].1.has_it_all();
        assert!(next.ends_an_upload());
        assert!(!gone(&slow[20].1), "it is whole");
    }

    #[test]
    fn a_network_is_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
