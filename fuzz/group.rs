//! A real DAVE group of two: our [`DaveState`] and another member's session.

use std::num::NonZeroU16;
use std::time::Instant;

use davey::DaveSession;
use sandbox::ExternalSender;
use voice_receive::internals::{ClientEvent, DaveEvent, DaveState};

pub(crate) const OUR_USER: u64 = 1;
pub(crate) const OTHER_USER: u64 = 2;
pub(crate) const CHANNEL: u64 = 9;

pub(crate) struct FuzzGroup {
    pub(crate) dave: DaveState,
    pub(crate) other: DaveSession,
    pub(crate) external_sender: ExternalSender,
}

impl FuzzGroup {
    /// Both are members and have keys.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let external_sender = ExternalSender::new(CHANNEL);
        let mut dave = DaveState::new(OUR_USER, CHANNEL);
        dave.start_session(CHANNEL, 1);
        dave.add_users([OTHER_USER]);
        dave.handle_event(
            DaveEvent::ExternalSender(external_sender.to_bytes().into()),
            now,
        );
        let version = NonZeroU16::new(1).expect("a version");
        let mut other = DaveSession::new(version, OTHER_USER, CHANNEL, None).expect("a session");
        other
            .set_external_sender(&external_sender.to_bytes())
            .expect("an external sender");
        let package = other.create_key_package().expect("a key package");
        let proposals = external_sender
            .propose_add(0, OTHER_USER, &package)
            .expect("proposals");
        let replies = dave.handle_event(
            DaveEvent::Proposals {
                is_append: true,
                proposals: proposals[1..].to_vec().into(),
            },
            now,
        );
        let Some(ClientEvent::Commit { commit, welcome }) = replies.into_iter().next() else {
            panic!("no commit");
        };
        let commit = DaveEvent::Commit {
            transition_id: 0,
            commit: commit.into(),
        };
        dave.handle_event(commit, now);
        let welcome = welcome.expect("a Welcome");
        other
            .process_welcome(&welcome, None)
            .expect("a valid Welcome");
        other.prepare_transition(0, 1).expect("keys");
        assert_eq!(dave.epoch_count(), 1);
        Self {
            dave,
            other,
            external_sender,
        }
    }
}
