//! An end is in the ledger before anything else happens, and nobody can join afterwards.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const GUILD: u64 = u64::MAX - 1;

async fn open(folder: &Path) -> Store {
    Store::open(folder, None).await.expect("a ledger").0
}

async fn open_session(store: &Store) -> Option<OpenSession> {
    let new = SessionDetails {
        guild: GUILD,
        voice_channel: 20,
        text_channel: 30,
        requested_by: 4,
        payload: "payload".to_owned(),
    };
    store.open_session(&new, NOON).await.expect("written")
}

fn noon_plus(milliseconds: i64) -> Timestamp {
    Timestamp(NOON.0 + milliseconds)
}

#[tokio::test]
async fn the_first_end_reason_stands() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store).await.expect("begun").session().id;
    assert!(store.joinable_session(id).await.expect("read").is_some());
    let first = store.end_session(id, "asked", noon_plus(5)).await;
    let second = store.end_session(id, "alone", noon_plus(9)).await;
    for ended in [first, second] {
        let ended = ended.expect("written").expect("there");
        assert_eq!(
            (ended.end_reason.as_str(), ended.ended_at),
            ("asked", noon_plus(5))
        );
    }
    // Nobody can join, move, or be recorded any more.
    assert!(store.joinable_session(id).await.expect("read").is_none());
    assert!(
        store
            .record_session_notice(id, 7)
            .await
            .expect("asked")
            .is_none()
    );
    assert!(!store.record_session_move(id, 21).await.expect("asked"));
    assert!(store.active_session(GUILD).await.expect("read").is_none());
    // The guild can have another session while the end is announced.
    let next = open_session(&store).await.expect("begun");
    assert!(open_session(&store).await.is_none());
    store.discard_session(next).await.expect("taken back");
    drop(store);

    let store = open(folder.path()).await;
    let unfinished = store.unfinished_guild_sessions(GUILD).await.expect("read");
    assert!(
        matches!(&unfinished[..], [UnfinishedSession::Ended(ended)] if ended.session.id == id),
        "{unfinished:?}"
    );
    assert!(store.close_session(id).await.expect("written"));
    assert!(store.unfinished_sessions().await.expect("read").is_empty());
    let already_closed = store.end_session(id, "asked", noon_plus(20)).await;
    assert!(already_closed.expect("asked").is_none());
}

#[tokio::test]
async fn a_session_is_resumed_in_its_last_channel() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store).await.expect("begun").session().id;
    assert!(
        store
            .record_session_move(id, u64::MAX - 9)
            .await
            .expect("written")
    );
    store
        .record_session_interruption(id, Some(700))
        .await
        .expect("written");
    drop(store);
    let store = open(folder.path()).await;
    let unfinished = store.unfinished_sessions().await.expect("read");
    let open = unfinished.first().and_then(|unfinished| match unfinished {
        UnfinishedSession::Open(open) => Some(open),
        UnfinishedSession::Ended(_) => None,
    });
    let open = open.expect("it goes on");
    assert_eq!(open.session().details.voice_channel, u64::MAX - 9);
    assert_eq!(
        (open.is_notice_posted(), open.interrupted_since_ms()),
        (false, Some(700))
    );
    let notice = store.record_session_notice(id, 9).await.expect("written");
    assert!(notice.is_some());
    let open = store.joinable_session(id).await.expect("read");
    assert!(open.expect("it goes on").is_notice_posted());
}

