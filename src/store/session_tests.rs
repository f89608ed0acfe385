//! Voice sessions in the ledger.

mod lines;
mod usage;

use std::collections::HashMap;
use std::path::Path;

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

fn session_details(guild: u64) -> SessionDetails {
    SessionDetails {
        guild,
        voice_channel: 20,
        text_channel: 30,
        requested_by: ANA,
        payload: format!("payload: {WORDS}"),
    }
}

async fn open_session(store: &Store, guild: u64, at: Timestamp) -> SessionId {
    let opened = store
        .open_session(&session_details(guild), at)
        .await
        .expect("written");
    opened.expect("no other one").session().id
}

async fn end_and_close(store: &Store, session: SessionId, at: Timestamp) -> bool {
    let ended = store.end_session(session, "asked", at).await;
    ended.expect("written");
    store.close_session(session).await.expect("written")
}

fn speech_line(number: u32, author: u64) -> TranscriptLine {
    TranscriptLine {
        number,
        author,
        name: "Anastasia".to_owned(),
        start_ms: u64::from(number) * 1_000,
        end_ms: u64::from(number) * 1_000 + 900,
        kind: LineKind::Speech,
        text: format!("{WORDS} {number}"),
    }
}

async fn record_usage(
    store: &Store,
    session: SessionId,
    (author, stage): (u64, UsageStage),
    used: Usage,
    at: Timestamp,
) {
    let entry = UsageEntry {
        call: None,
        account: UsageAccount::Session(session),
        stage,
        guild: Some(GUILD),
        author,
        day: at.day(),
        usage: used,
    };
    store.record_usage(&entry).await.expect("booked");
}

async fn add_line(
    store: &Store,
    session: SessionId,
    line: &TranscriptLine,
    at: Timestamp,
) -> AddLineOutcome {
    store
        .add_line(session, line, at, &|| true)
        .await
        .expect("written")
}

fn noon_plus(milliseconds: i64) -> Timestamp {
    Timestamp(NOON.0 + milliseconds)
}

/// Whether any file of the ledger contains these bytes.
fn files_contain(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|file| {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("readable");
        bytes.windows(wanted.len()).any(|found| found == wanted)
    })
}

fn audio_usage(seconds: u64) -> Usage {
    Usage {
        audio_ms: seconds * 1_000,
        micros: seconds,
        ..Usage::default()
    }
}

#[tokio::test]
async fn a_guild_has_one_open_session() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let first = open_session(&store, GUILD, NOON).await;
    let second = store
        .open_session(&session_details(GUILD), NOON)
        .await
        .expect("asked");
    assert!(second.is_none());
    let elsewhere = open_session(&store, 2, NOON).await;
    assert_ne!(first, elsewhere);

    assert!(end_and_close(&store, first, noon_plus(5)).await);
    assert!(!end_and_close(&store, first, noon_plus(9)).await);
    assert_eq!(store.active_session(GUILD).await.expect("read"), None);
    let last = store.latest_session(GUILD).await.expect("read");
    assert_eq!(last.expect("there").ended, Some(noon_plus(5)));

    let next = open_session(&store, GUILD, noon_plus(10)).await;
    let last = store.latest_session(GUILD).await.expect("read");
    assert_eq!(last.expect("there").id, next);
    assert_eq!(store.latest_session(3).await.expect("read"), None);
}

#[tokio::test]
async fn a_session_survives_the_process() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    store
        .update_session_payload(id, "newer")
        .await
        .expect("written");
    store
        .touch_session(id, noon_plus(700))
        .await
        .expect("written");
    store
        .touch_session(id, noon_plus(300))
        .await
        .expect("written");
    let lines = [
        speech_line(0, ANA),
        TranscriptLine {
            kind: LineKind::AudioLost,
            text: String::new(),
            ..speech_line(1, BEN)
        },
        TranscriptLine {
            kind: LineKind::Interrupted,
            name: String::new(),
            ..speech_line(2, 0)
        },
        TranscriptLine {
            kind: LineKind::Answer,
            ..speech_line(3, ANA)
        },
    ];
    // Speakers overlap, so lines arrive out of order.
    for index in [2, 0, 3, 1] {
        let outcome = add_line(&store, id, &lines[index], noon_plus(400)).await;
        assert_eq!(outcome, AddLineOutcome::Added);
    }
    // As a killed process leaves it: nothing is closed.
    drop(store);

    let store = open(folder.path()).await;
    let unfinished = store.unfinished_sessions().await.expect("read");
    let found = SessionRecord {
        id,
        details: SessionDetails {
            payload: "newer".to_owned(),
            ..session_details(GUILD)
        },
        started: NOON,
        last_seen: noon_plus(700),
        ended: None,
    };
    assert!(matches!(&unfinished[..], [UnfinishedSession::Open(open)] if *open.session() == found));
    assert_eq!(
        store.active_session(GUILD).await.expect("read"),
        Some(found)
    );
    assert_eq!(store.lines(id).await.expect("read"), lines);
}

