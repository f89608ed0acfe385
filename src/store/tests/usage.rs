//! Usage and paid calls.

use tempfile::TempDir;

use super::*;

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
    let by_member = store.guild_usage_by_member(1, None, day..=day, 10).await;
    let by_member = by_member.expect("read");
    assert_eq!(by_member.len(), 1);
    assert_eq!((by_member[0].0, by_member[0].1), (day, ANA));
    let sum = store.guild_usage(1, Some(ANA), day..=day + 1).await;
    assert_eq!(sum.expect("read").audio_ms, 240_000);
    let unused = store.guild_usage(1, Some(3), day..=day + 1).await;
    assert_eq!(unused.expect("read"), Usage::default());
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
    assert_eq!(used().await, Usage::default(), "the call is not over");
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
    for entry in [of_job, of_session] {
        store.begin_paid_call(&entry).await.expect("written");
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
