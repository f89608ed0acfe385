use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::SecretString;
use tempfile::TempDir;

use super::*;

const NOON: Timestamp = Timestamp(1_800_000_000_000);
const DAY: i64 = 86_400_000;
const ANA: u64 = u64::MAX - 7;
const WORDS: &str = "the quick brown heron";

async fn open(folder: &Path) -> Store {
    Store::open(folder, None).await.expect("a ledger").0
}

fn job_details(source: u64) -> JobDetails {
    JobDetails {
        source,
        guild: Some(1),
        channel: 2,
        author: ANA,
        payload: format!("payload: {WORDS}"),
        referenced: None,
    }
}

fn accepted_id(accepted: AcceptOutcome) -> JobId {
    let job = match accepted {
        AcceptOutcome::New(job) | AcceptOutcome::Duplicate(job) => Some(job),
        AcceptOutcome::Withdrawn => None,
    };
    job.expect("taken on")
}

async fn accept(store: &Store, source: u64) -> JobId {
    accepted_id(
        store
            .accept_job(&job_details(source), NOON)
            .await
            .expect("accepted"),
    )
}

fn turn(message: u64, parent: Option<u64>, role: TurnRole) -> StoredTurn {
    StoredTurn {
        message,
        parent,
        guild: Some(1),
        channel: 2,
        author: ANA,
        role,
        name: "Ana".to_owned(),
        text: format!("{WORDS} {message}"),
        at: Timestamp(NOON.0 + message.cast_signed()),
    }
}

fn usage_entry(job: JobId, generation: u32, at: Timestamp) -> UsageEntry {
    UsageEntry {
        call: None,
        account: UsageAccount::Job { job, generation },
        stage: UsageStage::Speech,
        guild: Some(1),
        author: ANA,
        day: at.day(),
        usage: Usage {
            audio_ms: 60_000,
            tokens_in: 10,
            tokens_out: 20,
            micros: 5_000,
        },
    }
}

/// The contents of all files of the ledger.
fn file_bytes(folder: &Path) -> Vec<u8> {
    std::fs::read_dir(folder)
        .expect("a folder")
        .flat_map(|file| std::fs::read(file.expect("an entry").path()).expect("readable"))
        .collect()
}

fn files_contain(folder: &Path, text: &str) -> bool {
    file_bytes(folder)
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

async fn record_usage(store: &Store, booking: &UsageEntry) {
    store.record_usage(booking).await.expect("booked");
}

#[tokio::test]
async fn a_source_is_accepted_once() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let first = store
        .accept_job(&job_details(u64::MAX), NOON)
        .await
        .expect("accepted");
    let job = accepted_id(first);
    assert_eq!(first, AcceptOutcome::New(job));
    let again = store
        .accept_job(&job_details(u64::MAX), NOON)
        .await
        .expect("accepted");
    assert_eq!(again, AcceptOutcome::Duplicate(job));
    assert_eq!(store.waiting_jobs(None, 10).await.expect("read"), [job]);
}

#[tokio::test]
async fn a_job_survives_the_process_with_its_checkpoints() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    assert_eq!(store.count_attempt(job).await.expect("begun"), 1);
    store
        .save_transcript(job, "heard", None)
        .await
        .expect("written");
    store.record_sending(job, 0).await.expect("written");
    store
        .record_sent(job, 0, u64::MAX - 1)
        .await
        .expect("written");
    store.record_sending(job, 1).await.expect("written");
    // As a killed process leaves it: nothing is closed.
    drop(store);

    let store = open(folder.path()).await;
    let found = store.job(job).await.expect("read").expect("there");
    assert_eq!(found.details.payload, job_details(7).payload);
    assert_eq!((found.details.author, found.attempts), (ANA, 1));
    assert_eq!(found.transcript.as_deref(), Some("heard"));
    assert_eq!((found.answer, found.state), (None, JobState::Waiting));
    let posts = store.result_messages(job).await.expect("read");
    let messages: Vec<_> = posts.iter().map(|post| post.message).collect();
    assert_eq!(messages, [Some(u64::MAX - 1), None]);
    let shown = store
        .job_by_result_message(u64::MAX - 1)
        .await
        .expect("read");
    assert_eq!(shown.expect("there").id, job);
    assert_eq!(store.count_attempt(job).await.expect("begun"), 2);
}

