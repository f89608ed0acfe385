//! The rule: an end is in the ledger before anything else happens, and nobody joins afterwards.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const GUILD: u64 = u64::MAX - 1;

async fn open(folder: &Path) -> Store {
    Store::open(folder, None).await.expect("a ledger").0
}

async fn begin(store: &Store) -> Option<OpenSession> {
    let new = NewSession {
        guild: GUILD,
        voice: 20,
        text: 30,
        asked_by: 4,
        payload: "payload".to_owned(),
    };
    store.open_session(&new, NOON).await.expect("written")
}

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOON.0 + milliseconds)
}

#[tokio::test]
async fn an_end_stands_from_its_first_reason_on() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = begin(&store).await.expect("begun").session().id;
    assert!(store.session_to_join(id).await.expect("read").is_some());
    let first = store.end_session(id, "asked", later(5)).await;
    let second = store.end_session(id, "alone", later(9)).await;
    for ended in [first, second] {
        let ended = ended.expect("written").expect("there");
        assert_eq!((ended.ending.as_str(), ended.at), ("asked", later(5)));
    }
    // Nobody joins, moves, or is listened to any more.
    assert!(store.session_to_join(id).await.expect("read").is_none());
    assert!(store.notice_stands(id, 7).await.expect("asked").is_none());
    assert!(!store.session_moved(id, 21).await.expect("asked"));
    assert!(store.session_of(GUILD).await.expect("read").is_none());
    // The server can have another session while the end is told.
    let next = begin(&store).await.expect("begun");
    assert!(begin(&store).await.is_none());
    store.abandon_session(next).await.expect("taken back");
    drop(store);

    let store = open(folder.path()).await;
    let left = store.left_sessions_of(GUILD).await.expect("read");
    assert!(
        matches!(&left[..], [LeftSession::Ended(ended)] if ended.session.id == id),
        "{left:?}"
    );
    assert!(store.close_session(id).await.expect("written"));
    assert!(store.left_sessions().await.expect("read").is_empty());
    let gone = store.end_session(id, "asked", later(20)).await;
    assert!(gone.expect("asked").is_none());
}

#[tokio::test]
async fn it_is_taken_up_where_it_was_last() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = begin(&store).await.expect("begun").session().id;
    assert!(
        store
            .session_moved(id, u64::MAX - 9)
            .await
            .expect("written")
    );
    store.session_deaf(id, Some(700)).await.expect("written");
    drop(store);
    let store = open(folder.path()).await;
    let left = store.left_sessions().await.expect("read");
    let open = left.first().and_then(|left| match left {
        LeftSession::Open(open) => Some(open),
        LeftSession::Ended(_) => None,
    });
    let open = open.expect("it goes on");
    assert_eq!(open.session().of.voice, u64::MAX - 9);
    assert_eq!((open.noticed(), open.deaf_ms()), (false, Some(700)));
    let stands = store.notice_stands(id, 9).await.expect("written");
    assert!(stands.is_some());
    let open = store.session_to_join(id).await.expect("read");
    assert!(open.expect("it goes on").noticed());
}

#[tokio::test]
async fn what_is_told_of_an_end_is_noted_and_goes_with_it() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = begin(&store).await.expect("begun").session().id;
    store.end_session(id, "asked", NOON).await.expect("written");
    let kept = store.keep_report(id, "the slow heron", &|| true).await;
    kept.expect("kept");
    let kept = store.keep_summary(id, "a white heron", &|| true).await;
    kept.expect("kept");
    for part in [0, 1, 0] {
        let noted = store.sending_end(id, part, later(1)).await;
        noted.expect("written");
    }
    store.sent_end(id, 0, u64::MAX - 3).await.expect("written");
    let posts = store.end_posts(id).await.expect("read");
    let told: Vec<_> = posts.iter().map(|it| (it.part, it.message)).collect();
    assert_eq!(told, [(0, Some(u64::MAX - 3)), (1, None)]);
    let kept = store.end_session(id, "asked", NOON).await;
    let kept = kept.expect("read").expect("there");
    assert_eq!(kept.summary.as_deref(), Some("a white heron"));
    assert_eq!(kept.report.as_deref(), Some("the slow heron"));
    assert!(!format!("{kept:?}").contains("heron"));
    // Nobody who asked to be forgotten is in it any more.
    store.forget_author(9, NOON).await.expect("forgotten");
    let kept = store.end_session(id, "asked", NOON).await;
    let kept = kept.expect("read").expect("there");
    assert_eq!((kept.summary, kept.report), (None, None));
    store.forget_guild(GUILD).await.expect("forgotten");
    assert!(store.end_posts(id).await.expect("read").is_empty());
    // What is gone with its server needs no note.
    store.sending_end(id, 0, NOON).await.expect("nothing to do");
    assert!(store.end_posts(id).await.expect("read").is_empty());
}

/// What can happen to a server's session.
#[derive(Clone, Copy, Debug)]
enum Act {
    Begin,
    End,
    Close,
    Move(u64),
    Notice,
    Crash,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Begin),
        Just(Act::End),
        Just(Act::Close),
        (20_u64..24).prop_map(Act::Move),
        Just(Act::Notice),
        Just(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens in whatever order: only what nobody has ended is joined, where it was last.
    #[test]
    fn only_what_nobody_has_ended_is_joined(acts in prop::collection::vec(acts(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let folder = TempDir::new().expect("a folder");
            let mut store = open(folder.path()).await;
            // The model: the last session, where it was last, and whether it goes on.
            let mut last: Option<(SessionId, u64, bool)> = None;
            for act in acts {
                match (act, &mut last) {
                    (Act::Begin, last) => {
                        let goes_on = last.is_some_and(|it| it.2);
                        let begun = begin(&store).await;
                        assert_eq!(begun.is_none(), goes_on);
                        if let Some(begun) = begun {
                            *last = Some((begun.session().id, 20, true));
                        }
                    }
                    (Act::End, Some((id, _, goes_on))) => {
                        store.end_session(*id, "asked", NOON).await.expect("written");
                        *goes_on = false;
                    }
                    (Act::Close, Some((id, _, goes_on))) => {
                        let closed = store.close_session(*id).await.expect("written");
                        assert!(!(closed && *goes_on));
                    }
                    (Act::Move(to), Some((id, at, goes_on))) => {
                        let moved = store.session_moved(*id, to).await.expect("written");
                        assert_eq!(moved, *goes_on);
                        if moved {
                            *at = to;
                        }
                    }
                    (Act::Notice, Some((id, _, goes_on))) => {
                        let stands = store.notice_stands(*id, 7).await.expect("written");
                        assert_eq!(stands.is_some(), *goes_on);
                    }
                    (Act::Crash, _) => {
                        drop(store);
                        store = open(folder.path()).await;
                    }
                    (_, None) => {}
                }
                let left = store.left_sessions_of(GUILD).await.expect("read");
                let open: Vec<_> = left
                    .iter()
                    .filter_map(|left| match left {
                        LeftSession::Open(open) => Some(open.session()),
                        LeftSession::Ended(_) => None,
                    })
                    .map(|session| (session.id, session.of.voice))
                    .collect();
                let expected: Vec<_> = last
                    .iter()
                    .filter(|(_, _, goes_on)| *goes_on)
                    .map(|(id, at, _)| (*id, *at))
                    .collect();
                assert_eq!(open, expected);
            }
        });
    }
}
