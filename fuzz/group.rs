//! A real group of end-to-end encryption: ours, and somebody else's session.

use std::num::NonZeroU16;
use std::time::Instant;

use davey::DaveSession;
use sandbox::ExternalAuthority;
use voice_receive::keys::Keys;
use voice_receive::wire::{Dave, Said};

pub(crate) const US: u64 = 1;
pub(crate) const THEM: u64 = 2;
pub(crate) const CHANNEL: u64 = 9;

pub(crate) struct Group {
    pub(crate) us: Keys,
    pub(crate) them: DaveSession,
    pub(crate) authority: ExternalAuthority,
}

impl Group {
    /// Both are members, and have keys.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let authority = ExternalAuthority::new(CHANNEL);
        let mut us = Keys::new(US, CHANNEL);
        us.begin(CHANNEL, 1);
        us.come([THEM]);
        us.on(Dave::ExternalSender(authority.package().into()), now);
        let version = NonZeroU16::new(1).expect("a version");
        let mut them = DaveSession::new(version, THEM, CHANNEL, None).expect("a session");
        them.set_external_sender(&authority.package()).expect("set");
        let package = them.create_key_package().expect("a package");
        let proposals = authority.adds(0, THEM, &package).expect("proposals");
        let said = us.on(
            Dave::Proposals {
                append: true,
                proposals: proposals[1..].to_vec().into(),
            },
            now,
        );
        let Some(Said::Commit { commit, welcome }) = said.into_iter().next() else {
            panic!("no commit");
        };
        let commit = Dave::Commit {
            transition: 0,
            commit: commit.into(),
        };
        us.on(commit, now);
        let welcome = welcome.expect("a welcome");
        them.process_welcome(&welcome, None).expect("welcome");
        them.prepare_transition(0, 1).expect("keys");
        assert_eq!(us.epochs(), 1);
        Self {
            us,
            them,
            authority,
        }
    }
}
