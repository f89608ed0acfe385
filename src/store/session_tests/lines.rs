//! Transcript lines and consent.

use std::collections::HashMap;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

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
async fn a_swapped_line_is_reported_as_damage() {
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

    let retention = Duration::from_secs(5 * 86_400);
    let swept = store
        .delete_expired(noon_plus(10 * DAY), retention)
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
        let saved = store.set_consent(GUILD, ANA, consent, NOON, &|| true).await;
        saved.expect("written");
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
    for (consent, still_allowed) in [(Consent::No, false), (Consent::Yes, true)] {
        let still_allowed = || still_allowed;
        let saved = store.set_consent(GUILD, ANA, consent, NOON, &still_allowed);
        saved.await.expect("written");
        assert_eq!(store.lines(id).await.expect("read").len(), 2);
    }
    let still_allowed = || true;
    let saved = store.set_consent(GUILD, ANA, Consent::No, NOON, &still_allowed);
    saved.await.expect("written");
    assert_eq!(store.lines(id).await.expect("read"), [speech_line(2, BEN)]);
    assert_eq!(store.lines(elsewhere).await.expect("read").len(), 2);
    let late = store
        .add_line(id, &speech_line(3, ANA), NOON, &|| false)
        .await;
    assert_eq!(late.expect("asked"), AddLineOutcome::ConsentWithdrawn);
}
