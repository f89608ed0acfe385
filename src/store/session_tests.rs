//! Voice sessions in the ledger.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const DAY: i64 = 86_400_000;
const ANA: u64 = u64::MAX - 7;
const BEN: u64 = 4;
const GUILD: u64 = u64::MAX - 1;
const WORDS: &str = "the slow white heron";

async fn open(folder: &Path) -> Store {
    Store::open(folder, None).await.expect("a ledger").0
}

fn new(guild: u64) -> NewSession {
    NewSession {
        guild,
        voice: 20,
        text: 30,
        asked_by: ANA,
        payload: format!("payload: {WORDS}"),
    }
}

async fn session(store: &Store, guild: u64, at: Timestamp) -> SessionId {
    let opened = store.open_session(&new(guild), at).await.expect("written");
    opened.expect("no other one").session().id
}

async fn close(store: &Store, session: SessionId, at: Timestamp) -> bool {
    let ended = store.end_session(session, "asked", at).await;
    ended.expect("written");
    store.close_session(session).await.expect("written")
}

fn line(number: u32, author: u64) -> Line {
    Line {
        number,
        author,
        name: "Anastasia".to_owned(),
        start_ms: u64::from(number) * 1_000,
        end_ms: u64::from(number) * 1_000 + 900,
        kind: LineKind::Speech,
        text: format!("{WORDS} {number}"),
    }
}

async fn book(
    store: &Store,
    session: SessionId,
    (author, stage): (u64, Stage),
    used: Used,
    at: Timestamp,
) {
    let booking = Booking {
        call: None,
        account: Account::Session(session),
        stage,
        guild: Some(GUILD),
        author,
        day: at.day(),
        used,
    };
    store.book(&booking).await.expect("booked");
}

async fn add(store: &Store, session: SessionId, line: &Line, at: Timestamp) -> LineKept {
    store
        .add_line(session, line, at, &|| true)
        .await
        .expect("written")
}

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOON.0 + milliseconds)
}

/// Whether any file of the ledger holds these bytes.
fn holds(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|file| {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("readable");
        bytes.windows(wanted.len()).any(|found| found == wanted)
    })
}

fn seconds(seconds: u64) -> Used {
    Used {
        audio_ms: seconds * 1_000,
        micros: seconds,
        ..Used::default()
    }
}

#[tokio::test]
async fn a_server_has_one_open_session() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let first = session(&store, GUILD, NOON).await;
    let second = store.open_session(&new(GUILD), NOON).await.expect("asked");
    assert!(second.is_none());
    let elsewhere = session(&store, 2, NOON).await;
    assert_ne!(first, elsewhere);

    assert!(close(&store, first, later(5)).await);
    assert!(!close(&store, first, later(9)).await);
    assert_eq!(store.session_of(GUILD).await.expect("read"), None);
    let last = store.last_session(GUILD).await.expect("read");
    assert_eq!(last.expect("there").ended, Some(later(5)));

    let next = session(&store, GUILD, later(10)).await;
    let last = store.last_session(GUILD).await.expect("read");
    assert_eq!(last.expect("there").id, next);
    assert_eq!(store.last_session(3).await.expect("read"), None);
}

#[tokio::test]
async fn a_session_survives_the_process() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = session(&store, GUILD, NOON).await;
    store.session_payload(id, "newer").await.expect("written");
    store.session_alive(id, later(700)).await.expect("written");
    store.session_alive(id, later(300)).await.expect("written");
    let lines = [
        line(0, ANA),
        Line {
            kind: LineKind::Lost,
            text: String::new(),
            ..line(1, BEN)
        },
        Line {
            kind: LineKind::Deaf,
            name: String::new(),
            ..line(2, 0)
        },
        Line {
            kind: LineKind::Answer,
            ..line(3, ANA)
        },
    ];
    // Several are heard at the same time, and not in this order.
    for place in [2, 0, 3, 1] {
        let kept = add(&store, id, &lines[place], later(400)).await;
        assert_eq!(kept, LineKept::New);
    }
    // As a killed process leaves it: nothing is closed in good order.
    drop(store);

    let store = open(folder.path()).await;
    let left = store.left_sessions().await.expect("read");
    let found = Session {
        id,
        of: NewSession {
            payload: "newer".to_owned(),
            ..new(GUILD)
        },
        started: NOON,
        seen: later(700),
        ended: None,
    };
    assert!(matches!(&left[..], [LeftSession::Open(open)] if *open.session() == found));
    assert_eq!(store.session_of(GUILD).await.expect("read"), Some(found));
    assert_eq!(store.lines(id).await.expect("read"), lines);
}