#[tokio::test]
async fn a_job_ends_once_and_can_be_tried_again() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    store
        .save_transcript(job, "heard", None)
        .await
        .expect("written");
    store
        .save_answer(job, "answer", None)
        .await
        .expect("written");
    assert!(!store.reopen_job(job, true, NOON).await.expect("tried"));
    assert!(
        store
            .finish_job(job, JobState::Done, &[], NOON)
            .await
            .expect("done")
    );
    assert!(
        !store
            .finish_job(job, JobState::Failed, &[], NOON)
            .await
            .expect("over")
    );
    assert!(store.waiting_jobs(None, 10).await.expect("read").is_empty());

    assert!(store.reopen_job(job, true, NOON).await.expect("reopened"));
    let found = store.job_by_source(7).await.expect("read").expect("there");
    assert_eq!((found.generation, found.attempts), (1, 0));
    assert_eq!(found.transcript.as_deref(), Some("heard"));
    assert_eq!(found.answer, None);
}

#[tokio::test]
async fn waiting_jobs_come_oldest_first_and_in_pages() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let mut jobs = Vec::new();
    for source in [9, 3, 5] {
        jobs.push(accept(&store, source).await);
    }
    assert_eq!(store.waiting_jobs(None, 2).await.expect("read"), jobs[..2]);
    assert_eq!(
        store.waiting_jobs(Some(jobs[1]), 2).await.expect("read"),
        jobs[2..]
    );
}

#[tokio::test]
async fn a_reply_finds_its_conversation() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    for (message, parent) in [(10, None), (11, Some(10)), (12, Some(11)), (13, None)] {
        let turn = turn(message, parent, TurnRole::User);
        store.save_turn(&turn).await.expect("written");
    }
    let numbers = |turns: Vec<StoredTurn>| turns.iter().map(|it| it.message).collect::<Vec<_>>();
    assert_eq!(
        numbers(store.reply_chain(12, 9).await.expect("read")),
        [10, 11, 12]
    );
    assert_eq!(
        numbers(store.reply_chain(12, 2).await.expect("read")),
        [11, 12]
    );
    assert!(store.reply_chain(99, 9).await.expect("read").is_empty());
    assert_eq!(
        numbers(store.latest_turns(2, 2).await.expect("read")),
        [12, 13]
    );

    let bites = turn(10, Some(12), TurnRole::User);
    store.save_turn(&bites).await.expect("written");
    assert_eq!(
        numbers(store.reply_chain(12, 50).await.expect("read")),
        [10, 11, 12]
    );
}

#[tokio::test]
async fn usage_is_added_up() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    record_usage(&store, &usage_entry(job, 0, NOON)).await;
    record_usage(&store, &usage_entry(job, 0, NOON)).await;
    record_usage(&store, &usage_entry(job, 1, NOON)).await;
    // The job continues after midnight.
    record_usage(&store, &usage_entry(job, 1, Timestamp(NOON.0 + DAY))).await;
    let day = NOON.day();
    for scope in [
        UsageScope::Author(ANA),
        UsageScope::Guild(1),
        UsageScope::Global,
    ] {
        let used = store.usage_on_day(day, scope).await.expect("read");
        assert_eq!((used.audio_ms, used.micros), (180_000, 15_000), "{scope:?}");
    }
    for scope in [UsageScope::Author(1), UsageScope::Guild(2)] {
        assert_eq!(
            store.usage_on_day(day, scope).await.expect("read"),
            Usage::default()
        );
    }
    let tomorrow = store
        .usage_on_day(day + 1, UsageScope::Global)
        .await
        .expect("read");
    assert_eq!(tomorrow.audio_ms, 60_000);
    let members = store.guild_usage_by_member(1, None, day..=day, 10).await;
    let members = members.expect("read");
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].0, members[0].1), (day, ANA));
    let sum = store.guild_usage(1, Some(ANA), day..=day + 1).await;
    assert_eq!(sum.expect("read").audio_ms, 240_000);
    let nobody = store.guild_usage(1, Some(3), day..=day + 1).await;
    assert_eq!(nobody.expect("read"), Usage::default());
}

