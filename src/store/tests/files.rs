//! The ledger on disk: lock, key, permissions, damage.

use std::path::Path;

use secrecy::SecretString;
use tempfile::TempDir;

use super::*;

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
async fn the_key_is_generated_once_and_must_not_change() {
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
async fn a_swapped_row_is_reported_as_damage() {
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
async fn a_file_that_is_no_database_is_damaged() {
    let folder = TempDir::new().expect("a folder");
    // A clean close leaves no write-ahead log that would repair the file.
    open(folder.path()).await.close().await;
    std::fs::write(folder.path().join(DATABASE_FILE), vec![b'x'; 8_192]).expect("written");
    let opened = Store::open(folder.path(), None).await;
    assert!(matches!(opened, Err(StoreError::Damaged)), "{opened:?}");
}
