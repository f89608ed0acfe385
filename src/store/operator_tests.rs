//! What operators rely on: an interrupted first start can be repeated, and concurrent work neither
//! blocks nor loses anything.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::{DATABASE_FILE, JobDetails, KEY_FILE, KeySource, Store, StoreError, Timestamp};

const SOON: Duration = Duration::from_secs(5);

async fn open(folder: &TempDir) -> Result<(Store, KeySource), StoreError> {
    Store::open(folder.path(), None).await
}

#[tokio::test]
async fn an_interrupted_first_start_can_be_repeated() {
    let key_text = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    let mut contents: Vec<Vec<u8>> = (0..key_text.len())
        .map(|it| key_text[..it].into())
        .collect();
    contents.push(b"\n".to_vec());
    contents.push(vec![0; 45]);
    for content in contents {
        let folder = TempDir::new().expect("a folder");
        let key = folder.path().join(KEY_FILE);
        std::fs::write(&key, &content).expect("written");
        // The database file may have been created, but is empty.
        std::fs::write(folder.path().join(DATABASE_FILE), "").expect("written");
        let (store, source) = open(&folder).await.expect("it starts");
        assert_eq!(source, KeySource::Generated(key.clone()));
        store.close().await;
        let (_, source) = open(&folder).await.expect("and again");
        assert_eq!(source, KeySource::File(key));
        let files = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert!(files <= 5, "no partial key file is left");
    }
}

#[tokio::test]
async fn a_key_that_may_be_needed_is_never_replaced() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = open(&folder).await.expect("fresh");
    store.close().await;
    let key = folder.path().join(KEY_FILE);
    for content in [
        "",
        "AAAA",
        "not a key at all, but longer than one in Base64 is",
    ] {
        std::fs::write(&key, content).expect("written");
        let opened = open(&folder).await;
        assert!(
            matches!(&opened, Err(StoreError::KeyUnusable { path }) if *path == key),
            "{opened:?}"
        );
        assert_eq!(std::fs::read_to_string(&key).expect("there"), content);
    }
    // The same without a ledger: the operator may have put the key there.
    let folder = TempDir::new().expect("a folder");
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    std::fs::write(folder.path().join(KEY_FILE), hex).expect("written");
    let opened = open(&folder).await;
    assert!(
        matches!(opened, Err(StoreError::KeyUnusable { .. })),
        "{opened:?}"
    );
}

#[tokio::test]
async fn deleting_unknown_ids_does_not_wait_for_writers() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = open(&folder).await.expect("fresh");
    let job = JobDetails {
        source: 1,
        guild: Some(7),
        channel: 70,
        author: 700,
        payload: "{}".to_owned(),
        referenced: None,
    };
    store
        .accept_job(&job, Timestamp(0))
        .await
        .expect("accepted");
    let log = folder.path().join(format!("{DATABASE_FILE}-wal"));
    let length = || std::fs::metadata(&log).expect("a log").len();
    let before = length();
    assert!(before > 0);
    // A slow writer holds the write lock.
    let writing = store.begin_write().await.expect("a turn");
    for unknown in 1_000..1_100 {
        let forgotten = timeout(SOON, store.forget_source(unknown)).await;
        assert_eq!(
            forgotten.expect("at once").expect("read"),
            Vec::<u64>::new()
        );
        let forgotten = timeout(SOON, store.forget_channel(unknown, None)).await;
        assert_eq!(forgotten.expect("at once").expect("read"), 0);
        let forgotten = timeout(SOON, store.forget_guild(unknown)).await;
        forgotten.expect("at once").expect("read");
    }
    drop(writing);
    assert_eq!(length(), before, "the log is left alone");
    store.forget_source(1).await.expect("forgotten");
    assert_eq!(length(), 0, "deleting a known message empties the log");
}

#[tokio::test]
async fn concurrent_settings_changes_are_all_kept() {
    let folder = TempDir::new().expect("a folder");
    let (store, _) = open(&folder).await.expect("fresh");
    let mut changing = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = store.clone();
        changing.spawn(async move {
            let add = |before: Option<String>| {
                let before = before.unwrap_or_default();
                Ok(Some(format!("{before}{number} ")))
            };
            store.update_guild_settings(7, add).await
        });
    }
    while let Some(changed) = changing.join_next().await {
        changed.expect("no panic").expect("changed");
    }
    let settings = store.guild_settings(7).await.expect("read");
    let settings = settings.expect("there");
    assert_eq!(settings.split_whitespace().count(), 20, "{settings}");
    store
        .update_guild_settings(7, |_| Ok(None))
        .await
        .expect("left");
    assert_eq!(store.guild_settings(7).await.expect("read"), Some(settings));
}
