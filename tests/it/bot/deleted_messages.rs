//! What was deleted stays deleted.

use std::time::Duration;

use sandbox::{DiscordEndpoint, Fault, Gate, OpenAiEndpoint};
use serde_json::json;

use super::harness::{BotFixture, question_recording};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_answer_does_not_come_back_with_the_next_process() {
    let (mut scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    scene.ana.press_button(&reply, "Delete").await;
    reply.wait_until_deleted().await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    let asked = scene.sandbox.openai().requests().len();
    let missed = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let _bot = scene.start().await;
    scene
        .ben
        .wait_for_reply(&missed)
        .await
        .wait_until_done()
        .await;
    // Notes are read back in order: if this one had been, it would have been answered before.
    assert_eq!(note.bot_replies().len(), 1);
    let chats = scene.sandbox.openai().requests();
    let answers = chats[asked..]
        .iter()
        .filter(|it| it.text().contains("capital of France"));
    assert_eq!(answers.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_notes_do_not_come_back_with_a_new_session() {
    let (scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ben.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    let forgotten = scene
        .ben
        .run_command(&scene.channel, "/forget-me", json!({}))
        .await;
    forgotten
        .wait_for_answer_containing("Done: I deleted 1 requests")
        .await;
    // Its reply would be a sign that it is answered.
    reply.delete();
    scene.discord.invalidate_sessions();
    bot.wait_for_log_times("caught up", 2).await;
    let later = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&later)
        .await
        .wait_until_done()
        .await;
    assert_eq!(note.bot_replies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_note_while_its_answer_is_delivered_leaves_nothing() {
    let mut scene = BotFixture::new().await;
    scene.set("CHAT_MAX_TOKENS", "8000");
    let _bot = scene.start().await;
    let line = "A line that says something, and then says something else.\n";
    let llm = scene.sandbox.openai();
    llm.says(&line.repeat(90));
    for lost in [
        Fault::delay(Duration::from_secs(2)),
        Fault::reset_connection(),
    ] {
        let channel = scene.guild.add_text_channel("notes");
        let gate = Gate::new();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        let call = scene.ana.mention_bot(&channel, "What is it?").await;
        let reply = scene.ana.wait_for_reply(&call).await;
        gate.wait_until_reached().await;
        // The second message is there, and the bot does not know yet, or never hears of it.
        let late = lost.after_processing();
        scene
            .discord
            .add_fault(DiscordEndpoint::CreateMessage, late);
        gate.open();
        scene
            .ana
            .wait_for_visible(&channel, "a second message", |seen| {
                seen.iter().filter(|it| it.is_by_bot()).count() > 1
            })
            .await;
        call.delete();
        reply.wait_until_deleted().await;
        scene
            .ana
            .wait_for_visible(&channel, "nothing of the bot", |seen| {
                !seen.iter().any(sandbox::Message::is_by_bot)
            })
            .await;
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_was_deleted_unheard_is_not_answered() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let hang = Fault::hang();
    scene
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, hang);
    let call = scene.ana.mention_bot(&scene.channel, "What is it?").await;
    let created =
        |it: &&sandbox::RecordedRequest| it.method == "POST" && it.path.ends_with("/messages");
    scene
        .discord
        .wait_until(|requests| requests.iter().any(|it| created(&it)))
        .await;
    bot.kill().await;
    scene.discord.clear_faults();
    call.delete();
    let mut bot = scene.start().await;
    bot.wait_for_log("caught up").await;
    let next = scene.ana.mention_bot(&scene.channel, "And now?").await;
    scene
        .ana
        .wait_for_reply(&next)
        .await
        .wait_until_done()
        .await;
    let mine = scene.channel.bot_messages();
    assert_eq!(mine.len(), 1, "only the one that is there is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_answer_survives_any_number_of_beginnings() {
    let (mut scene, mut bot) = BotFixture::new_with_bot().await;
    let channel = scene.ana.dm_channel();
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply_containing(&note, "Thinking").await;
    gate.wait_until_reached().await;
    let down = || Fault::status(503).always();
    scene
        .discord
        .add_fault(DiscordEndpoint::EditMessage, down());
    gate.open();
    for _ in 0..11 {
        bot.wait_for_log("tried again").await;
        bot.kill().await;
        bot = scene.launch();
    }
    bot.wait_for_log("tried again").await;
    scene.discord.clear_faults();
    assert!(reply.wait_until_done().await.ends_with("\nParis."));
    let asked = llm.requests();
    let asked = asked
        .iter()
        .filter(|it| it.text().contains("capital of France"));
    assert_eq!(asked.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cant_be_read_ends_with_a_sentence_and_stops_nobody_else() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let channel = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply_containing(&note, "Thinking").await;
    gate.wait_until_reached().await;
    bot.kill().await;
    gate.open();
    let ledger =
        sqlx::sqlite::SqliteConnectOptions::new().filename(scene.data().join("talkback.db"));
    let ledger = sqlx::SqlitePool::connect_with(ledger)
        .await
        .expect("a ledger");
    let damage = sqlx::query("UPDATE job SET payload = x'00'")
        .execute(&ledger)
        .await;
    assert_eq!(damage.expect("damaged").rows_affected(), 1);
    ledger.close().await;
    let _bot = scene.start().await;
    let text = reply.wait_until_done().await;
    assert_eq!(
        text,
        "I can no longer read what was asked here. Send it again."
    );
    let next = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&next)
        .await
        .wait_until_done()
        .await;
}