#[tokio::test]
async fn a_call_is_recorded_once_however_often_it_is_written() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    let used = async || {
        store
            .usage_on_day(NOON.day(), UsageScope::Global)
            .await
            .expect("read")
    };
    let estimate = usage_entry(job, 0, NOON);
    let call = store.begin_paid_call(&estimate).await.expect("written");
    assert_eq!(used().await, Usage::default(), "it is not over");
    let over = UsageEntry {
        call: Some(call),
        usage: Usage {
            audio_ms: 10,
            ..Usage::default()
        },
        ..estimate
    };
    record_usage(&store, &over).await;
    record_usage(&store, &over).await;
    store
        .save_transcript(job, "heard", Some(&over))
        .await
        .expect("written");
    assert_eq!(used().await.audio_ms, 10);
    assert_eq!(store.charge_interrupted_calls().await.expect("booked"), 0);
    assert_eq!(used().await.audio_ms, 10);
}

#[tokio::test]
async fn calls_of_a_killed_process_are_charged_by_the_next() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    let of_job = usage_entry(job, 2, NOON);
    let of_session = UsageEntry {
        account: UsageAccount::Session(SessionId(3)),
        stage: UsageStage::Chat,
        ..of_job
    };
    for booking in [of_job, of_session] {
        store.begin_paid_call(&booking).await.expect("written");
    }
    drop(store);
    let store = open(folder.path()).await;
    assert_eq!(store.charge_interrupted_calls().await.expect("booked"), 2);
    assert_eq!(store.charge_interrupted_calls().await.expect("booked"), 0);
    let used = store
        .usage_on_day(NOON.day(), UsageScope::Author(ANA))
        .await;
    assert_eq!(used.expect("read").audio_ms, 120_000);
}

#[tokio::test]
async fn what_people_said_is_not_readable_and_what_is_forgotten_is_gone() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    store
        .save_transcript(job, WORDS, None)
        .await
        .expect("written");
    store.save_answer(job, WORDS, None).await.expect("written");
    store
        .save_turn(&turn(7, None, TurnRole::User))
        .await
        .expect("written");
    record_usage(&store, &usage_entry(job, 0, Timestamp(NOON.0 - DAY))).await;
    record_usage(&store, &usage_entry(job, 1, NOON)).await;
    assert!(!files_contain(folder.path(), WORDS));
    assert!(!files_contain(folder.path(), "Ana"));
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT transcript FROM job")
        .fetch_one(&store.pool)
        .await
        .expect("sealed");
    let there = |sealed: &[u8]| {
        file_bytes(folder.path())
            .windows(sealed.len())
            .any(|it| it == sealed)
    };
    assert!(there(&sealed));

    let forgotten = store.forget_author(ANA, NOON).await.expect("forgotten");
    assert_eq!(
        forgotten,
        DeletedCounts {
            jobs: 1,
            turns: 1,
            lines: 0,
            usage: 1
        }
    );
    assert!(!there(&sealed), "the ciphertext is still in a file");
    let of = |day| store.usage_on_day(day, UsageScope::Author(ANA));
    assert_eq!(of(NOON.day() - 1).await.expect("read"), Usage::default());
    // Otherwise a budget could be used twice.
    assert_eq!(of(NOON.day()).await.expect("read").audio_ms, 60_000);

    let tomorrow = Timestamp(NOON.0 + DAY);
    store
        .delete_expired(tomorrow, Duration::from_secs(3_600))
        .await
        .expect("swept");
    assert_eq!(of(NOON.day()).await.expect("read"), Usage::default());
    let all = store
        .usage_on_day(NOON.day(), UsageScope::Global)
        .await
        .expect("read");
    assert_eq!(all.audio_ms, 60_000);
}

