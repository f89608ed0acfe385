//! What came while nobody listened is read back, each place on its own.

use sandbox::{DiscordEndpoint, Fault};
use serde_json::json;

use super::running::{Scene, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_does_not_answer_holds_up_no_other() {
    let (mut scene, mut bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let second = scene.discord.guild("Orchard");
    let there = second.channel("general");
    let cleo = second.member("Cleo");
    cleo.may_manage_server();
    let on = cleo.runs(&there, "/settings notes", json!({"on": true}));
    on.await.answer_with("Voice messages are answered in").await;
    let direct = scene.ben.direct();
    let known = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&known).await.until_done().await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    scene.discord.until_disconnected().await;
    let missed = [
        scene.ana.sends_voice_note(&scene.channel, question()).await,
        cleo.sends_voice_note(&there, question()).await,
        scene.ben.sends_voice_note(&direct, question()).await,
    ];
    // Whichever page is asked for first never comes, and the second one not at once.
    scene
        .discord
        .fault(DiscordEndpoint::Messages, Fault::hang());
    scene
        .discord
        .fault(DiscordEndpoint::Messages, Fault::status(503));
    let _bot = scene.start().await;
    let answered = || {
        let replies = missed.iter().filter_map(sandbox::Message::reply);
        replies.filter(|it| it.text().contains("Paris.")).count()
    };
    let two = async {
        while answered() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let two = tokio::time::timeout(std::time::Duration::from_secs(30), two).await;
    assert!(two.is_ok(), "{} of the other two are answered", answered());
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_messages_are_read_back_by_the_shard_they_come_to() {
    let (mut scene, bot) = Scene::with_bot().await;
    let direct = scene.ben.direct();
    let known = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&known).await.until_done().await;
    bot.dies().await;
    scene.discord.until_disconnected().await;
    let missed = scene.ben.sends_voice_note(&direct, question()).await;
    scene.discord.recommends_shards(3);
    let page = format!("/channels/{}/messages", direct.id());
    let discord = scene.discord.clone();
    let pages = || {
        let requests = discord.requests();
        let pages = requests
            .iter()
            .filter(|it| it.method == "GET" && it.path.ends_with(&page));
        pages.count()
    };
    let before = pages();
    let mut bot = scene.launch();
    bot.until_it_says_times("caught up", 3).await;
    assert_eq!(pages(), before + 1);
    scene.ben.sees_reply_to(&missed).await.until_done().await;
    assert_eq!(missed.replies().len(), 1);
}
