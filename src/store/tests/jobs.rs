//! Jobs: accepted once, checkpointed, finished once.

use tempfile::TempDir;

use super::*;

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
    let parts = store.result_messages(job).await.expect("read");
    let messages: Vec<_> = parts.iter().map(|post| post.message).collect();
    assert_eq!(messages, [Some(u64::MAX - 1), None]);
    let by_message = store
        .job_by_result_message(u64::MAX - 1)
        .await
        .expect("read");
    assert_eq!(by_message.expect("there").id, job);
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
async fn a_postponed_delivery_is_not_an_attempt() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let job = accept(&store, 7).await;
    for _ in 0..20 {
        assert_eq!(store.count_attempt(job).await.expect("begun"), 1);
        store.uncount_attempt(job).await.expect("put off");
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_nothing_is_half_accepted() {
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
