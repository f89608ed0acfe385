//! Usage of voice sessions.

use std::time::Duration;

use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn daily_caps_count_sessions() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let id = open_session(&store, GUILD, NOON).await;
    let record =
        async |author, stage, used, at| record_usage(&store, id, (author, stage), used, at).await;
    record(ANA, UsageStage::Speech, audio_usage(60), NOON).await;
    record(ANA, UsageStage::Speech, audio_usage(30), NOON).await;
    record(ANA, UsageStage::Chat, audio_usage(0), NOON).await;
    record(BEN, UsageStage::Speech, audio_usage(5), NOON).await;
    record(ANA, UsageStage::Speech, audio_usage(1), noon_plus(DAY)).await;
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
    record(BEN, UsageStage::Speech, audio_usage(u64::MAX / 1_000), NOON).await;
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
