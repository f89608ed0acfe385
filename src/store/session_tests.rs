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

fn session_details(guild: u64) -> SessionDetails {
    SessionDetails {
        guild,
        voice_channel: 20,
        text: 30,
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
    let booking = UsageEntry {
        call: None,
        account: UsageAccount::Session(session),
        stage,
        guild: Some(GUILD),
        author,
        day: at.day(),
        usage: used,
    };
    store.record_usage(&booking).await.expect("booked");
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
async fn a_server_has_one_open_session() {
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
    for place in [2, 0, 3, 1] {
        let kept = add_line(&store, id, &lines[place], noon_plus(400)).await;
        assert_eq!(kept, AddLineOutcome::Added);
    }
    // As a killed process leaves it: nothing is closed.
    drop(store);

    let store = open(folder.path()).await;
    let left = store.unfinished_sessions().await.expect("read");
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
    assert!(matches!(&left[..], [UnfinishedSession::Open(open)] if *open.session() == found));
    assert_eq!(
        store.active_session(GUILD).await.expect("read"),
        Some(found)
    );
    assert_eq!(store.lines(id).await.expect("read"), lines);
}

#[tokio::test]
async fn a_line_is_kept_once_and_within_bounds() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    assert_eq!(
        add_line(&store, id, &speech_line(7, ANA), NOON).await,
        AddLineOutcome::Added
    );
    let other = TranscriptLine {
        text: "other words".to_owned(),
        ..speech_line(7, BEN)
    };
    assert_eq!(
        add_line(&store, id, &other, NOON).await,
        AddLineOutcome::Duplicate
    );
    let last = speech_line(MAX_LINES - 1, ANA);
    assert_eq!(
        add_line(&store, id, &last, NOON).await,
        AddLineOutcome::Added
    );
    let beyond = speech_line(MAX_LINES, ANA);
    assert_eq!(
        add_line(&store, id, &beyond, NOON).await,
        AddLineOutcome::SessionFull
    );
    let nowhere = add_line(&store, SessionId(99), &speech_line(1, ANA), NOON).await;
    assert_eq!(nowhere, AddLineOutcome::SessionGone);
    assert_eq!(
        store.lines(id).await.expect("read"),
        [speech_line(7, ANA), last]
    );
}

#[tokio::test]
async fn what_people_said_is_not_readable_and_what_is_forgotten_is_gone() {
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
async fn a_line_moved_to_another_place_is_damage_not_words() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let (first, second) = (
        open_session(&store, GUILD, NOON).await,
        open_session(&store, 2, NOON).await,
    );
    add_line(&store, first, &speech_line(1, ANA), NOON).await;
    add_line(&store, first, &speech_line(2, ANA), NOON).await;
    add_line(&store, second, &speech_line(1, ANA), NOON).await;
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
async fn lines_are_deleted_after_retention() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let old = open_session(&store, 1, NOON).await;
    add_line(&store, old, &speech_line(1, ANA), NOON).await;
    assert!(end_and_close(&store, old, NOON).await);
    let fresh = open_session(&store, 2, NOON).await;
    add_line(&store, fresh, &speech_line(1, ANA), noon_plus(8 * DAY)).await;
    assert!(end_and_close(&store, fresh, noon_plus(8 * DAY)).await);
    let endless = open_session(&store, 3, NOON).await;
    add_line(&store, endless, &speech_line(1, ANA), NOON).await;
    add_line(&store, endless, &speech_line(2, ANA), noon_plus(9 * DAY)).await;

    let kept = Duration::from_secs(5 * 86_400);
    let swept = store
        .delete_expired(noon_plus(10 * DAY), kept)
        .await
        .expect("swept");
    assert_eq!(swept.lines, 2);
    assert_eq!(store.latest_session(1).await.expect("read"), None);
    assert!(store.lines(old).await.expect("read").is_empty());
    assert_eq!(
        store.lines(fresh).await.expect("read"),
        [speech_line(1, ANA)]
    );
    assert_eq!(
        store.lines(endless).await.expect("read"),
        [speech_line(2, ANA)]
    );
    assert!(store.active_session(3).await.expect("read").is_some());
}

#[tokio::test]
async fn the_latest_consent_counts() {
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
async fn denying_consent_deletes_unpublished_lines() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    let elsewhere = open_session(&store, 2, NOON).await;
    for id in [id, elsewhere] {
        add_line(&store, id, &speech_line(1, ANA), NOON).await;
        add_line(&store, id, &speech_line(2, BEN), NOON).await;
    }
    // A later decision has overtaken this one before it was written.
    for (consent, still) in [(Consent::No, false), (Consent::Yes, true)] {
        let still = || still;
        let kept = store.set_consent(GUILD, ANA, consent, NOON, &still);
        kept.await.expect("written");
        assert_eq!(store.lines(id).await.expect("read").len(), 2);
    }
    let still = || true;
    let kept = store.set_consent(GUILD, ANA, Consent::No, NOON, &still);
    kept.await.expect("written");
    assert_eq!(store.lines(id).await.expect("read"), [speech_line(2, BEN)]);
    assert_eq!(store.lines(elsewhere).await.expect("read").len(), 2);
    let late = store
        .add_line(id, &speech_line(3, ANA), NOON, &|| false)
        .await;
    assert_eq!(late.expect("asked"), AddLineOutcome::ConsentWithdrawn);
}

#[tokio::test]
async fn the_budgets_of_a_day_count_sessions() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    let book =
        async |author, stage, used, at| record_usage(&store, id, (author, stage), used, at).await;
    book(ANA, UsageStage::Speech, audio_usage(60), NOON).await;
    book(ANA, UsageStage::Speech, audio_usage(30), NOON).await;
    book(ANA, UsageStage::Chat, audio_usage(0), NOON).await;
    book(BEN, UsageStage::Speech, audio_usage(5), NOON).await;
    book(ANA, UsageStage::Speech, audio_usage(1), noon_plus(DAY)).await;
    let used = async |day, scope| store.usage_on_day(day, scope).await.expect("read").audio_ms;
    let day = NOON.day();
    assert_eq!(used(day, UsageScope::Author(ANA)).await, 90_000);
    assert_eq!(used(day, UsageScope::Guild(GUILD)).await, 95_000);
    assert_eq!(used(day, UsageScope::Global).await, 95_000);
    assert_eq!(used(day + 1, UsageScope::Global).await, 1_000);
    assert_eq!(used(day, UsageScope::Guild(2)).await, 0);
    let written = store.session_transcription_usage(id).await.expect("read");
    assert_eq!(written.audio_ms, 96_000);
    let members = store
        .guild_usage_by_member(GUILD, None, day..=day, 10)
        .await;
    let members = members.expect("read");
    let seen: Vec<_> = members
        .iter()
        .map(|(_, who, used)| (*who, used.audio_ms))
        .collect();
    assert_eq!(seen, [(ANA, 90_000), (BEN, 5_000)]);

    // A row saturates at its maximum instead of failing.
    book(BEN, UsageStage::Speech, audio_usage(u64::MAX / 1_000), NOON).await;
    assert!(used(day, UsageScope::Author(BEN)).await > u64::MAX / 4);
}

