//! Anything said on the voice gateway, in any order, to a member of a real group: as text, as bytes,
//! and as messages about encryption that are in order up to a changed byte. Whatever it does to the
//! group, what the group's members have said before is no panic, and a new session mends it.

#![no_main]

// The other target needs the rest of it.
#[allow(dead_code)]
#[path = "../group.rs"]
mod group;

use std::time::{Duration, Instant};

use bytes::Bytes;
use group::{CHANNEL, Group, THEM};
use libfuzzer_sys::fuzz_target;
use voice_receive::keys::Keys;
use voice_receive::wire::{Dave, Frame, Said, binary, text};

fn hear(keys: &mut Keys, frame: Frame, now: Instant) -> Vec<Said> {
    match frame {
        Frame::Dave(said) => keys.on(said, now),
        Frame::Connected(people) => {
            keys.come(people);
            Vec::new()
        }
        Frame::Disconnected(person) => {
            keys.leave(person);
            Vec::new()
        }
        Frame::Description { dave, .. } => keys.begin(CHANNEL, dave),
        _ => Vec::new(),
    }
}

/// A key package of somebody new, proposed, with a byte changed.
fn proposed(group: &Group, epoch: u64, change: u8) -> Option<Dave> {
    let version = std::num::NonZeroU16::new(1)?;
    let mut newcomer = davey::DaveSession::new(version, 3, CHANNEL, None).ok()?;
    let package = newcomer.create_key_package().ok()?;
    let mut proposals = group.authority.adds(epoch, 3, &package)?;
    if change != 0 {
        let place = usize::from(change) * 3 % proposals.len();
        proposals[place] ^= change;
    }
    let proposals = proposals[1..].to_vec().into();
    Some(Dave::Proposals {
        append: true,
        proposals,
    })
}

fuzz_target!(|data: &[u8]| {
    let mut group = Group::new();
    group.us.come([3]);
    let mut now = Instant::now();
    let mut rest = data;
    let mut steps = 0;
    while let Some((kind, more)) = rest.split_first() {
        steps += 1;
        if steps > 64 {
            break;
        }
        let (length, more) = more
            .split_first()
            .map_or((0, more), |(it, more)| (*it, more));
        let (bytes, more) = more.split_at(usize::from(length).min(more.len()));
        rest = more;
        now += Duration::from_millis(100);
        let said = match kind % 4 {
            0 => text(&String::from_utf8_lossy(bytes))
                .map_or_else(|_| Vec::new(), |(_, frame)| hear(&mut group.us, frame, now)),
            1 => {
                let mut numbered = vec![
                    0,
                    0,
                    [21, 22, 24, 25, 27, 28, 29, 30][usize::from(kind / 4 % 8)],
                ];
                numbered.extend_from_slice(bytes);
                binary(&Bytes::from(numbered))
                    .map_or_else(|_| Vec::new(), |(_, frame)| hear(&mut group.us, frame, now))
            }
            2 => {
                let epoch = u64::from(kind / 4 % 4);
                proposed(&group, epoch, length).map_or_else(Vec::new, |said| group.us.on(said, now))
            }
            _ => {
                let transition = u16::from(kind / 4 % 4);
                let version = u16::from(length) % 3;
                let said = if kind & 0x80 == 0 {
                    Dave::PrepareTransition {
                        transition,
                        version,
                    }
                } else {
                    Dave::ExecuteTransition { transition }
                };
                group.us.on(said, now)
            }
        };
        for said in said {
            said.message();
            // What we commit is announced to us, changed or as it is.
            if let Said::Commit { mut commit, .. } = said {
                if kind & 0x40 != 0 && !commit.is_empty() {
                    let place = usize::from(length) * 7 % commit.len();
                    commit[place] ^= 0x55;
                }
                let commit = Dave::Commit {
                    transition: u16::from(kind / 4 % 4),
                    commit: commit.into(),
                };
                group.us.on(commit, now);
            }
        }
        let frame = group
            .them
            .encrypt_opus(&[1, 2, 3, 4])
            .expect("encrypted")
            .into_owned();
        let _ = group.us.open(THEM, &frame, now);
        let _ = group.us.seal(&[1, 2, 3, 4]);
    }
    let said = group.us.begin(CHANNEL, 1);
    assert!(said.iter().any(|it| matches!(it, Said::KeyPackage(_))));
});
