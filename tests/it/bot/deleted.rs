//! What was deleted stays deleted.

use std::time::Duration;

use sandbox::{DiscordEndpoint, Fault, Gate, OpenAiEndpoint};
use serde_json::json;

use super::running::{Scene, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_answer_does_not_come_back_with_the_next_process() {
    let (mut scene, mut bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    reply.until_done().await;
    scene.ana.presses(&reply, "Delete").await;
    reply.until_deleted().await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    let asked = scene.sandbox.openai().requests().len();
    let missed = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let _bot = scene.start().await;
    scene.ben.sees_reply_to(&missed).await.until_done().await;
    // Notes are read back in order: if this one had been, it would have been answered before.
    assert_eq!(note.replies().len(), 1);
    let chats = scene.sandbox.openai().requests();
    let answers = chats[asked..]
        .iter()
        .filter(|it| it.text().contains("capital of France"));
    assert_eq!(answers.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_notes_do_not_come_back_with_a_new_session() {
    let (scene, mut bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let reply = scene.ben.sees_reply_to(&note).await;
    reply.until_done().await;
    let forgotten = scene
        .ben
        .runs(&scene.channel, "/forget-me", json!({}))
        .await;
    forgotten.answer_with("Done: 1 requests").await;
    // Its reply would be a sign that it is answered.
    reply.delete();
    scene.discord.invalidates_sessions();
    bot.until_it_says_times("caught up", 2).await;
    let later = scene.ben.sends_voice_note(&scene.channel, question()).await;
    scene.ben.sees_reply_to(&later).await.until_done().await;
    assert_eq!(note.replies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_note_while_its_answer_is_delivered_leaves_nothing() {
    let mut scene = Scene::new().await;
    scene.set("CHAT_MAX_TOKENS", "8000");
    let _bot = scene.start().await;
    let line = "A line that says something, and then says something else.\n";
    let llm = scene.sandbox.openai();
    llm.says(&line.repeat(90));
    for lost in [Fault::delay(Duration::from_secs(2)), Fault::reset()] {
        let channel = scene.guild.channel("notes");
        let gate = Gate::new();
        llm.fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        let call = scene.ana.calls_bot(&channel, "What is it?").await;
        let reply = scene.ana.sees_reply_to(&call).await;
        gate.reached().await;
        // The second message is there, and the bot does not know yet, or never hears of it.
        let late = lost.once_done();
        scene.discord.fault(DiscordEndpoint::CreateMessage, late);
        gate.open();
        scene
            .ana
            .sees_that(&channel, "a second message", |seen| {
                seen.iter().filter(|it| it.is_by_bot()).count() > 1
            })
            .await;
        call.delete();
        reply.until_deleted().await;
        scene
            .ana
            .sees_that(&channel, "nothing of the bot", |seen| {
                !seen.iter().any(sandbox::Message::is_by_bot)
            })
            .await;
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_was_deleted_unheard_is_not_answered() {
    let (mut scene, bot) = Scene::with_bot().await;
    let hang = Fault::hang();
    scene.discord.fault(DiscordEndpoint::CreateMessage, hang);
    let call = scene.ana.calls_bot(&scene.channel, "What is it?").await;
    let created = |it: &&sandbox::Recorded| it.method == "POST" && it.path.ends_with("/messages");
    scene
        .discord
        .wait_until(|requests| requests.iter().any(|it| created(&it)))
        .await;
    bot.dies().await;
    scene.discord.clear_faults();
    call.delete();
    let mut bot = scene.start().await;
    bot.until_it_says("caught up").await;
    let next = scene.ana.calls_bot(&scene.channel, "And now?").await;
    scene.ana.sees_reply_to(&next).await.until_done().await;
    let mine = scene.channel.sent_by_bot();
    assert_eq!(mine.len(), 1, "only the one that is there is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_answer_survives_any_number_of_beginnings() {
    let (mut scene, mut bot) = Scene::with_bot().await;
    let channel = scene.ana.direct();
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    let reply = scene.ana.sees_reply_with(&note, "Thinking").await;
    gate.reached().await;
    let down = || Fault::status(503).always();
    scene.discord.fault(DiscordEndpoint::EditMessage, down());
    gate.open();
    for _ in 0..11 {
        bot.until_it_says("tried again").await;
        bot.dies().await;
        bot = scene.launch();
    }
    bot.until_it_says("tried again").await;
    scene.discord.clear_faults();
    assert!(reply.until_done().await.ends_with("\nParis."));
    let asked = llm.requests();
    let asked = asked
        .iter()
        .filter(|it| it.text().contains("capital of France"));
    assert_eq!(asked.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cant_be_read_ends_with_a_sentence_and_stops_nobody_else() {
    let (mut scene, bot) = Scene::with_bot().await;
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let channel = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    let reply = scene.ana.sees_reply_with(&note, "Thinking").await;
    gate.reached().await;
    bot.dies().await;
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
    let text = reply.until_done().await;
    assert_eq!(
        text,
        "I can no longer read what was asked here. Send it again."
    );
    let next = scene.ana.sends_voice_note(&channel, question()).await;
    scene.ana.sees_reply_to(&next).await.until_done().await;
}
