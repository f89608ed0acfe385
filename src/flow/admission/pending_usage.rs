//! Usage that counts against the caps but is not in the ledger: reserved, running, and not yet
//! written.

use std::collections::{HashMap, VecDeque};

use super::Payer;
use crate::flow::usage_rules::DailyUsage;
use crate::store::{PaidCallId, Usage, UsageEntry};

/// Entries kept while the ledger can't be written. Further ones are merged into these: the total
/// stays right, and where possible so does the payer.
const MAX_UNWRITTEN: usize = 10_000;

/// Reservations, open calls and unwritten entries.
#[derive(Default)]
pub(super) struct PendingUsage {
    last_number: u64,
    reservations: HashMap<u64, (Payer, Usage)>,
    open_calls: HashMap<u64, OpenCall>,
    unwritten: VecDeque<UnwrittenEntry>,
    /// Day and usage in memory-only mode; only the latest day is kept.
    ledgerless_total: (i64, Usage),
}

/// A call that is in progress.
struct OpenCall {
    reserved: Usage,
    /// Holds what it has used so far.
    entry: UsageEntry,
}

struct UnwrittenEntry {
    number: u64,
    /// A writer is at work on it.
    is_claimed: bool,
    entry: UsageEntry,
}

impl PendingUsage {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Reserves `used` until it is released.
    pub(super) fn reserve(&mut self, payer: Payer, used: Usage) -> u64 {
        let number = self.next_number();
        self.reservations.insert(number, (payer, used));
        number
    }

    /// What is left of a reservation.
    pub(super) fn remaining(&self, reservation: u64) -> Usage {
        self.reservations
            .get(&reservation)
            .map_or_else(Usage::default, |(_, remaining)| *remaining)
    }

    /// Reduces a reservation to at most `rest`.
    pub(super) fn shrink_reservation(&mut self, reservation: u64, rest: &Usage) {
        if let Some((_, remaining)) = self.reservations.get_mut(&reservation) {
            *remaining = remaining.saturating_sub(&remaining.saturating_sub(rest));
        }
    }

    pub(super) fn release_reservation(&mut self, reservation: u64) {
        self.reservations.remove(&reservation);
    }

    /// Opens a call and reserves the usage of its entry.
    pub(super) fn open_call(&mut self, entry: UsageEntry) -> u64 {
        let number = self.next_number();
        let open_call = OpenCall {
            reserved: entry.usage,
            entry: UsageEntry {
                usage: Usage::default(),
                ..entry
            },
        };
        self.open_calls.insert(number, open_call);
        number
    }

    /// The call is recorded in the ledger under this id.
    pub(super) fn set_call_id(&mut self, call: u64, id: PaidCallId) {
        if let Some(open_call) = self.open_calls.get_mut(&call) {
            open_call.entry.call = Some(id);
        }
    }

    /// Usage of an open call so far.
    pub(super) fn usage_mut(&mut self, call: u64) -> Option<&mut Usage> {
        self.open_calls
            .get_mut(&call)
            .map(|open_call| &mut open_call.entry.usage)
    }

    /// The day whose caps a call counts against.
    pub(super) fn call_day(&self, call: u64) -> Option<i64> {
        self.open_calls
            .get(&call)
            .map(|open_call| open_call.entry.day)
    }

    /// Closes a call and queues its entry for writing. `is_claimed`: the caller writes it.
    pub(super) fn close_call(&mut self, call: u64, is_claimed: bool) -> Option<UsageEntry> {
        let open_call = self.open_calls.remove(&call)?;
        let entry = open_call.entry;
        if entry.usage.is_zero() && entry.call.is_none() {
            return None;
        }
        if self.unwritten.len() >= MAX_UNWRITTEN && !is_claimed {
            self.merge_into_other(&entry);
        } else {
            self.unwritten.push_back(UnwrittenEntry {
                number: call,
                is_claimed,
                entry,
            });
        }
        Some(entry)
    }

    fn merge_into_other(&mut self, entry: &UsageEntry) {
        let same = |it: &UsageEntry| {
            (it.guild, it.author, it.day) == (entry.guild, entry.author, entry.day)
        };
        let free = |it: &UnwrittenEntry| !it.is_claimed;
        let index = self
            .unwritten
            .iter()
            .position(|it| free(it) && same(&it.entry))
            .or_else(|| self.unwritten.iter().position(free));
        if let Some(other) = index.and_then(|index| self.unwritten.get_mut(index)) {
            other.entry.usage = other.entry.usage.saturating_add(&entry.usage);
        }
    }

    /// Claims the next entry that no other writer has claimed.
    pub(super) fn claim_next_unwritten(&mut self) -> Option<(u64, UsageEntry)> {
        let next = self.unwritten.iter_mut().find(|it| !it.is_claimed)?;
        next.is_claimed = true;
        Some((next.number, next.entry))
    }

    /// Adds to the total that replaces the ledger in memory-only mode.
    pub(super) fn add_to_ledgerless_total(&mut self, entry: &UsageEntry) {
        let (day, used) = &mut self.ledgerless_total;
        if *day == entry.day {
            *used = used.saturating_add(&entry.usage);
        } else {
            self.ledgerless_total = (entry.day, entry.usage);
        }
    }

    /// The entry is in the ledger.
    pub(super) fn remove_written(&mut self, number: u64) {
        self.unwritten.retain(|it| it.number != number);
    }

    /// The entry could not be written.
    pub(super) fn release_claim(&mut self, number: u64) {
        let it = self.unwritten.iter_mut().find(|it| it.number == number);
        if let Some(it) = it {
            it.is_claimed = false;
        }
    }

    pub(super) fn is_all_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Pending usage that counts for `payer` on `day`. Reservations and open calls count on any
    /// day.
    pub(super) fn pending_for(&self, payer: Payer, day: i64) -> DailyUsage {
        let mut counted = DailyUsage::default();
        if self.ledgerless_total.0 == day {
            counted.global = self.ledgerless_total.1;
        }
        let mut add = |owner: Payer, used: &Usage| {
            if payer.author != 0 && owner.author == payer.author {
                counted.member = counted.member.saturating_add(used);
            }
            if payer.guild.is_some() && owner.guild == payer.guild {
                counted.guild = counted.guild.saturating_add(used);
            }
            counted.global = counted.global.saturating_add(used);
        };
        for (owner, remaining) in self.reservations.values() {
            add(*owner, remaining);
        }
        for open_call in self.open_calls.values() {
            let entry = &open_call.entry;
            add(
                Payer::from_entry(entry),
                &open_call.reserved.max_each(&entry.usage),
            );
        }
        for unwritten in &self.unwritten {
            if unwritten.entry.day == day {
                add(Payer::from_entry(&unwritten.entry), &unwritten.entry.usage);
            }
        }
        counted
    }

    /// Usage of an account's open and unwritten calls.
    pub(super) fn account_usage(
        &self,
        account: crate::store::UsageAccount,
        stage: crate::store::UsageStage,
    ) -> Usage {
        let open = self.open_calls.values().map(|it| &it.entry);
        let unwritten = self.unwritten.iter().map(|it| &it.entry);
        open.chain(unwritten)
            .filter(|it| it.account == account && it.stage == stage)
            .fold(Usage::default(), |sum, it| sum.saturating_add(&it.usage))
    }
}
