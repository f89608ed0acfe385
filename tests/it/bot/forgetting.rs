//! What people take back is gone, wherever they ask for it.

use sandbox::{Fault, Gate, Message, OpenAiEndpoint};
use serde_json::json;

use super::running::{Scene, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_message_is_as_good_a_place_to_be_forgotten_as_any() {
    let (scene, mut bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    scene.ben.sees_reply_to(&note).await.until_done().await;
    let direct = scene.ben.direct();
    let note = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&note).await.until_done().await;
    // It is shown a moment before it is remembered.
    bot.until_it_says_times("outcome=\"answered\"", 2).await;
    let response = scene.ben.runs(&direct, "/forget-me", json!({})).await;
    let answer = response.answer_with("Done: ").await;
    assert!(
        answer
            .text()
            .starts_with("Done: 2 requests and 4 pieces of conversation are deleted."),
        "{}",
        answer.text()
    );
    let response = scene.ben.runs(&direct, "/forget-me", json!({})).await;
    response.answer_with("Done: 0 requests and 0 pieces").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_in_direct_messages_can_be_reset() {
    let (scene, _bot) = Scene::with_bot().await;
    let direct = scene.ben.direct();
    let note = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&note).await.until_done().await;
    let response = scene.ben.runs(&direct, "/reset", json!({})).await;
    response
        .answer_with("Forgotten. The conversation here starts anew.")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_messages_answer_every_command_that_is_not_about_a_server() {
    let (scene, _bot) = Scene::with_bot().await;
    let direct = scene.ben.direct();
    let note = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&note).await.until_done().await;
    for (command, words) in [
        ("/usage", "tokens"),
        ("/privacy", "AssemblyAI"),
        ("/help", "/ask"),
        ("/reset", "Forgotten."),
        ("/forget-me", "Done: "),
    ] {
        let response = scene.ben.runs(&direct, command, json!({})).await;
        let answer = response.answer_with(words).await;
        assert!(answer.is_private(), "{command}");
    }
    for command in ["/join", "/leave", "/session", "/summary"] {
        let response = scene.ben.runs(&direct, command, json!({})).await;
        response.answer_with("This works only in a server").await;
    }
}

/// Ana has Ben's note answered. Gives the note and the answer.
async fn answered_for_ana(scene: &Scene) -> (Message, Message) {
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let response = scene.ana.uses_menu(&note, "Answer this").await;
    let answer = response.answer_with("Paris.").await;
    answer.until_done().await;
    (note, answer)
}

/// What the model reads when Ana goes on with an answer.
async fn known_of(scene: &Scene, answer: &Message) -> String {
    // Also if what it replies to is gone.
    let me = scene.discord.bot_id();
    let further = format!("<@{me}> Are you sure?");
    let further = scene.ana.replies(answer, &further).await;
    scene.ana.sees_reply_to(&further).await.until_done().await;
    let asked = scene.sandbox.openai().requests();
    asked.last().expect("a question").text()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_somebody_elses_note_says_whose_words_it_is_about() {
    let (scene, _bot) = Scene::with_bot().await;
    let (_, answer) = answered_for_ana(&scene).await;
    let shown = answer.until_done().await;
    let expected = "> **Ben:** What is the capital of France?\nParis.";
    assert!(shown.starts_with(expected), "{shown}");
    let asked = known_of(&scene, &answer).await;
    assert!(
        asked.contains("Ben: What is the capital of France?"),
        "{asked}"
    );
    assert!(asked.contains("Ana: Are you sure?"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_their_note_deletes_what_others_had_answered_about_it() {
    let (scene, _bot) = Scene::with_bot().await;
    let (note, answer) = answered_for_ana(&scene).await;
    note.delete();
    answer.until_deleted().await;
    let asked = known_of(&scene, &answer).await;
    assert!(!asked.contains("capital of France"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_can_have_an_answer_about_ones_words_to_the_other_forgotten() {
    for is_author in [true, false] {
        let (scene, mut bot) = Scene::with_bot().await;
        let (_, answer) = answered_for_ana(&scene).await;
        bot.until_it_says_times("outcome=\"answered\"", 1).await;
        let who = if is_author { &scene.ben } else { &scene.ana };
        let response = who.runs(&scene.channel, "/forget-me", json!({})).await;
        response.answer_with("Done: 1 requests and 2 pieces").await;
        answer.until_deleted().await;
        let asked = known_of(&scene, &answer).await;
        assert!(!asked.contains("capital of France"), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_being_answered_about_ones_note_ends_with_the_note_and_with_ones_leave() {
    for by_deleting in [true, false] {
        let (scene, _bot) = Scene::with_bot().await;
        let llm = scene.sandbox.openai();
        let gate = Gate::new();
        llm.fault(OpenAiEndpoint::Chat, Fault::gate_after_pieces(&gate, 1));
        llm.says_pieces(["Paris", " it is."]);
        let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
        let response = scene.ana.uses_menu(&note, "Answer this").await;
        let answer = response.answer_with("Paris").await;
        gate.reached().await;
        if by_deleting {
            note.delete();
        } else {
            let response = scene
                .ben
                .runs(&scene.channel, "/forget-me", json!({}))
                .await;
            response.answer_with("Done: ").await;
        }
        answer.until_deleted().await;
        gate.open();
        let reset = scene.ana.runs(&scene.channel, "/reset", json!({})).await;
        reset.answer_with("There was nothing to forget here.").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_somebody_elses_note_keeps_their_words_apart() {
    let (scene, _bot) = Scene::with_bot().await;
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let me = scene.discord.bot_id();
    let asking = scene
        .ana
        .replies(&note, &format!("<@{me}> What is meant?"))
        .await;
    let answer = scene.ana.sees_reply_to(&asking).await;
    answer.until_done().await;
    let asked = scene.sandbox.openai().requests();
    let asked = asked.last().expect("a question").text();
    assert!(
        asked.contains("Ben: What is the capital of France?"),
        "{asked}"
    );
    assert!(asked.contains("Ana: What is meant?"), "{asked}");
    note.delete();
    answer.until_deleted().await;
    let asked = known_of(&scene, &answer).await;
    assert!(!asked.contains("capital of France"), "{asked}");
}