#[tokio::test]
async fn a_line_is_kept_once_and_within_bounds() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = session(&store, GUILD, NOON).await;
    assert_eq!(add(&store, id, &line(7, ANA), NOON).await, LineKept::New);
    let other = Line {
        text: "other words".to_owned(),
        ..line(7, BEN)
    };
    assert_eq!(add(&store, id, &other, NOON).await, LineKept::Known);
    let last = line(MAX_LINES - 1, ANA);
    assert_eq!(add(&store, id, &last, NOON).await, LineKept::New);
    let beyond = line(MAX_LINES, ANA);
    assert_eq!(add(&store, id, &beyond, NOON).await, LineKept::Full);
    let nowhere = add(&store, SessionId(99), &line(1, ANA), NOON).await;
    assert_eq!(nowhere, LineKept::Gone);
    assert_eq!(store.lines(id).await.expect("read"), [line(7, ANA), last]);
}

#[tokio::test]
async fn what_people_said_is_not_readable_and_what_is_forgotten_is_gone() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let first = session(&store, GUILD, NOON).await;
    let second = session(&store, 2, NOON).await;
    for (guild, user, consent) in [
        (GUILD, ANA, Consent::Yes),
        (2, ANA, Consent::No),
        (GUILD, BEN, Consent::No),
    ] {
        let kept = store
            .set_consent(guild, user, consent, NOON, &|| true)
            .await;
        kept.expect("written");
    }
    for id in [first, second] {
        add(&store, id, &line(1, ANA), NOON).await;
        add(&store, id, &line(2, BEN), NOON).await;
    }
    for text in [WORDS, "Anastasia", "payload: "] {
        assert!(!holds(folder.path(), text.as_bytes()), "{text}");
    }
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT text FROM line WHERE author = ?")
        .bind(column(ANA))
        .fetch_one(&store.pool)
        .await
        .expect("sealed");
    assert!(holds(folder.path(), &sealed));

    let forgotten = store.forget_author(ANA, NOON).await.expect("forgotten");
    assert_eq!(forgotten.lines, 2);
    assert!(
        !holds(folder.path(), &sealed),
        "the ciphertext is still in a file"
    );
    for id in [first, second] {
        assert_eq!(store.lines(id).await.expect("read"), [line(2, BEN)]);
    }
    let left = HashMap::from([(BEN, Consent::No)]);
    assert_eq!(store.consents(GUILD).await.expect("read"), left);
    assert!(store.consents(2).await.expect("read").is_empty());
    let found = store.session_of(GUILD).await.expect("read");
    assert_eq!(found.expect("still open").of.asked_by, 0);
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = session(&store, GUILD, NOON).await;
    add(&store, id, &line(1, ANA), NOON).await;
    let other = SecretString::from("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let store = Store {
        cipher: Cipher::from_base64(&other).expect("a key"),
        ..store
    };
    assert!(matches!(store.lines(id).await, Err(StoreError::Damaged)));
    let sessions = store.left_sessions().await;
    assert!(matches!(sessions, Err(StoreError::Damaged)));
}