#[tokio::test]
async fn end_messages_are_recorded_and_deleted_with_the_session() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store).await.expect("begun").session().id;
    store.end_session(id, "asked", NOON).await.expect("written");
    let saved = store.save_end_report(id, "the slow heron", &|| true).await;
    saved.expect("kept");
    let saved = store.save_end_summary(id, "a white heron", &|| true).await;
    saved.expect("kept");
    for part in [0, 1, 0] {
        let recorded = store.record_sending_end(id, part, noon_plus(1)).await;
        recorded.expect("written");
    }
    store
        .record_sent_end(id, 0, u64::MAX - 3)
        .await
        .expect("written");
    let messages = store.end_messages(id).await.expect("read");
    let parts: Vec<_> = messages.iter().map(|it| (it.part, it.message)).collect();
    assert_eq!(parts, [(0, Some(u64::MAX - 3)), (1, None)]);
    let saved = store.end_session(id, "asked", NOON).await;
    let saved = saved.expect("read").expect("there");
    assert_eq!(saved.summary.as_deref(), Some("a white heron"));
    assert_eq!(saved.report.as_deref(), Some("the slow heron"));
    assert!(!format!("{saved:?}").contains("heron"));
    // A forgotten user is no longer in report or summary.
    store.forget_author(9, NOON).await.expect("forgotten");
    let saved = store.end_session(id, "asked", NOON).await;
    let saved = saved.expect("read").expect("there");
    assert_eq!((saved.summary, saved.report), (None, None));
    store.forget_guild(GUILD).await.expect("forgotten");
    assert!(store.end_messages(id).await.expect("read").is_empty());
    // Nothing is recorded for a session that was deleted with its guild.
    store
        .record_sending_end(id, 0, NOON)
        .await
        .expect("nothing to do");
    assert!(store.end_messages(id).await.expect("read").is_empty());
}

/// What can happen to a guild's session.
#[derive(Clone, Copy, Debug)]
enum SessionAct {
    Begin,
    End,
    Close,
    Move(u64),
    Notice,
    Crash,
}

fn acts() -> impl Strategy<Value = SessionAct> {
    prop_oneof![
        Just(SessionAct::Begin),
        Just(SessionAct::End),
        Just(SessionAct::Close),
        (20_u64..24).prop_map(SessionAct::Move),
        Just(SessionAct::Notice),
        Just(SessionAct::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// In any sequence of events, only a session that has not ended can be joined, in its last
    /// channel.
    #[test]
    fn only_open_sessions_can_be_joined(acts in prop::collection::vec(acts(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let folder = TempDir::new().expect("a folder");
            let mut store = open(folder.path()).await;
            // The model: the last session, its last channel, and whether it is open.
            let mut last: Option<(SessionId, u64, bool)> = None;
            for act in acts {
                match (act, &mut last) {
                    (SessionAct::Begin, last) => {
                        let is_open = last.is_some_and(|it| it.2);
                        let opened = open_session(&store).await;
                        assert_eq!(opened.is_none(), is_open);
                        if let Some(opened) = opened {
                            *last = Some((opened.session().id, 20, true));
                        }
                    }
                    (SessionAct::End, Some((id, _, is_open))) => {
                        store.end_session(*id, "asked", NOON).await.expect("written");
                        *is_open = false;
                    }
                    (SessionAct::Close, Some((id, _, is_open))) => {
                        let closed = store.close_session(*id).await.expect("written");
                        assert!(!(closed && *is_open));
                    }
                    (SessionAct::Move(to), Some((id, at, is_open))) => {
                        let moved = store.record_session_move(*id, to).await.expect("written");
                        assert_eq!(moved, *is_open);
                        if moved {
                            *at = to;
                        }
                    }
                    (SessionAct::Notice, Some((id, _, is_open))) => {
                        let notice = store.record_session_notice(*id, 7).await.expect("written");
                        assert_eq!(notice.is_some(), *is_open);
                    }
                    (SessionAct::Crash, _) => {
                        drop(store);
                        store = open(folder.path()).await;
                    }
                    (_, None) => {}
                }
                let unfinished = store.unfinished_guild_sessions(GUILD).await.expect("read");
                let open: Vec<_> = unfinished
                    .iter()
                    .filter_map(|unfinished| match unfinished {
                        UnfinishedSession::Open(open) => Some(open.session()),
                        UnfinishedSession::Ended(_) => None,
                    })
                    .map(|session| (session.id, session.details.voice_channel))
                    .collect();
                let expected: Vec<_> = last
                    .iter()
                    .filter(|(_, _, is_open)| *is_open)
                    .map(|(id, at, _)| (*id, *at))
                    .collect();
                assert_eq!(open, expected);
            }
        });
    }
}
