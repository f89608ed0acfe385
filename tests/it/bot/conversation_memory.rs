//! What the bot remembers of a conversation.

use serde_json::{Value, json};

use super::harness::{BotFixture, question_recording};

/// The turns of the last request to the model, as `role: text`.
fn sent_turns(scene: &BotFixture) -> Vec<String> {
    let asked = scene.sandbox.openai().requests();
    let body = asked.last().expect("a request").json();
    let messages = body["messages"].as_array().expect("messages");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    messages
        .iter()
        .filter(|message| message["role"] != "system" && message["role"] != "developer")
        .map(|message| format!("{}: {}", text(&message["role"]), text(&message["content"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_goes_on_with_its_conversation_by_voice_or_text() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    // Ben joins in, typed, in a channel where he needs no name for that.
    let further = scene
        .ben
        .send_reply(&reply, "How many people live there?")
        .await;
    let reply = scene.ben.wait_for_reply(&further).await;
    reply.wait_until_done().await;
    assert_eq!(
        sent_turns(&scene),
        [
            "user: Ana: What is the capital of France?",
            "assistant: Paris.",
            "user: Ben: How many people live there?",
        ]
    );
    scene.sandbox.assemblyai().set_transcript("And in Lyon?");
    let further = scene
        .ana
        .reply_with_voice_message(&reply, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&further)
        .await
        .wait_until_done()
        .await;
    assert_eq!(sent_turns(&scene).len(), 5);
    assert_eq!(sent_turns(&scene)[4], "user: Ana: And in Lyon?");
    // A note that replies to nothing starts anew.
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    assert_eq!(sent_turns(&scene), ["user: And in Lyon?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_one_conversation() {
    let (scene, mut bot) = BotFixture::new_with_bot().await;
    let thread = scene.channel.add_thread("talk");
    for (who, text) in [
        (&scene.ana, "My cat is called Mo."),
        (&scene.ben, "And mine Li."),
    ] {
        let said = who.mention_bot(&thread, text).await;
        who.wait_for_reply(&said).await.wait_until_done().await;
    }
    let options = json!({"question": "What are our cats called?"});
    let response = scene.ana.run_command(&thread, "/ask", options).await;
    response.wait_for_answer_containing("Paris.").await;
    assert_eq!(
        sent_turns(&scene),
        [
            "user: Ana: My cat is called Mo.",
            "assistant: Paris.",
            "user: Ben: And mine Li.",
            "assistant: Paris.",
            "user: Ana: What are our cats called?",
        ]
    );
    bot.wait_for_log_times("outcome=\"answered\"", 3).await;
    let reset = scene.ben.run_command(&thread, "/reset", json!({})).await;
    reset
        .wait_for_answer_containing("The conversation here starts over")
        .await;
    let said = scene.ana.mention_bot(&thread, "Hello?").await;
    scene
        .ana
        .wait_for_reply(&said)
        .await
        .wait_until_done()
        .await;
    assert_eq!(sent_turns(&scene), ["user: Hello?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_does_not_know_is_read_from_discord() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let said = scene
        .ben
        .says(&scene.channel, "The bridge is 90 m long.")
        .await;
    let asked = {
        let bot = scene.discord.bot_id();
        scene
            .ana
            .send_reply(&said, &format!("<@{bot}> Is that long?"))
            .await
    };
    scene
        .ana
        .wait_for_reply(&asked)
        .await
        .wait_until_done()
        .await;
    assert_eq!(
        sent_turns(&scene),
        [
            "user: Ben: The bridge is 90 m long.",
            "user: Ana: Is that long?"
        ]
    );
    // What it replies to may be gone.
    let said = scene.ben.says(&scene.channel, "Soon deleted.").await;
    said.delete();
    let bot = scene.discord.bot_id();
    let asked = scene
        .ana
        .send_reply(&said, &format!("<@{bot}> What was that?"))
        .await;
    scene
        .ana
        .wait_for_reply(&asked)
        .await
        .wait_until_done()
        .await;
    assert_eq!(sent_turns(&scene), ["user: What was that?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_answer_is_not_remembered_for_others() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let thread = scene.channel.add_thread("talk");
    let secret = json!({"question": "My secret is 42.", "private": true});
    let response = scene.ana.run_command(&thread, "/ask", secret).await;
    response.wait_for_answer_containing("Paris.").await;
    let said = scene
        .ben
        .mention_bot(&thread, "What is Ana's secret?")
        .await;
    scene
        .ben
        .wait_for_reply(&said)
        .await
        .wait_until_done()
        .await;
    assert_eq!(sent_turns(&scene), ["user: What is Ana's secret?"]);
}