#[tokio::test]
async fn a_line_moved_to_another_place_is_damage_not_words() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let (first, second) = (
        session(&store, GUILD, NOON).await,
        session(&store, 2, NOON).await,
    );
    add(&store, first, &line(1, ANA), NOON).await;
    add(&store, first, &line(2, ANA), NOON).await;
    add(&store, second, &line(1, ANA), NOON).await;
    for (from, to) in [((first, 1), (first, 2)), ((first, 1), (second, 1))] {
        sqlx::query(
            "UPDATE line SET text = (SELECT text FROM line WHERE session = ? AND number = ?)
             WHERE session = ? AND number = ?",
        )
        .bind(from.0.0)
        .bind(from.1)
        .bind(to.0.0)
        .bind(to.1)
        .execute(&store.pool)
        .await
        .expect("moved");
        let moved = store.lines(to.0).await;
        assert!(matches!(moved, Err(StoreError::Damaged)), "{moved:?}");
    }
}

#[tokio::test]
async fn words_are_kept_as_long_as_was_promised() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let old = session(&store, 1, NOON).await;
    add(&store, old, &line(1, ANA), NOON).await;
    assert!(close(&store, old, NOON).await);
    let fresh = session(&store, 2, NOON).await;
    add(&store, fresh, &line(1, ANA), later(8 * DAY)).await;
    assert!(close(&store, fresh, later(8 * DAY)).await);
    let endless = session(&store, 3, NOON).await;
    add(&store, endless, &line(1, ANA), NOON).await;
    add(&store, endless, &line(2, ANA), later(9 * DAY)).await;

    let kept = Duration::from_secs(5 * 86_400);
    let swept = store.sweep(later(10 * DAY), kept).await.expect("swept");
    assert_eq!(swept.lines, 2);
    assert_eq!(store.last_session(1).await.expect("read"), None);
    assert!(store.lines(old).await.expect("read").is_empty());
    assert_eq!(store.lines(fresh).await.expect("read"), [line(1, ANA)]);
    assert_eq!(store.lines(endless).await.expect("read"), [line(2, ANA)]);
    assert!(store.session_of(3).await.expect("read").is_some());
}

#[tokio::test]
async fn consent_is_what_was_said_last() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    for consent in [Consent::Yes, Consent::No] {
        let kept = store.set_consent(GUILD, ANA, consent, NOON, &|| true).await;
        kept.expect("written");
        let all = store.consents(GUILD).await.expect("read");
        assert_eq!(all, HashMap::from([(ANA, consent)]));
    }
    assert!(store.consents(2).await.expect("read").is_empty());
}

#[tokio::test]
async fn a_no_takes_along_what_is_in_no_file_yet() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = session(&store, GUILD, NOON).await;
    let elsewhere = session(&store, 2, NOON).await;
    for id in [id, elsewhere] {
        add(&store, id, &line(1, ANA), NOON).await;
        add(&store, id, &line(2, BEN), NOON).await;
    }
    // Somebody has thought better of it before it was written.
    for (consent, still) in [(Consent::No, false), (Consent::Yes, true)] {
        let still = || still;
        let kept = store.set_consent(GUILD, ANA, consent, NOON, &still);
        kept.await.expect("written");
        assert_eq!(store.lines(id).await.expect("read").len(), 2);
    }
    let still = || true;
    let kept = store.set_consent(GUILD, ANA, Consent::No, NOON, &still);
    kept.await.expect("written");
    assert_eq!(store.lines(id).await.expect("read"), [line(2, BEN)]);
    assert_eq!(store.lines(elsewhere).await.expect("read").len(), 2);
    let late = store.add_line(id, &line(3, ANA), NOON, &|| false).await;
    assert_eq!(late.expect("asked"), LineKept::Withdrawn);
}