#[tokio::test]
async fn a_deleted_note_takes_its_answer_along() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    store.record_sent(job, 0, 8).await.expect("written");
    store.record_sent(job, 1, 9).await.expect("written");
    store
        .save_turn(&turn(7, None, TurnRole::User))
        .await
        .expect("written");
    store
        .save_turn(&turn(8, Some(7), TurnRole::Assistant))
        .await
        .expect("written");
    assert_eq!(store.forget_source(7).await.expect("forgotten"), [8, 9]);
    assert!(store.job(job).await.expect("read").is_none());
    assert!(store.latest_turns(2, 10).await.expect("read").is_empty());
    assert!(store.result_messages(job).await.expect("read").is_empty());
}

#[tokio::test]
async fn old_work_is_swept_and_waiting_work_is_not() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let old = accept(&store, 1).await;
    let fresh = accept(&store, 2).await;
    let waiting = accept(&store, 3).await;
    let later = Timestamp(NOON.0 + 10 * DAY);
    store
        .finish_job(old, JobState::Done, &[], NOON)
        .await
        .expect("done");
    store
        .finish_job(fresh, JobState::Failed, &[], later)
        .await
        .expect("failed");
    let kept = Duration::from_secs(5 * 86_400);
    let swept = store.delete_expired(later, kept).await.expect("swept");
    assert_eq!(swept.jobs, 1);
    assert!(store.job(old).await.expect("read").is_none());
    assert!(store.job(fresh).await.expect("read").is_some());
    assert!(store.job(waiting).await.expect("read").is_some());
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let second = Store::open(folder.path(), None).await;
    assert!(matches!(second, Err(StoreError::InUse)), "{second:?}");
    drop(store);
    open(folder.path()).await;
}

#[tokio::test]
async fn the_key_is_made_once_and_must_stay_the_same() {
    let folder = TempDir::new().expect("a folder");
    let key = folder.path().join(KEY_FILE);
    let (store, source) = Store::open(folder.path(), None).await.expect("fresh");
    assert_eq!(source, KeySource::Generated(key.clone()));
    drop(store);
    let (store, source) = Store::open(folder.path(), None).await.expect("again");
    assert_eq!(source, KeySource::File(key.clone()));
    drop(store);

    let other = SecretString::from("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let wrong = Store::open(folder.path(), Some(&other)).await;
    assert!(matches!(wrong, Err(StoreError::WrongKey)), "{wrong:?}");
    let short = SecretString::from("AAAA");
    let bad = Store::open(folder.path(), Some(&short)).await;
    assert!(matches!(bad, Err(StoreError::BadKey)), "{bad:?}");

    std::fs::remove_file(&key).expect("removed");
    let missing = Store::open(folder.path(), None).await;
    assert!(
        matches!(missing, Err(StoreError::KeyMissing { .. })),
        "{missing:?}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn ledger_files_are_private_to_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().expect("a folder");
    let folder = parent.path().join("data");
    let _store = open(&folder).await;
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(KEY_FILE)), 0o600);
}

#[tokio::test]
async fn a_row_moved_to_another_place_is_damage_not_words() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let first = accept(&store, 1).await;
    let second = accept(&store, 2).await;
    store
        .save_transcript(first, WORDS, None)
        .await
        .expect("written");
    sqlx::query(
        "UPDATE job SET transcript = (SELECT transcript FROM job WHERE id = ?) WHERE id = ?",
    )
    .bind(first.0)
    .bind(second.0)
    .execute(&store.pool)
    .await
    .expect("moved");
    let moved = store.job(second).await;
    assert!(matches!(moved, Err(StoreError::Damaged)), "{moved:?}");
    store
        .check_integrity()
        .await
        .expect("the file itself is sound");
}

