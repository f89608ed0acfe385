//! What counts against the caps and is not in the ledger: reserved, running, and not yet written.

use std::collections::{HashMap, VecDeque};

use super::Payer;
use crate::flow::rules::Today;
use crate::store::{Booking, CallId, Used};

/// Bookings that wait for a ledger that can't be written. Further ones are added to those that
/// wait: the sum stays right, and as far as possible whose it is.
const MAX_UNWRITTEN: usize = 10_000;

/// The part of the books that is in memory.
#[derive(Default)]
pub(super) struct Books {
    made: u64,
    holds: HashMap<u64, (Payer, Used)>,
    calls: HashMap<u64, Running>,
    unwritten: VecDeque<Unwritten>,
    /// What was used on the last day on which anything was, where there is no ledger.
    kept: (i64, Used),
}

/// A call that is being made.
struct Running {
    reserved: Used,
    /// With what it has used so far.
    booking: Booking,
}

struct Unwritten {
    number: u64,
    /// Somebody is writing it.
    in_hand: bool,
    booking: Booking,
}

impl Books {
    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Reserves `used` until it is let go.
    pub(super) fn hold(&mut self, payer: Payer, used: Used) -> u64 {
        let number = self.number();
        self.holds.insert(number, (payer, used));
        number
    }

    /// What is left of what was reserved.
    pub(super) fn left_of(&self, hold: u64) -> Used {
        self.holds
            .get(&hold)
            .map_or_else(Used::default, |(_, left)| *left)
    }

    /// From here on at most `rest` is reserved.
    pub(super) fn shrink(&mut self, hold: u64, rest: &Used) {
        if let Some((_, left)) = self.holds.get_mut(&hold) {
            *left = left.without(&left.without(rest));
        }
    }

    pub(super) fn let_go(&mut self, hold: u64) {
        self.holds.remove(&hold);
    }

    /// A call begins, for which its booking's use is reserved.
    pub(super) fn begin(&mut self, booking: Booking) -> u64 {
        let number = self.number();
        let running = Running {
            reserved: booking.used,
            booking: Booking {
                used: Used::default(),
                ..booking
            },
        };
        self.calls.insert(number, running);
        number
    }

    /// The ledger knows of the call.
    pub(super) fn known(&mut self, call: u64, as_number: CallId) {
        if let Some(running) = self.calls.get_mut(&call) {
            running.booking.call = Some(as_number);
        }
    }

    /// What a call has used so far, to be changed.
    pub(super) fn used(&mut self, call: u64) -> Option<&mut Used> {
        self.calls
            .get_mut(&call)
            .map(|running| &mut running.booking.used)
    }

    /// The day whose caps a call counts against.
    pub(super) fn day(&self, call: u64) -> Option<i64> {
        self.calls.get(&call).map(|running| running.booking.day)
    }

    /// A call is over: what it used is to be written. `in_hand`: by whoever asks.
    pub(super) fn finish(&mut self, call: u64, in_hand: bool) -> Option<Booking> {
        let running = self.calls.remove(&call)?;
        let booking = running.booking;
        if booking.used.is_nothing() && booking.call.is_none() {
            return None;
        }
        if self.unwritten.len() >= MAX_UNWRITTEN && !in_hand {
            self.add_to_another(&booking);
        } else {
            self.unwritten.push_back(Unwritten {
                number: call,
                in_hand,
                booking,
            });
        }
        Some(booking)
    }

    fn add_to_another(&mut self, booking: &Booking) {
        let same = |it: &Booking| {
            (it.guild, it.author, it.day) == (booking.guild, booking.author, booking.day)
        };
        let free = |it: &Unwritten| !it.in_hand;
        let place = self
            .unwritten
            .iter()
            .position(|it| free(it) && same(&it.booking))
            .or_else(|| self.unwritten.iter().position(free));
        if let Some(other) = place.and_then(|place| self.unwritten.get_mut(place)) {
            other.booking.used = other.booking.used.and(&booking.used);
        }
    }

    /// The next booking that nobody is writing. It is in hand from here on.
    pub(super) fn next_unwritten(&mut self) -> Option<(u64, Booking)> {
        let next = self.unwritten.iter_mut().find(|it| !it.in_hand)?;
        next.in_hand = true;
        Some((next.number, next.booking))
    }

    /// Remembers what was used, in the place of a ledger.
    pub(super) fn keep(&mut self, booking: &Booking) {
        let (day, used) = &mut self.kept;
        if *day == booking.day {
            *used = used.and(&booking.used);
        } else {
            self.kept = (booking.day, booking.used);
        }
    }

    /// It is in the ledger.
    pub(super) fn written(&mut self, number: u64) {
        self.unwritten.retain(|it| it.number != number);
    }

    /// It could not be written.
    pub(super) fn not_written(&mut self, number: u64) {
        let it = self.unwritten.iter_mut().find(|it| it.number == number);
        if let Some(it) = it {
            it.in_hand = false;
        }
    }

    pub(super) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// What counts for `payer` on `day`. What is reserved counts on whatever day it will be used.
    pub(super) fn counted(&self, payer: Payer, day: i64) -> Today {
        let mut counted = Today::default();
        if self.kept.0 == day {
            counted.all = self.kept.1;
        }
        let mut add = |whose: Payer, used: &Used| {
            if payer.author != 0 && whose.author == payer.author {
                counted.member = counted.member.and(used);
            }
            if payer.guild.is_some() && whose.guild == payer.guild {
                counted.server = counted.server.and(used);
            }
            counted.all = counted.all.and(used);
        };
        for (whose, left) in self.holds.values() {
            add(*whose, left);
        }
        for running in self.calls.values() {
            let booking = &running.booking;
            add(
                Payer::of(booking),
                &running.reserved.at_least(&booking.used),
            );
        }
        for unwritten in &self.unwritten {
            if unwritten.booking.day == day {
                add(Payer::of(&unwritten.booking), &unwritten.booking.used);
            }
        }
        counted
    }

    /// What running and unwritten calls of an account have used.
    pub(super) fn used_by(
        &self,
        account: crate::store::Account,
        stage: crate::store::Stage,
    ) -> Used {
        let running = self.calls.values().map(|it| &it.booking);
        let unwritten = self.unwritten.iter().map(|it| &it.booking);
        running
            .chain(unwritten)
            .filter(|it| it.account == account && it.stage == stage)
            .fold(Used::default(), |sum, it| sum.and(&it.used))
    }
}
