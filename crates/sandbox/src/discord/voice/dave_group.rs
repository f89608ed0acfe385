//! A call's group, as the server knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use openmls::prelude::KeyPackage;

use super::mls::ExternalSender;

/// What the members are busy with.
#[derive(Debug)]
pub(super) enum GroupPhase {
    Idle,
    /// The members have proposals.
    AwaitingCommit {
        removes: Vec<u32>,
        add: Option<u64>,
        until: Instant,
    },
    /// Not everybody has said that they are ready.
    InTransition {
        id: u16,
        encrypted: bool,
        waits: BTreeSet<u64>,
        until: Instant,
    },
}

/// A call's encryption.
#[derive(Debug)]
pub(super) struct DaveGroup {
    pub(super) channel: u64,
    /// What it shall be.
    pub(super) should_encrypt: bool,
    /// Clients have been told that there is a group.
    pub(super) is_announced: bool,
    pub(super) external_sender: ExternalSender,
    /// By leaf.
    pub(super) members: BTreeMap<u32, u64>,
    /// Those with a key package who are no members yet, as they came.
    pub(super) pending_members: Vec<(u64, KeyPackage)>,
    /// Members who have lost their keys, or left.
    pub(super) departed: BTreeSet<u64>,
    pub(super) epoch: u64,
    pub(super) phase: GroupPhase,
    pub(super) last_transition: u16,
}

impl DaveGroup {
    pub(super) fn new(channel: u64, should_encrypt: bool) -> Self {
        Self {
            channel,
            should_encrypt,
            is_announced: false,
            external_sender: ExternalSender::new(channel),
            members: BTreeMap::new(),
            pending_members: Vec::new(),
            departed: BTreeSet::new(),
            epoch: 0,
            phase: GroupPhase::Idle,
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
        if !self.should_encrypt {
            return !self.is_announced && matches!(self.phase, GroupPhase::Idle);
        }
        matches!(self.phase, GroupPhase::Idle)
            && self.pending_members.is_empty()
            && self.departed.is_empty()
            && self.leaf_of(user).is_some()
    }

    /// The epoch, and how many belong to the group.
    pub(super) fn epoch_and_size(&self) -> (u64, usize) {
        (self.epoch, self.members.len())
    }

    /// The next one.
    pub(super) fn next_transition_id(&mut self) -> u16 {
        self.last_transition = self.last_transition.checked_add(1).unwrap_or(1);
        self.last_transition
    }

    /// Nobody is left.
    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.departed.clear();
        self.epoch = 0;
    }
}
