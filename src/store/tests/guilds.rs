//! Guilds, channels and conversations.

use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn a_reply_finds_its_conversation() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    for (message, parent) in [(10, None), (11, Some(10)), (12, Some(11)), (13, None)] {
        let turn = turn(message, parent, TurnRole::User);
        store.save_turn(&turn).await.expect("written");
    }
    let messages = |turns: Vec<StoredTurn>| turns.iter().map(|it| it.message).collect::<Vec<_>>();
    assert_eq!(
        messages(store.reply_chain(12, 9).await.expect("read")),
        [10, 11, 12]
    );
    assert_eq!(
        messages(store.reply_chain(12, 2).await.expect("read")),
        [11, 12]
    );
    assert!(store.reply_chain(99, 9).await.expect("read").is_empty());
    assert_eq!(
        messages(store.latest_turns(2, 2).await.expect("read")),
        [12, 13]
    );

    let cycle = turn(10, Some(12), TurnRole::User);
    store.save_turn(&cycle).await.expect("written");
    assert_eq!(
        messages(store.reply_chain(12, 50).await.expect("read")),
        [10, 11, 12]
    );
}

#[tokio::test]
async fn guild_settings_last_until_the_bot_is_removed() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    assert_eq!(store.guild_settings(1).await.expect("read"), None);
    // Notice and settings share a row and must not affect each other.
    assert!(store.claim_guild_notice(1).await.expect("claimed"));
    assert_eq!(store.guild_settings(1).await.expect("read"), None);
    for settings in [WORDS, "other words"] {
        let change = |_| Ok(Some(settings.to_owned()));
        store.update_guild_settings(1, change).await.expect("kept");
        let stored = store.guild_settings(1).await.expect("read");
        assert_eq!(stored.as_deref(), Some(settings));
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
        let job = JobDetails {
            guild: None,
            channel,
            ..job_details(source)
        };
        store.accept_job(&job, NOON).await.expect("accepted");
    }
    accept(&store, 4).await;
    assert_eq!(
        store.recent_direct_channels(9).await.expect("read"),
        [100, 200]
    );
    assert_eq!(store.recent_direct_channels(1).await.expect("read"), [100]);
}