#[tokio::test]
async fn jobs_go_with_either_person_or_the_referenced_message() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    const CY: u64 = 77;
    let answer = async |source: u64| {
        let asked = JobDetails {
            referenced: Some(MessageReference {
                message: 500,
                author: CY,
            }),
            ..job_details(source)
        };
        let job = accepted_id(store.accept_job(&asked, NOON).await.expect("accepted"));
        store.record_sent(job, 0, source + 100).await.expect("sent");
        let turns = [
            turn(source, None, TurnRole::User),
            turn(source + 100, Some(source), TurnRole::Assistant),
        ];
        let done = store.finish_job(job, JobState::Done, &turns, NOON).await;
        assert!(done.expect("finished"));
        let read = store.job(job).await.expect("read").expect("a job");
        assert_eq!(read.details.referenced, asked.referenced);
        source + 100
    };
    let known = async |message| store.reply_chain(message, 9).await.expect("read").len();

    let shown = answer(1).await;
    assert_eq!(known(shown).await, 2);
    assert_eq!(store.sources_referencing(500).await.expect("read"), [1]);
    for person in [ANA, CY] {
        assert_eq!(store.jobs_shared_with(person).await.expect("read").len(), 1);
    }
    let forgotten = store.forget_author(CY, NOON).await.expect("forgotten");
    assert_eq!((forgotten.jobs, forgotten.turns), (1, 2));
    assert_eq!(known(shown).await, 0);

    let shown = answer(2).await;
    let forgotten = store.forget_author(ANA, NOON).await.expect("forgotten");
    assert_eq!((forgotten.jobs, forgotten.turns), (1, 2));
    assert_eq!(known(shown).await, 0);

    // Deleting the referenced message deletes the turns about it.
    let shown = answer(3).await;
    store.forget_source(500).await.expect("forgotten");
    assert_eq!(known(shown).await, 0);
    let posts = store.forget_source(3).await.expect("forgotten");
    assert_eq!(posts, [shown]);
    assert!(
        store
            .sources_referencing(500)
            .await
            .expect("read")
            .is_empty()
    );
}

#[tokio::test]
async fn a_full_disk_is_named_and_nothing_is_half_accepted() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    accept(&store, 1).await;
    // The limit applies per connection; set it on all of them.
    let mut connections = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut connection = store.pool.acquire().await.expect("a connection");
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(&mut *connection)
            .await
            .expect("set");
        connections.push(connection);
    }
    drop(connections);
    let large = JobDetails {
        payload: "x".repeat(1_000_000),
        ..job_details(2)
    };
    let full = store.accept_job(&large, NOON).await;
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    assert!(store.job_by_source(2).await.expect("read").is_none());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_damaged() {
    let folder = TempDir::new().expect("a folder");
    // A clean close leaves no write-ahead log that would repair the file.
    open(folder.path()).await.close().await;
    std::fs::write(folder.path().join(DATABASE_FILE), vec![b'x'; 8_192]).expect("written");
    let opened = Store::open(folder.path(), None).await;
    assert!(matches!(opened, Err(StoreError::Damaged)), "{opened:?}");
}

fn cipher() -> StoreCipher {
    let key = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    StoreCipher::from_base64(&key).expect("a key")
}