#[tokio::test]
async fn usage_of_forgotten_people_is_anonymized() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    for author in [ANA, BEN] {
        for at in [noon_plus(-DAY), NOON] {
            record_usage(
                &store,
                id,
                (author, UsageStage::Speech),
                audio_usage(10),
                at,
            )
            .await;
        }
        // Afterwards two equal rows belong to nobody.
        let forgotten = store.forget_author(author, NOON).await.expect("forgotten");
        assert_eq!(forgotten.usage, 1);
    }
    let used = async |day, scope| store.usage_on_day(day, scope).await.expect("read").audio_ms;
    let day = NOON.day();
    assert_eq!(used(day - 1, UsageScope::Author(ANA)).await, 0);
    assert_eq!(used(day - 1, UsageScope::Global).await, 20_000);
    // Otherwise a budget could be used twice.
    assert_eq!(used(day, UsageScope::Author(ANA)).await, 10_000);

    let month = Duration::from_secs(30 * 86_400);
    let swept = store
        .delete_expired(noon_plus(DAY), month)
        .await
        .expect("swept");
    assert_eq!(swept.usage, 2);
    assert_eq!(used(day, UsageScope::Author(ANA)).await, 0);
    assert_eq!(used(day, UsageScope::Global).await, 20_000);
    record_usage(&store, id, (0, UsageStage::Speech), audio_usage(1), NOON).await;
    assert_eq!(used(day, UsageScope::Global).await, 21_000);
    store
        .delete_expired(noon_plus(500 * DAY), month)
        .await
        .expect("swept");
    assert_eq!(used(day, UsageScope::Global).await, 0);
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
fn nothing_that_was_said_can_reach_a_log() {
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