#[tokio::test]
async fn the_budgets_of_a_day_count_sessions() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = session(&store, GUILD, NOON).await;
    let book = async |author, stage, used, at| book(&store, id, (author, stage), used, at).await;
    book(ANA, Stage::Speech, seconds(60), NOON).await;
    book(ANA, Stage::Speech, seconds(30), NOON).await;
    book(ANA, Stage::Chat, seconds(0), NOON).await;
    book(BEN, Stage::Speech, seconds(5), NOON).await;
    book(ANA, Stage::Speech, seconds(1), later(DAY)).await;
    let used = async |day, scope| store.used(day, scope).await.expect("read").audio_ms;
    let day = NOON.day();
    assert_eq!(used(day, Scope::Author(ANA)).await, 90_000);
    assert_eq!(used(day, Scope::Guild(GUILD)).await, 95_000);
    assert_eq!(used(day, Scope::Everyone).await, 95_000);
    assert_eq!(used(day + 1, Scope::Everyone).await, 1_000);
    assert_eq!(used(day, Scope::Guild(2)).await, 0);
    let written = store.used_in_session(id).await.expect("read");
    assert_eq!(written.audio_ms, 96_000);
    let members = store.used_by_member(GUILD, None, day..=day, 10).await;
    let members = members.expect("read");
    let seen: Vec<_> = members
        .iter()
        .map(|(_, who, used)| (*who, used.audio_ms))
        .collect();
    assert_eq!(seen, [(ANA, 90_000), (BEN, 5_000)]);

    // A row holds no more, and says so instead of failing.
    book(BEN, Stage::Speech, seconds(u64::MAX / 1_000), NOON).await;
    assert!(used(day, Scope::Author(BEN)).await > u64::MAX / 4);
}

#[tokio::test]
async fn use_of_forgotten_people_stays_and_loses_their_names() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = session(&store, GUILD, NOON).await;
    for author in [ANA, BEN] {
        for at in [later(-DAY), NOON] {
            book(&store, id, (author, Stage::Speech), seconds(10), at).await;
        }
        // Two rows of a session, a stage and a day are nobody's then.
        let forgotten = store.forget_author(author, NOON).await.expect("forgotten");
        assert_eq!(forgotten.usage, 1);
    }
    let used = async |day, scope| store.used(day, scope).await.expect("read").audio_ms;
    let day = NOON.day();
    assert_eq!(used(day - 1, Scope::Author(ANA)).await, 0);
    assert_eq!(used(day - 1, Scope::Everyone).await, 20_000);
    // Otherwise a budget could be had twice.
    assert_eq!(used(day, Scope::Author(ANA)).await, 10_000);

    let month = Duration::from_secs(30 * 86_400);
    let swept = store.sweep(later(DAY), month).await.expect("swept");
    assert_eq!(swept.usage, 2);
    assert_eq!(used(day, Scope::Author(ANA)).await, 0);
    assert_eq!(used(day, Scope::Everyone).await, 20_000);
    book(&store, id, (0, Stage::Speech), seconds(1), NOON).await;
    assert_eq!(used(day, Scope::Everyone).await, 21_000);
    store.sweep(later(500 * DAY), month).await.expect("swept");
    assert_eq!(used(day, Scope::Everyone).await, 0);
}

#[tokio::test]
async fn a_server_that_sends_the_bot_away_leaves_nothing_but_what_was_paid() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let gone = session(&store, GUILD, NOON).await;
    add(&store, gone, &line(1, ANA), NOON).await;
    let kept = store
        .set_consent(GUILD, ANA, Consent::Yes, NOON, &|| true)
        .await;
    kept.expect("written");
    book(&store, gone, (ANA, Stage::Chat), seconds(1), NOON).await;
    let other = session(&store, 2, NOON).await;
    add(&store, other, &line(1, ANA), NOON).await;

    store.forget_guild(GUILD).await.expect("forgotten");
    assert_eq!(store.last_session(GUILD).await.expect("read"), None);
    assert!(store.lines(gone).await.expect("read").is_empty());
    assert!(store.consents(GUILD).await.expect("read").is_empty());
    assert_eq!(add(&store, gone, &line(2, ANA), NOON).await, LineKept::Gone);
    assert_eq!(store.lines(other).await.expect("read").len(), 1);
    let used = store.used(NOON.day(), Scope::Guild(GUILD)).await;
    assert_eq!(used.expect("read").audio_ms, 1_000);
}

#[test]
fn nothing_that_was_said_can_reach_a_log() {
    let session = Session {
        id: SessionId(1),
        of: new(1),
        started: NOON,
        seen: NOON,
        ended: None,
    };
    let shown = format!("{:?} {session:?}", line(1, ANA));
    assert!(
        !shown.contains("heron") && !shown.contains("Ana"),
        "{shown}"
    );
}
