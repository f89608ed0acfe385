//! A call's group, as the server knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use openmls::prelude::KeyPackage;

use super::mls::ExternalAuthority;

/// What the members are busy with.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    /// The members have proposals.
    Committing {
        removes: Vec<u32>,
        add: Option<u64>,
        until: Instant,
    },
    /// Not everybody has said that they are ready.
    Changing {
        id: u16,
        encrypted: bool,
        waits: BTreeSet<u64>,
        until: Instant,
    },
}

/// A call's encryption.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) channel: u64,
    /// What it shall be.
    pub(super) wanted: bool,
    /// Clients have been told that there is a group.
    pub(super) announced: bool,
    pub(super) authority: ExternalAuthority,
    /// By leaf.
    pub(super) members: BTreeMap<u32, u64>,
    /// Those with a key package who are no members yet, as they came.
    pub(super) waiting: Vec<(u64, KeyPackage)>,
    /// Members who have lost their keys, or left.
    pub(super) gone: BTreeSet<u64>,
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    pub(super) last_transition: u16,
}

impl Group {
    pub(super) fn new(channel: u64, wanted: bool) -> Self {
        Self {
            channel,
            wanted,
            announced: false,
            authority: ExternalAuthority::new(channel),
            members: BTreeMap::new(),
            waiting: Vec::new(),
            gone: BTreeSet::new(),
            epoch: 0,
            phase: Phase::Idle,
            last_transition: 0,
        }
    }

    /// Where a member sits in the group's tree.
    pub(super) fn leaf_of(&self, user: u64) -> Option<u32> {
        let mut all = self.members.iter();
        all.find(|it| *it.1 == user).map(|it| *it.0)
    }

    /// Whether this user has the keys that are in use, and nothing is about to change.
    pub(super) fn is_settled_for(&self, user: u64) -> bool {
        if !self.wanted {
            return !self.announced && matches!(self.phase, Phase::Idle);
        }
        matches!(self.phase, Phase::Idle)
            && self.waiting.is_empty()
            && self.gone.is_empty()
            && self.leaf_of(user).is_some()
    }

    /// The epoch, and how many belong to the group.
    pub(super) fn size(&self) -> (u64, usize) {
        (self.epoch, self.members.len())
    }

    /// The next one.
    pub(super) fn transition(&mut self) -> u16 {
        self.last_transition = self.last_transition.checked_add(1).unwrap_or(1);
        self.last_transition
    }

    /// Nobody is left.
    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.gone.clear();
        self.epoch = 0;
    }
}
