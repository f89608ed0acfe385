//! Things that are finished in any order and wanted in the order in which they began.

use std::collections::VecDeque;
use std::time::Duration;

/// A place in the order.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ticket(u64);

/// Gives what is done, earliest beginning first; whatever began before it is waited for.
#[derive(Debug)]
pub struct InOrder<T> {
    slots: VecDeque<Slot<T>>,
    next: u64,
}

#[derive(Debug)]
struct Slot<T> {
    ticket: Ticket,
    start: Duration,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    /// It is waited for. This stands in for it if it never comes.
    Awaited(T),
    Done(Option<T>),
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            next: 0,
        }
    }
}

impl<T> InOrder<T> {
    /// Something that began at `start` is on its way. If it never comes, `instead` is given.
    pub fn begin(&mut self, start: Duration, instead: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let at = self.slots.partition_point(|slot| slot.start <= start);
        let slot = Slot {
            ticket,
            start,
            state: State::Awaited(instead),
        };
        self.slots.insert(at, slot);
        ticket
    }

    /// It is here, or nothing came of it.
    pub fn done(&mut self, ticket: Ticket, thing: Option<T>) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.ticket == ticket) {
            slot.state = State::Done(thing);
        }
    }

    /// It never comes.
    pub fn missed(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.ticket == ticket) {
            slot.miss();
        }
    }

    /// Nothing is waited for any longer.
    pub fn missed_all(&mut self) {
        self.slots.iter_mut().for_each(Slot::miss);
    }

    /// How many are on their way or wait for others.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What can be given now.
    pub fn ready(&mut self) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(slot) = self.slots.pop_front() {
            match slot.state {
                State::Done(thing) => ready.extend(thing),
                State::Awaited(_) => {
                    self.slots.push_front(slot);
                    break;
                }
            }
        }
        ready
    }
}

impl<T> Slot<T> {
    fn miss(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Done(None)) {
            State::Awaited(instead) => State::Done(Some(instead)),
            done => done,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_began_first_comes_first() {
        let mut order = InOrder::default();
        let first = order.begin(at(1), "?");
        let second = order.begin(at(2), "?");
        // Ended later, began earlier.
        let zeroth = order.begin(at(0), "?");
        order.done(second, Some("second"));
        assert_eq!(order.ready(), Vec::<&str>::new());
        order.done(zeroth, Some("zeroth"));
        assert_eq!(order.ready(), ["zeroth"]);
        order.done(first, None);
        assert_eq!(order.ready(), ["second"]);
        assert!(order.is_empty());
    }

    #[test]
    fn what_never_comes_holds_nobody_up() {
        let mut order = InOrder::default();
        let tickets = [1, 2, 3, 4].map(|it| order.begin(at(it), "missed"));
        order.done(tickets[1], Some("second"));
        order.done(tickets[3], None);
        order.missed(tickets[0]);
        // Word of what was here already changes nothing.
        order.missed(tickets[3]);
        assert_eq!(order.ready(), ["missed", "second"]);
        order.missed_all();
        assert_eq!(order.ready(), ["missed"]);
        assert!(order.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(
            starts in prop::collection::vec(0_u64..50, 0..40),
            seed in any::<u64>(),
        ) {
            let mut order = InOrder::default();
            let mut tickets: Vec<_> = starts.iter().map(|it| (order.begin(at(*it), 99), *it)).collect();
            let mut given = Vec::new();
            let mut state = seed;
            while !tickets.is_empty() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let pick = (state >> 33) as usize % tickets.len();
                let (ticket, start) = tickets.swap_remove(pick);
                order.done(ticket, Some(start));
                given.extend(order.ready());
            }
            let mut sorted = starts.clone();
            sorted.sort_unstable();
            prop_assert_eq!(given, sorted);
        }
    }
}