#[tokio::test]
async fn content_is_encrypted_and_forgotten_content_is_gone() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let first = open_session(&store, GUILD, NOON).await;
    let second = open_session(&store, 2, NOON).await;
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
        add_line(&store, id, &speech_line(1, ANA), NOON).await;
        add_line(&store, id, &speech_line(2, BEN), NOON).await;
    }
    for text in [WORDS, "Anastasia", "payload: "] {
        assert!(!files_contain(folder.path(), text.as_bytes()), "{text}");
    }
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT text FROM line WHERE author = ?")
        .bind(id_to_column(ANA))
        .fetch_one(&store.pool)
        .await
        .expect("sealed");
    assert!(files_contain(folder.path(), &sealed));

    let forgotten = store.forget_author(ANA, NOON).await.expect("forgotten");
    assert_eq!(forgotten.lines, 2);
    assert!(
        !files_contain(folder.path(), &sealed),
        "the ciphertext is still in a file"
    );
    for id in [first, second] {
        assert_eq!(store.lines(id).await.expect("read"), [speech_line(2, BEN)]);
    }
    let left = HashMap::from([(BEN, Consent::No)]);
    assert_eq!(store.consents(GUILD).await.expect("read"), left);
    assert!(store.consents(2).await.expect("read").is_empty());
    let found = store.active_session(GUILD).await.expect("read");
    assert_eq!(found.expect("still open").details.requested_by, 0);
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    add_line(&store, id, &speech_line(1, ANA), NOON).await;
    let other = SecretString::from("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let store = Store {
        cipher: StoreCipher::from_base64(&other).expect("a key"),
        ..store
    };
    assert!(matches!(store.lines(id).await, Err(StoreError::Damaged)));
    let sessions = store.unfinished_sessions().await;
    assert!(matches!(sessions, Err(StoreError::Damaged)));
}

#[tokio::test]
async fn removing_the_bot_deletes_all_but_usage() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let gone = open_session(&store, GUILD, NOON).await;
    add_line(&store, gone, &speech_line(1, ANA), NOON).await;
    let kept = store
        .set_consent(GUILD, ANA, Consent::Yes, NOON, &|| true)
        .await;
    kept.expect("written");
    record_usage(&store, gone, (ANA, UsageStage::Chat), audio_usage(1), NOON).await;
    let other = open_session(&store, 2, NOON).await;
    add_line(&store, other, &speech_line(1, ANA), NOON).await;

    store.forget_guild(GUILD).await.expect("forgotten");
    assert_eq!(store.latest_session(GUILD).await.expect("read"), None);
    assert!(store.lines(gone).await.expect("read").is_empty());
    assert!(store.consents(GUILD).await.expect("read").is_empty());
    assert_eq!(
        add_line(&store, gone, &speech_line(2, ANA), NOON).await,
        AddLineOutcome::SessionGone
    );
    assert_eq!(store.lines(other).await.expect("read").len(), 1);
    let used = store
        .usage_on_day(NOON.day(), UsageScope::Guild(GUILD))
        .await;
    assert_eq!(used.expect("read").audio_ms, 1_000);
}

#[test]
fn debug_output_holds_no_content() {
    let session = SessionRecord {
        id: SessionId(1),
        details: session_details(1),
        started: NOON,
        last_seen: NOON,
        ended: None,
    };
    let shown = format!("{:?} {session:?}", speech_line(1, ANA));
    assert!(
        !shown.contains("heron") && !shown.contains("Ana"),
        "{shown}"
    );
}
