//! Deletion on request and after retention.

use std::time::Duration;

use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn content_is_encrypted_and_forgotten_content_is_gone() {
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
    let is_stored = |sealed: &[u8]| {
        file_bytes(folder.path())
            .windows(sealed.len())
            .any(|it| it == sealed)
    };
    assert!(is_stored(&sealed));

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
    assert!(!is_stored(&sealed), "the ciphertext is still in a file");
    let usage_on = |day| store.usage_on_day(day, UsageScope::Author(ANA));
    assert_eq!(
        usage_on(NOON.day() - 1).await.expect("read"),
        Usage::default()
    );
    // Otherwise a budget could be used twice.
    assert_eq!(usage_on(NOON.day()).await.expect("read").audio_ms, 60_000);

    let tomorrow = Timestamp(NOON.0 + DAY);
    store
        .delete_expired(tomorrow, Duration::from_secs(3_600))
        .await
        .expect("swept");
    assert_eq!(usage_on(NOON.day()).await.expect("read"), Usage::default());
    let all = store
        .usage_on_day(NOON.day(), UsageScope::Global)
        .await
        .expect("read");
    assert_eq!(all.audio_ms, 60_000);
}

#[tokio::test]
async fn deleting_a_message_deletes_its_answer() {
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
async fn old_jobs_expire_but_waiting_jobs_stay() {
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
    let retention = Duration::from_secs(5 * 86_400);
    let swept = store.delete_expired(later, retention).await.expect("swept");
    assert_eq!(swept.jobs, 1);
    assert!(store.job(old).await.expect("read").is_none());
    assert!(store.job(fresh).await.expect("read").is_some());
    assert!(store.job(waiting).await.expect("read").is_some());
}

#[tokio::test]
async fn jobs_go_with_either_person_or_the_referenced_message() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    const CY: u64 = 77;
    let answer = async |source: u64| {
        let details = JobDetails {
            referenced: Some(MessageReference {
                message: 500,
                author: CY,
            }),
            ..job_details(source)
        };
        let job = accepted_id(store.accept_job(&details, NOON).await.expect("accepted"));
        store.record_sent(job, 0, source + 100).await.expect("sent");
        let turns = [
            turn(source, None, TurnRole::User),
            turn(source + 100, Some(source), TurnRole::Assistant),
        ];
        let done = store.finish_job(job, JobState::Done, &turns, NOON).await;
        assert!(done.expect("finished"));
        let read = store.job(job).await.expect("read").expect("a job");
        assert_eq!(read.details.referenced, details.referenced);
        source + 100
    };
    let turn_count = async |message| store.reply_chain(message, 9).await.expect("read").len();

    let shown = answer(1).await;
    assert_eq!(turn_count(shown).await, 2);
    assert_eq!(store.sources_referencing(500).await.expect("read"), [1]);
    for person in [ANA, CY] {
        assert_eq!(store.jobs_shared_with(person).await.expect("read").len(), 1);
    }
    let forgotten = store.forget_author(CY, NOON).await.expect("forgotten");
    assert_eq!((forgotten.jobs, forgotten.turns), (1, 2));
    assert_eq!(turn_count(shown).await, 0);

    let shown = answer(2).await;
    let forgotten = store.forget_author(ANA, NOON).await.expect("forgotten");
    assert_eq!((forgotten.jobs, forgotten.turns), (1, 2));
    assert_eq!(turn_count(shown).await, 0);

    // Deleting the referenced message deletes the turns about it.
    let shown = answer(3).await;
    store.forget_source(500).await.expect("forgotten");
    assert_eq!(turn_count(shown).await, 0);
    let messages = store.forget_source(3).await.expect("forgotten");
    assert_eq!(messages, [shown]);
    assert!(
        store
            .sources_referencing(500)
            .await
            .expect("read")
            .is_empty()
    );
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