proptest! {
    #[test]
    fn what_is_sealed_opens_in_its_place_only(text in ".{0,200}", row in any::<i64>()) {
        let sealed = cipher().seal("a", row, &text).expect("sealed");
        prop_assert_eq!(cipher().open("a", row, &sealed).expect("opened"), text);
        prop_assert!(cipher().open("b", row, &sealed).is_err());
        prop_assert!(cipher().open("a", row.wrapping_add(1), &sealed).is_err());
    }

    #[test]
    fn anything_else_is_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(cipher().open("a", 1, &bytes).is_err());
    }

    #[test]
    fn a_changed_bit_is_noticed(text in ".{0,50}", place in any::<prop::sample::Index>()) {
        let mut sealed = cipher().seal("a", 1, &text).expect("sealed");
        let place = place.index(sealed.len() * 8);
        sealed[place / 8] ^= 1 << (place % 8);
        prop_assert!(cipher().open("a", 1, &sealed).is_err());
    }
}

#[tokio::test]
async fn a_server_keeps_its_choices_until_the_bot_is_sent_away() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    assert_eq!(store.guild_settings(1).await.expect("read"), None);
    // Notice and settings share a row and must not affect each other.
    assert!(store.claim_guild_notice(1).await.expect("claimed"));
    assert_eq!(store.guild_settings(1).await.expect("read"), None);
    for settings in [WORDS, "other words"] {
        let to_be = |_| Ok(Some(settings.to_owned()));
        store.update_guild_settings(1, to_be).await.expect("kept");
        let kept = store.guild_settings(1).await.expect("read");
        assert_eq!(kept.as_deref(), Some(settings));
    }
    assert!(!store.claim_guild_notice(1).await.expect("claimed"));
    assert!(store.claim_guild_notice(2).await.expect("claimed"));

    accept(&store, 10).await;
    store
        .save_turn(&turn(11, None, TurnRole::User))
        .await
        .expect("remembered");
    store.forget_guild(1).await.expect("forgotten");
    assert_eq!(store.guild_settings(1).await.expect("read"), None);
    assert!(store.job_by_source(10).await.expect("read").is_none());
    assert!(store.reply_chain(11, 10).await.expect("read").is_empty());
    assert!(!store.claim_guild_notice(2).await.expect("claimed"));
    for file in std::fs::read_dir(folder.path()).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("its bytes");
        let words = WORDS.as_bytes();
        assert!(!bytes.windows(words.len()).any(|found| found == words));
    }
}

#[tokio::test]
async fn recent_direct_channels_are_listed() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    for (source, channel) in [(1, 100), (2, 200), (3, 100)] {
        let note = JobDetails {
            guild: None,
            channel,
            ..job_details(source)
        };
        store.accept_job(&note, NOON).await.expect("accepted");
    }
    accept(&store, 4).await;
    assert_eq!(
        store.recent_direct_channels(9).await.expect("read"),
        [100, 200]
    );
    assert_eq!(store.recent_direct_channels(1).await.expect("read"), [100]);
}

#[tokio::test]
async fn deleted_sources_are_not_accepted_again() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    for source in [7, 8, 9] {
        accept(&store, source).await;
    }
    store.forget_source(7).await.expect("forgotten");
    // Deleting an unknown message stores nothing.
    store.forget_source(100).await.expect("nothing");
    store.forget_author(ANA, NOON).await.expect("forgotten");
    for source in [7, 8, 9] {
        let again = store
            .accept_job(&job_details(source), NOON)
            .await
            .expect("read");
        assert_eq!(again, AcceptOutcome::Withdrawn, "{source}");
    }
    accept(&store, 100).await;
    // Once such old messages are no longer read back, withdrawn sources are dropped.
    store.prune_withdrawn(9).await.expect("expired");
    accept(&store, 7).await;
    let last = store.accept_job(&job_details(9), NOON).await.expect("read");
    assert_eq!(last, AcceptOutcome::Withdrawn);
}

#[tokio::test]
async fn a_postponed_delivery_is_not_an_attempt() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    for _ in 0..20 {
        assert_eq!(store.count_attempt(job).await.expect("begun"), 1);
        store.uncount_attempt(job).await.expect("put off");
    }
}
