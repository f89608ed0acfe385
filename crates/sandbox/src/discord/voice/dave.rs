//! Who belongs to a call's group: the server proposes, members commit, and everybody changes keys
//! together. One member is added at a time, so that the server knows who sits on which leaf.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::call::Calls;
use super::group::Phase;
use super::mls;
use super::wire::{Frame, op};

/// How long the members may take to commit. After that the group is made anew.
const COMMIT_WAIT: Duration = Duration::from_secs(5);

/// How long everybody may take to get ready. After that they change keys without the late ones.
const READY_WAIT: Duration = Duration::from_secs(5);

/// The version of the protocol.
const VERSION: u64 = 1;

impl Calls {
    /// Clients of a call that understand encryption.
    fn encrypting(&self, channel: u64) -> Vec<u64> {
        let all = self.in_channel(channel);
        all.filter(|number| self.clients[number].dave).collect()
    }

    fn tell(&mut self, numbers: &[u64], frame: &Frame) {
        for number in numbers {
            self.send(*number, frame.clone());
        }
    }

    /// What a client that has just come needs for the group.
    pub(super) fn dave_entered(&mut self, number: u64) {
        let channel = self.clients[&number].channel;
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if group.wanted {
            group.announced = true;
            let package = group.authority.package();
            self.send(number, Frame::Binary(op::EXTERNAL_SENDER, package));
        }
        self.dave_step(channel);
    }

    pub(super) fn dave_left(&mut self, channel: u64, user: u64) {
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        group.waiting.retain(|it| it.0 != user);
        if group.leaf_of(user).is_some() {
            group.gone.insert(user);
        }
        if let Phase::Committing { add, .. } = &group.phase
            && *add == Some(user)
        {
            // The commit that adds them is on its way; the next one removes them.
            group.gone.insert(user);
        }
        let is_left = |it: (&u32, &u64), removes: &[u32]| {
            !removes.contains(it.0) && !group.gone.contains(it.1)
        };
        if let Phase::Committing { removes, .. } = &group.phase
            && !group.members.iter().any(|it| is_left(it, removes))
        {
            // Nobody is left who could commit.
            group.phase = Phase::Idle;
        }
        self.dave_ready(channel, user, None);
        self.dave_step(channel);
    }

