//! What the bot remembers of a conversation.

use serde_json::{Value, json};

use super::running::{Scene, question};

/// The turns of the last request to the model, as `role: text`.
fn turns(scene: &Scene) -> Vec<String> {
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
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    reply.until_done().await;
    // Ben joins in, typed, in a channel where he needs no name for that.
    let further = scene
        .ben
        .replies(&reply, "How many people live there?")
        .await;
    let reply = scene.ben.sees_reply_to(&further).await;
    reply.until_done().await;
    assert_eq!(
        turns(&scene),
        [
            "user: Ana: What is the capital of France?",
            "assistant: Paris.",
            "user: Ben: How many people live there?",
        ]
    );
    scene.sandbox.assemblyai().hears("And in Lyon?");
    let further = scene.ana.replies_with_voice_note(&reply, question()).await;
    scene.ana.sees_reply_to(&further).await.until_done().await;
    assert_eq!(turns(&scene).len(), 5);
    assert_eq!(turns(&scene)[4], "user: Ana: And in Lyon?");
    // A note that replies to nothing starts anew.
    let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
    assert_eq!(turns(&scene), ["user: And in Lyon?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_is_one_conversation() {
    let (scene, mut bot) = Scene::with_bot().await;
    let thread = scene.channel.thread("talk");
    for (who, text) in [
        (&scene.ana, "My cat is called Mo."),
        (&scene.ben, "And mine Li."),
    ] {
        let said = who.calls_bot(&thread, text).await;
        who.sees_reply_to(&said).await.until_done().await;
    }
    let options = json!({"question": "What are our cats called?"});
    let response = scene.ana.runs(&thread, "/ask", options).await;
    response.answer_with("Paris.").await;
    assert_eq!(
        turns(&scene),
        [
            "user: Ana: My cat is called Mo.",
            "assistant: Paris.",
            "user: Ben: And mine Li.",
            "assistant: Paris.",
            "user: Ana: What are our cats called?",
        ]
    );
    bot.until_it_says_times("outcome=\"answered\"", 3).await;
    let reset = scene.ben.runs(&thread, "/reset", json!({})).await;
    reset.answer_with("The conversation here starts anew").await;
    let said = scene.ana.calls_bot(&thread, "Hello?").await;
    scene.ana.sees_reply_to(&said).await.until_done().await;
    assert_eq!(turns(&scene), ["user: Hello?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_does_not_know_is_read_from_discord() {
    let (scene, _bot) = Scene::with_bot().await;
    let said = scene
        .ben
        .says(&scene.channel, "The bridge is 90 m long.")
        .await;
    let asked = {
        let bot = scene.discord.bot_id();
        scene
            .ana
            .replies(&said, &format!("<@{bot}> Is that long?"))
            .await
    };
    scene.ana.sees_reply_to(&asked).await.until_done().await;
    assert_eq!(
        turns(&scene),
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
        .replies(&said, &format!("<@{bot}> What was that?"))
        .await;
    scene.ana.sees_reply_to(&asked).await.until_done().await;
    assert_eq!(turns(&scene), ["user: What was that?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_answer_is_not_remembered_for_others() {
    let (scene, _bot) = Scene::with_bot().await;
    let thread = scene.channel.thread("talk");
    let secret = json!({"question": "My secret is 42.", "private": true});
    let response = scene.ana.runs(&thread, "/ask", secret).await;
    response.answer_with("Paris.").await;
    let said = scene.ben.calls_bot(&thread, "What is Ana's secret?").await;
    scene.ben.sees_reply_to(&said).await.until_done().await;
    assert_eq!(turns(&scene), ["user: What is Ana's secret?"]);
}
