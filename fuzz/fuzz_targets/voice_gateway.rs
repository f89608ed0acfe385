//! Arbitrary gateway messages, in any order, to a member of a real DAVE group: text, binary, and
//! DAVE events that are valid up to one altered byte. Nothing panics, frames of the other member
//! included, and a new session always offers a key package.

#![no_main]

// The other target needs the rest of it.
#[allow(dead_code)]
#[path = "../group.rs"]
mod group;

use std::time::{Duration, Instant};

use bytes::Bytes;
use group::{CHANNEL, FuzzGroup, OTHER_USER};
use libfuzzer_sys::fuzz_target;
use voice_receive::internals::{
    ClientEvent, DaveEvent, DaveState, ServerEvent, parse_binary, parse_text,
};

/// A user who is proposed for the group.
const NEW_USER: u64 = 3;

const MAX_STEPS: usize = 64;

/// Opcodes of binary messages and of DAVE events that are sent as text.
const BINARY_OPCODES: [u8; 8] = [21, 22, 24, 25, 27, 28, 29, 30];

/// Does what the gateway driver does with an event. Returns the replies.
fn handle_event(dave: &mut DaveState, event: ServerEvent, now: Instant) -> Vec<ClientEvent> {
    match event {
        ServerEvent::Dave(event) => dave.handle_event(event, now),
        ServerEvent::ClientsConnected(user_ids) => {
            dave.add_users(user_ids);
            Vec::new()
        }
        ServerEvent::ClientDisconnected(user_id) => {
            dave.remove_user(user_id);
            Vec::new()
        }
        ServerEvent::SessionDescription { dave_version, .. } => {
            dave.start_session(CHANNEL, dave_version)
        }
        _ => Vec::new(),
    }
}

/// Proposes a new user's key package, with one byte altered unless `change` is 0.
fn proposal_event(group: &FuzzGroup, epoch: u64, change: u8) -> Option<DaveEvent> {
    let version = std::num::NonZeroU16::new(1)?;
    let mut newcomer = davey::DaveSession::new(version, NEW_USER, CHANNEL, None).ok()?;
    let package = newcomer.create_key_package().ok()?;
    let mut proposals = group
        .external_sender
        .propose_add(epoch, NEW_USER, &package)?;
    if change != 0 {
        let index = usize::from(change) * 3 % proposals.len();
        proposals[index] ^= change;
    }
    let proposals = proposals[1..].to_vec().into();
    Some(DaveEvent::Proposals {
        is_append: true,
        proposals,
    })
}

fuzz_target!(|data: &[u8]| {
    let mut group = FuzzGroup::new();
    group.dave.add_users([NEW_USER]);
    let mut now = Instant::now();
    let mut rest = data;
    let mut steps = 0;
    while let Some((kind, more)) = rest.split_first() {
        steps += 1;
        if steps > MAX_STEPS {
            break;
        }
        let (length, more) = more
            .split_first()
            .map_or((0, more), |(it, more)| (*it, more));
        let (bytes, more) = more.split_at(usize::from(length).min(more.len()));
        rest = more;
        now += Duration::from_millis(100);
        let replies = match kind % 4 {
            0 => parse_text(&String::from_utf8_lossy(bytes)).map_or_else(
                |_| Vec::new(),
                |(_, event)| handle_event(&mut group.dave, event, now),
            ),
            1 => {
                let mut message = vec![0, 0, BINARY_OPCODES[usize::from(kind / 4 % 8)]];
                message.extend_from_slice(bytes);
                parse_binary(&Bytes::from(message)).map_or_else(
                    |_| Vec::new(),
                    |(_, event)| handle_event(&mut group.dave, event, now),
                )
            }
            2 => {
                let epoch = u64::from(kind / 4 % 4);
                proposal_event(&group, epoch, length)
                    .map_or_else(Vec::new, |event| group.dave.handle_event(event, now))
            }
            _ => {
                let transition_id = u16::from(kind / 4 % 4);
                let version = u16::from(length) % 3;
                let event = if kind & 0x80 == 0 {
                    DaveEvent::PrepareTransition {
                        transition_id,
                        version,
                    }
                } else {
                    DaveEvent::ExecuteTransition { transition_id }
                };
                group.dave.handle_event(event, now)
            }
        };
        for reply in replies {
            let _ = reply.encode();
            // The gateway announces our own commits to us, here altered or as they are.
            if let ClientEvent::Commit { mut commit, .. } = reply {
                if kind & 0x40 != 0 && !commit.is_empty() {
                    let index = usize::from(length) * 7 % commit.len();
                    commit[index] ^= 0x55;
                }
                let commit = DaveEvent::Commit {
                    transition_id: u16::from(kind / 4 % 4),
                    commit: commit.into(),
                };
                group.dave.handle_event(commit, now);
            }
        }
        let frame = group
            .other
            .encrypt_opus(&[1, 2, 3, 4])
            .expect("encrypted")
            .into_owned();
        let _ = group.dave.decrypt(OTHER_USER, &frame, now);
        let _ = group.dave.encrypt(&[1, 2, 3, 4]);
    }
    let replies = group.dave.start_session(CHANNEL, 1);
    assert!(
        replies
            .iter()
            .any(|it| matches!(it, ClientEvent::KeyPackage(_)))
    );
});
