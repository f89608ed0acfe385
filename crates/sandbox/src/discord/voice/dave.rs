//! Who belongs to a call's group: the server proposes, members commit, and everybody changes keys
//! together. One member is added at a time, so that the server knows who sits on which leaf.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::dave_group::GroupPhase;
use super::frames::{VoiceFrame, op};
use super::mls;
use super::server_state::VoiceServerState;

/// How long the members may take to commit. After that the group is made anew.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long everybody may take to get ready. After that they change keys without the late ones.
const TRANSITION_TIMEOUT: Duration = Duration::from_secs(5);

/// The version of the protocol.
const DAVE_VERSION: u64 = 1;

impl VoiceServerState {
    /// Clients of a call that understand encryption.
    fn dave_clients(&self, channel: u64) -> Vec<u64> {
        let all = self.clients_in_channel(channel);
        all.filter(|number| self.clients[number].supports_dave)
            .collect()
    }

    fn send_to(&mut self, numbers: &[u64], frame: &VoiceFrame) {
        for number in numbers {
            self.send(*number, frame.clone());
        }
    }

    /// What a client that has just come needs for the group.
    pub(super) fn dave_client_joined(&mut self, number: u64) {
        let channel = self.clients[&number].channel_id;
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if group.should_encrypt {
            group.is_announced = true;
            let package = group.external_sender.to_bytes();
            self.send(number, VoiceFrame::Binary(op::EXTERNAL_SENDER, package));
        }
        self.advance_dave_group(channel);
    }

    pub(super) fn dave_client_left(&mut self, channel: u64, user: u64) {
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        group.pending_members.retain(|it| it.0 != user);
        if group.leaf_of(user).is_some() {
            group.departed.insert(user);
        }
        if let GroupPhase::AwaitingCommit { add, .. } = &group.phase
            && *add == Some(user)
        {
            // The commit that adds them is on its way; the next one removes them.
            group.departed.insert(user);
        }
        let is_left = |it: (&u32, &u64), removes: &[u32]| {
            !removes.contains(it.0) && !group.departed.contains(it.1)
        };
        if let GroupPhase::AwaitingCommit { removes, .. } = &group.phase
            && !group.members.iter().any(|it| is_left(it, removes))
        {
            // Nobody is left who could commit.
            group.phase = GroupPhase::Idle;
        }
        self.handle_transition_ready(channel, user, None);
        self.advance_dave_group(channel);
    }