    /// A client has missed what the group did.
    pub(super) fn dave_behind(&mut self, number: u64) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        let (channel, user) = (client.channel, client.user);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if !group.wanted || !client.dave {
            return;
        }
        if group.leaf_of(user).is_some() {
            group.gone.insert(user);
        }
        group.waiting.retain(|it| it.0 != user);
        let package = group.authority.package();
        self.send(number, begin_epoch());
        self.send(number, Frame::Binary(op::EXTERNAL_SENDER, package));
        self.dave_ready(channel, user, None);
        self.dave_step(channel);
    }

    /// Encryption is ordered, or ordered off.
    pub(super) fn dave_wanted(&mut self, channel: u64, wanted: bool) {
        self.group(channel, wanted).wanted = wanted;
        if wanted {
            let without: Vec<u64> = self
                .in_channel(channel)
                .filter(|number| !self.clients[number].dave)
                .collect();
            for number in without {
                self.remove(number, Some(4_017));
            }
        }
        self.dave_step(channel);
    }

    /// Everybody makes new keys.
    pub(super) fn dave_reset(&mut self, channel: u64) {
        let everybody = self.encrypting(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        group.clear();
        group.waiting.clear();
        group.phase = Phase::Idle;
        group.announced = true;
        let package = group.authority.package();
        self.tell(&everybody, &begin_epoch());
        self.tell(&everybody, &Frame::Binary(op::EXTERNAL_SENDER, package));
    }

    pub(super) fn dave_key_package(&mut self, channel: u64, user: u64, bytes: &[u8]) {
        let Some(package) = mls::key_package(bytes, user) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if group.leaf_of(user).is_some() {
            group.gone.insert(user);
        }
        group.waiting.retain(|it| it.0 != user);
        group.waiting.push((user, package));
        self.dave_ready(channel, user, None);
        self.dave_step(channel);
    }

    /// A member could not make use of what it was sent. It makes new keys, and joins anew.
    pub(super) fn dave_invalid(&mut self, channel: u64, user: u64) {
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if group.leaf_of(user).is_some() {
            group.gone.insert(user);
        }
        self.dave_ready(channel, user, None);
        self.dave_step(channel);
    }

    /// The first commit that fits is the one that counts.
    pub(super) fn dave_commit(&mut self, channel: u64, user: u64, bytes: &[u8]) {
        let users = self.users(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        let Phase::Committing { removes, add, .. } = &group.phase else {
            return;
        };
        let Some(commit) = mls::commit(bytes) else {
            return;
        };
        let fits = commit.epoch == group.epoch
            && commit.group == channel
            && commit.welcome.is_some() == add.is_some()
            && group.leaf_of(user).is_some();
        if !fits {
            return;
        }
        let (removes, add) = (removes.clone(), *add);
        let is_here = |user: &&u64| users.contains(user);
        for leaf in removes {
            if let Some(user) = group.members.remove(&leaf) {
                group.gone.remove(&user);
            }
        }
        let old: BTreeSet<u64> = group.members.values().copied().collect();
        if let Some(add) = add {
            let taken = |leaf: &u32| group.members.contains_key(leaf);
            let leaf = (0..).find(|leaf| !taken(leaf)).unwrap_or(0);
            group.members.insert(leaf, add);
            group.waiting.retain(|it| it.0 != add);
        }
        group.epoch += 1;
        let present = group.members.values().filter(is_here).copied();
        let present: BTreeSet<u64> = present.collect();
        let id = group.transition();
        group.phase = Phase::Changing {
            id,
            encrypted: true,
            waits: present.difference(&group.gone).copied().collect(),
            until: Instant::now() + READY_WAIT,
        };
        let announced = [&id.to_be_bytes()[..], &commit.commit].concat();
        let welcome = commit.welcome.unwrap_or_default();
        let welcome = [&id.to_be_bytes()[..], &welcome].concat();
        for user in old {
            if let Some(number) = self.client_of(channel, user).map(|it| it.number) {
                self.send(number, Frame::Binary(op::COMMIT, announced.clone()));
            }
        }
        let added = add.and_then(|user| self.client_of(channel, user));
        if let Some(number) = added.map(|it| it.number) {
            self.send(number, Frame::Binary(op::WELCOME, welcome));
        }
        // It is nobody's turn if nobody is left.
        self.dave_ready(channel, 0, Some(id));
    }

    /// Somebody is ready for a transition, or will never be. The last one sets it off.
    pub(super) fn dave_ready(&mut self, channel: u64, user: u64, transition: Option<u16>) {
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if let Phase::Changing { id, waits, .. } = &mut group.phase
            && transition.is_none_or(|it| it == *id)
        {
            waits.remove(&user);
            if waits.is_empty() {
                self.dave_execute(channel);
            }
        }
    }

    fn dave_execute(&mut self, channel: u64) {
        let everybody = self.encrypting(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        let Phase::Changing { id, encrypted, .. } = group.phase else {
            return;
        };
        group.phase = Phase::Idle;
        let members: BTreeSet<u64> = group.members.values().copied().collect();
        if !encrypted {
            group.clear();
            group.waiting.clear();
            group.announced = false;
        }
        let execute = Frame::Json(op::EXECUTE_TRANSITION, json!({"transition_id": id}));
        for number in everybody {
            if !encrypted || members.contains(&self.clients[&number].user) {
                self.send(number, execute.clone());
            }
        }
        self.dave_step(channel);
    }

    /// Does what is to be done next.
    pub(super) fn dave_step(&mut self, channel: u64) {
        let everybody = self.encrypting(channel);
        let users = self.users(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if !matches!(group.phase, Phase::Idle) {
            return;
        }
        if !group.wanted {
            if group.announced && !everybody.is_empty() {
                self.dave_downgrade(channel, &everybody);
            } else if everybody.is_empty() {
                group.clear();
                group.announced = false;
            }
            return;
        }
        if !group.announced {
            if !everybody.is_empty() {
                self.dave_reset(channel);
            }
            return;
        }
        let is_gone = |user: &u64| group.gone.contains(user) || !users.contains(user);
        let leaves = group.members.iter().filter(|it| is_gone(it.1));
        let removes: Vec<u32> = leaves.map(|it| *it.0).collect();
        if removes.len() == group.members.len() {
            // Nobody is left who could commit: the next one begins a group of their own.
            group.clear();
            if group.waiting.is_empty() {
                return;
            }
            let (first, _) = group.waiting.remove(0);
            group.members.insert(0, first);
            return self.dave_step(channel);
        }
        let mut waiting = group.waiting.iter();
        let add = waiting.find(|it| group.leaf_of(it.0).is_none()).cloned();
        if removes.is_empty() && add.is_none() {
            return;
        }
        let added = add.as_ref().map(|it| it.0);
        let package = add.map(|it| it.1);
        let proposals = group.authority.proposals(group.epoch, &removes, package);
        let members = group.members.iter().filter(|it| !removes.contains(it.0));
        let members: Vec<u64> = members.map(|it| *it.1).collect();
        group.phase = Phase::Committing {
            removes,
            add: added,
            until: Instant::now() + COMMIT_WAIT,
        };
        for user in members {
            if let Some(number) = self.client_of(channel, user).map(|it| it.number) {
                self.send(number, Frame::Binary(op::PROPOSALS, proposals.clone()));
            }
        }
    }

    fn dave_downgrade(&mut self, channel: u64, everybody: &[u64]) {
        let waits = everybody.iter().map(|it| self.clients[it].user).collect();
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        let id = group.transition();
        group.phase = Phase::Changing {
            id,
            encrypted: false,
            waits,
            until: Instant::now() + READY_WAIT,
        };
        let data = json!({"transition_id": id, "protocol_version": 0});
        self.tell(everybody, &Frame::Json(op::PREPARE_TRANSITION, data));
    }

    /// Ends what takes too long. Says whether anything has changed.
    pub(super) fn look_at_the_clock(&mut self) -> bool {
        let now = Instant::now();
        let mut late = Vec::new();
        for group in self.groups.values() {
            match &group.phase {
                Phase::Committing { until, .. } if *until < now => late.push((group.channel, true)),
                Phase::Changing { until, .. } if *until < now => late.push((group.channel, false)),
                _ => {}
            }
        }
        for (channel, anew) in &late {
            if *anew {
                self.dave_reset(*channel);
            } else {
                self.dave_execute(*channel);
            }
        }
        !late.is_empty()
    }
}

/// Everybody who hears this makes new keys.
fn begin_epoch() -> Frame {
    let data = json!({"protocol_version": VERSION, "epoch": 1});
    Frame::Json(op::PREPARE_EPOCH, data)
}
