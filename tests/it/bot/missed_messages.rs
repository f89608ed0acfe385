//! What came while nobody listened is read back, each place on its own.

use sandbox::{DiscordEndpoint, Fault};
use serde_json::json;

use super::harness::{BotFixture, question_recording};

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_does_not_answer_holds_up_no_other() {
    let (mut scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let second = scene.discord.add_guild("Orchard");
    let there = second.add_text_channel("general");
    let cleo = second.add_member("Cleo");
    cleo.grant_manage_guild();
    let on = cleo.run_command(&there, "/settings notes", json!({"on": true}));
    on.await
        .wait_for_answer_containing("Voice messages are answered in")
        .await;
    let direct = scene.ben.dm_channel();
    let known = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&known)
        .await
        .wait_until_done()
        .await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    scene.discord.wait_until_disconnected().await;
    let missed = [
        scene
            .ana
            .send_voice_message(&scene.channel, question_recording())
            .await,
        cleo.send_voice_message(&there, question_recording()).await,
        scene
            .ben
            .send_voice_message(&direct, question_recording())
            .await,
    ];
    // Whichever page is asked for first never comes, and the second one not at once.
    scene
        .discord
        .add_fault(DiscordEndpoint::ListMessages, Fault::hang());
    scene
        .discord
        .add_fault(DiscordEndpoint::ListMessages, Fault::status(503));
    let _bot = scene.start().await;
    let answered = || {
        let replies = missed.iter().filter_map(sandbox::Message::bot_reply);
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
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let direct = scene.ben.dm_channel();
    let known = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&known)
        .await
        .wait_until_done()
        .await;
    bot.kill().await;
    scene.discord.wait_until_disconnected().await;
    let missed = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene.discord.set_recommended_shards(3);
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
    bot.wait_for_log_times("caught up", 3).await;
    assert_eq!(pages(), before + 1);
    scene
        .ben
        .wait_for_reply(&missed)
        .await
        .wait_until_done()
        .await;
    assert_eq!(missed.bot_replies().len(), 1);
}
