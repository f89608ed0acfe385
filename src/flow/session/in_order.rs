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
    /// None while it is waited for.
    done: Option<Option<T>>,
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
    /// Something that began at `start` is on its way.
    pub fn begin(&mut self, start: Duration) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let at = self.slots.partition_point(|slot| slot.start <= start);
        let slot = Slot {
            ticket,
            start,
            done: None,
        };
        self.slots.insert(at, slot);
        ticket
    }

    /// It is here, or nothing came of it.
    pub fn done(&mut self, ticket: Ticket, thing: Option<T>) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.ticket == ticket) {
            slot.done = Some(thing);
        }
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
        while self.slots.front().is_some_and(|slot| slot.done.is_some()) {
            let slot = self.slots.pop_front();
            ready.extend(slot.and_then(|slot| slot.done).flatten());
        }
        ready
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
        let first = order.begin(at(1));
        let second = order.begin(at(2));
        // Ended later, began earlier.
        let zeroth = order.begin(at(0));
        order.done(second, Some("second"));
        assert_eq!(order.ready(), Vec::<&str>::new());
        order.done(zeroth, Some("zeroth"));
        assert_eq!(order.ready(), ["zeroth"]);
        order.done(first, None);
        assert_eq!(order.ready(), ["second"]);
        assert!(order.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(
            starts in prop::collection::vec(0_u64..50, 0..40),
            seed in any::<u64>(),
        ) {
            let mut order = InOrder::default();
            let mut tickets: Vec<_> = starts.iter().map(|it| (order.begin(at(*it)), *it)).collect();
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