    /// A client has missed what the group did.
    pub(super) fn dave_client_missed_frames(&mut self, number: u64) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        let (channel, user) = (client.channel_id, client.user_id);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if !group.should_encrypt || !client.supports_dave {
            return;
        }
        if group.leaf_of(user).is_some() {
            group.departed.insert(user);
        }
        group.pending_members.retain(|it| it.0 != user);
        let package = group.external_sender.to_bytes();
        self.send(number, prepare_epoch_frame());
        self.send(number, VoiceFrame::Binary(op::EXTERNAL_SENDER, package));
        self.handle_transition_ready(channel, user, None);
        self.advance_dave_group(channel);
    }

    /// Encryption is ordered, or ordered off.
    pub(super) fn set_dave_enabled(&mut self, channel: u64, wanted: bool) {
        self.group_or_insert(channel, wanted).should_encrypt = wanted;
        if wanted {
            let without: Vec<u64> = self
                .clients_in_channel(channel)
                .filter(|number| !self.clients[number].supports_dave)
                .collect();
            for number in without {
                self.remove_client(number, Some(4_017));
            }
        }
        self.advance_dave_group(channel);
    }

    /// Everybody makes new keys.
    pub(super) fn reset_dave_group(&mut self, channel: u64) {
        let everybody = self.dave_clients(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        group.clear();
        group.pending_members.clear();
        group.phase = GroupPhase::Idle;
        group.is_announced = true;
        let package = group.external_sender.to_bytes();
        self.send_to(&everybody, &prepare_epoch_frame());
        self.send_to(
            &everybody,
            &VoiceFrame::Binary(op::EXTERNAL_SENDER, package),
        );
    }

    pub(super) fn handle_key_package(&mut self, channel: u64, user: u64, bytes: &[u8]) {
        let Some(package) = mls::parse_key_package(bytes, user) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if group.leaf_of(user).is_some() {
            group.departed.insert(user);
        }
        group.pending_members.retain(|it| it.0 != user);
        group.pending_members.push((user, package));
        self.handle_transition_ready(channel, user, None);
        self.advance_dave_group(channel);
    }

    /// A member could not make use of what it was sent. It makes new keys, and joins anew.
    pub(super) fn handle_invalid_commit(&mut self, channel: u64, user: u64) {
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if group.leaf_of(user).is_some() {
            group.departed.insert(user);
        }
        self.handle_transition_ready(channel, user, None);
        self.advance_dave_group(channel);
    }

    /// The first commit that fits is the one that counts.
    pub(super) fn handle_commit(&mut self, channel: u64, user: u64, bytes: &[u8]) {
        let users = self.users_in_channel(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        let GroupPhase::AwaitingCommit { removes, add, .. } = &group.phase else {
            return;
        };
        let Some(commit) = mls::parse_commit(bytes) else {
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
                group.departed.remove(&user);
            }
        }
        let old: BTreeSet<u64> = group.members.values().copied().collect();
        if let Some(add) = add {
            let taken = |leaf: &u32| group.members.contains_key(leaf);
            let leaf = (0..).find(|leaf| !taken(leaf)).unwrap_or(0);
            group.members.insert(leaf, add);
            group.pending_members.retain(|it| it.0 != add);
        }
        group.epoch += 1;
        let present = group.members.values().filter(is_here).copied();
        let present: BTreeSet<u64> = present.collect();
        let id = group.next_transition_id();
        group.phase = GroupPhase::InTransition {
            id,
            encrypted: true,
            waits: present.difference(&group.departed).copied().collect(),
            until: Instant::now() + TRANSITION_TIMEOUT,
        };
        let announced = [&id.to_be_bytes()[..], &commit.commit].concat();
        let welcome = commit.welcome.unwrap_or_default();
        let welcome = [&id.to_be_bytes()[..], &welcome].concat();
        for user in old {
            if let Some(number) = self.client_of(channel, user).map(|it| it.number) {
                self.send(number, VoiceFrame::Binary(op::COMMIT, announced.clone()));
            }
        }
        let added = add.and_then(|user| self.client_of(channel, user));
        if let Some(number) = added.map(|it| it.number) {
            self.send(number, VoiceFrame::Binary(op::WELCOME, welcome));
        }
        // It is nobody's turn if nobody is left.
        self.handle_transition_ready(channel, 0, Some(id));
    }

    /// Somebody is ready for a transition, or will never be. The last one sets it off.
    pub(super) fn handle_transition_ready(
        &mut self,
        channel: u64,
        user: u64,
        transition: Option<u16>,
    ) {
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if let GroupPhase::InTransition { id, waits, .. } = &mut group.phase
            && transition.is_none_or(|it| it == *id)
        {
            waits.remove(&user);
            if waits.is_empty() {
                self.execute_transition(channel);
            }
        }
    }

    fn execute_transition(&mut self, channel: u64) {
        let everybody = self.dave_clients(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        let GroupPhase::InTransition { id, encrypted, .. } = group.phase else {
            return;
        };
        group.phase = GroupPhase::Idle;
        let members: BTreeSet<u64> = group.members.values().copied().collect();
        if !encrypted {
            group.clear();
            group.pending_members.clear();
            group.is_announced = false;
        }
        let execute = VoiceFrame::Json(op::EXECUTE_TRANSITION, json!({"transition_id": id}));
        for number in everybody {
            if !encrypted || members.contains(&self.clients[&number].user_id) {
                self.send(number, execute.clone());
            }
        }
        self.advance_dave_group(channel);
    }

    /// Does what is to be done next.
    pub(super) fn advance_dave_group(&mut self, channel: u64) {
        let everybody = self.dave_clients(channel);
        let users = self.users_in_channel(channel);
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        if !matches!(group.phase, GroupPhase::Idle) {
            return;
        }
        if !group.should_encrypt {
            if group.is_announced && !everybody.is_empty() {
                self.downgrade_dave_group(channel, &everybody);
            } else if everybody.is_empty() {
                group.clear();
                group.is_announced = false;
            }
            return;
        }
        if !group.is_announced {
            if !everybody.is_empty() {
                self.reset_dave_group(channel);
            }
            return;
        }
        let is_gone = |user: &u64| group.departed.contains(user) || !users.contains(user);
        let leaves = group.members.iter().filter(|it| is_gone(it.1));
        let removes: Vec<u32> = leaves.map(|it| *it.0).collect();
        if removes.len() == group.members.len() {
            // Nobody is left who could commit: the next one begins a group of their own.
            group.clear();
            if group.pending_members.is_empty() {
                return;
            }
            let (first, _) = group.pending_members.remove(0);
            group.members.insert(0, first);
            return self.advance_dave_group(channel);
        }
        let mut waiting = group.pending_members.iter();
        let add = waiting.find(|it| group.leaf_of(it.0).is_none()).cloned();
        if removes.is_empty() && add.is_none() {
            return;
        }
        let added = add.as_ref().map(|it| it.0);
        let package = add.map(|it| it.1);
        let proposals = group
            .external_sender
            .build_proposals(group.epoch, &removes, package);
        let members = group.members.iter().filter(|it| !removes.contains(it.0));
        let members: Vec<u64> = members.map(|it| *it.1).collect();
        group.phase = GroupPhase::AwaitingCommit {
            removes,
            add: added,
            until: Instant::now() + COMMIT_TIMEOUT,
        };
        for user in members {
            if let Some(number) = self.client_of(channel, user).map(|it| it.number) {
                self.send(number, VoiceFrame::Binary(op::PROPOSALS, proposals.clone()));
            }
        }
    }

    fn downgrade_dave_group(&mut self, channel: u64, everybody: &[u64]) {
        let waits = everybody
            .iter()
            .map(|it| self.clients[it].user_id)
            .collect();
        let Some(group) = self.groups.get_mut(&channel) else {
            return;
        };
        let id = group.next_transition_id();
        group.phase = GroupPhase::InTransition {
            id,
            encrypted: false,
            waits,
            until: Instant::now() + TRANSITION_TIMEOUT,
        };
        let data = json!({"transition_id": id, "protocol_version": 0});
        self.send_to(everybody, &VoiceFrame::Json(op::PREPARE_TRANSITION, data));
    }

    /// Ends what takes too long. Says whether anything has changed.
    pub(super) fn expire_deadlines(&mut self) -> bool {
        let now = Instant::now();
        let mut late = Vec::new();
        for group in self.groups.values() {
            match &group.phase {
                GroupPhase::AwaitingCommit { until, .. } if *until < now => {
                    late.push((group.channel, true));
                }
                GroupPhase::InTransition { until, .. } if *until < now => {
                    late.push((group.channel, false));
                }
                _ => {}
            }
        }
        for (channel, anew) in &late {
            if *anew {
                self.reset_dave_group(*channel);
            } else {
                self.execute_transition(*channel);
            }
        }
        !late.is_empty()
    }
}

/// Everybody who hears this makes new keys.
fn prepare_epoch_frame() -> VoiceFrame {
    let data = json!({"protocol_version": DAVE_VERSION, "epoch": 1});
    VoiceFrame::Json(op::PREPARE_EPOCH, data)
}
