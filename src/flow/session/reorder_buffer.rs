//! A buffer for items that complete in any order and are needed in the order in which they began.

use std::collections::VecDeque;
use std::time::Duration;

/// Identifies a reserved slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ticket(u64);

/// Returns completed items by start time. An item is held back until all that began before it are
/// complete.
#[derive(Debug)]
pub struct ReorderBuffer<T> {
    slots: VecDeque<ReorderSlot<T>>,
    next: u64,
}

#[derive(Debug)]
struct ReorderSlot<T> {
    ticket: Ticket,
    start: Duration,
    state: SlotState<T>,
}

#[derive(Debug)]
enum SlotState<T> {
    /// Not complete yet. Holds the item to use if it is given up.
    Pending(T),
    Done(Option<T>),
}

impl<T> Default for ReorderBuffer<T> {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            next: 0,
        }
    }
}

impl<T> ReorderBuffer<T> {
    /// Reserves a slot for an item that began at `start`. `instead` takes its place if it is given
    /// up.
    pub fn reserve(&mut self, start: Duration, instead: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let at = self.slots.partition_point(|slot| slot.start <= start);
        let slot = ReorderSlot {
            ticket,
            start,
            state: SlotState::Pending(instead),
        };
        self.slots.insert(at, slot);
        ticket
    }

    /// Completes a slot; `None` if there is no item for it.
    pub fn complete(&mut self, ticket: Ticket, item: Option<T>) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.ticket == ticket) {
            slot.state = SlotState::Done(item);
        }
    }

    /// Stops waiting for a slot: its replacement is used. No effect on a completed one.
    pub fn give_up(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.ticket == ticket) {
            slot.give_up_slot();
        }
    }

    /// Stops waiting for all slots.
    pub fn give_up_all(&mut self) {
        self.slots.iter_mut().for_each(ReorderSlot::give_up_slot);
    }

    /// Number of slots that are pending or held back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no slots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Removes and returns the items that are next in order.
    pub fn drain_ready(&mut self) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(slot) = self.slots.pop_front() {
            match slot.state {
                SlotState::Done(item) => ready.extend(item),
                SlotState::Pending(_) => {
                    self.slots.push_front(slot);
                    break;
                }
            }
        }
        ready
    }
}

impl<T> ReorderSlot<T> {
    fn give_up_slot(&mut self) {
        self.state = match std::mem::replace(&mut self.state, SlotState::Done(None)) {
            SlotState::Pending(instead) => SlotState::Done(Some(instead)),
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
    fn items_come_out_in_start_order() {
        let mut buffer = ReorderBuffer::default();
        let first = buffer.reserve(at(1), "?");
        let second = buffer.reserve(at(2), "?");
        // Reserved last, but began first.
        let zeroth = buffer.reserve(at(0), "?");
        buffer.complete(second, Some("second"));
        assert_eq!(buffer.drain_ready(), Vec::<&str>::new());
        buffer.complete(zeroth, Some("zeroth"));
        assert_eq!(buffer.drain_ready(), ["zeroth"]);
        buffer.complete(first, None);
        assert_eq!(buffer.drain_ready(), ["second"]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn given_up_slots_do_not_block() {
        let mut buffer = ReorderBuffer::default();
        let tickets = [1, 2, 3, 4].map(|it| buffer.reserve(at(it), "missed"));
        buffer.complete(tickets[1], Some("second"));
        buffer.complete(tickets[3], None);
        buffer.give_up(tickets[0]);
        // Giving up a completed slot has no effect.
        buffer.give_up(tickets[3]);
        assert_eq!(buffer.drain_ready(), ["missed", "second"]);
        buffer.give_up_all();
        assert_eq!(buffer.drain_ready(), ["missed"]);
        assert!(buffer.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(
            starts in prop::collection::vec(0_u64..50, 0..40),
            seed in any::<u64>(),
        ) {
            let mut buffer = ReorderBuffer::default();
            let mut tickets: Vec<_> = starts.iter().map(|it| (buffer.reserve(at(*it), 99), *it)).collect();
            let mut received = Vec::new();
            let mut state = seed;
            while !tickets.is_empty() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let pick = (state >> 33) as usize % tickets.len();
                let (ticket, start) = tickets.swap_remove(pick);
                buffer.complete(ticket, Some(start));
                received.extend(buffer.drain_ready());
            }
            let mut sorted = starts.clone();
            sorted.sort_unstable();
            prop_assert_eq!(received, sorted);
        }
    }
}
