//! What people take back is gone, wherever they ask for it.

use sandbox::{Fault, Gate, Message, OpenAiEndpoint};
use serde_json::json;

use super::harness::{BotFixture, question_recording};

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_message_is_as_good_a_place_to_be_forgotten_as_any() {
    let (scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    let direct = scene.ben.dm_channel();
    let note = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    // It is shown a moment before it is remembered.
    bot.wait_for_log_times("outcome=\"answered\"", 2).await;
    let response = scene
        .ben
        .run_command(&direct, "/forget-me", json!({}))
        .await;
    let answer = response.wait_for_answer_containing("Done: ").await;
    assert!(
        answer
            .text()
            .starts_with("Done: I deleted 2 requests and 4 pieces of conversation."),
        "{}",
        answer.text()
    );
    let response = scene
        .ben
        .run_command(&direct, "/forget-me", json!({}))
        .await;
    response
        .wait_for_answer_containing("Done: I deleted 0 requests and 0 pieces")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_in_direct_messages_can_be_reset() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let direct = scene.ben.dm_channel();
    let note = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    let response = scene.ben.run_command(&direct, "/reset", json!({})).await;
    response
        .wait_for_answer_containing("Forgotten. The conversation here starts over.")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_messages_answer_every_command_that_is_not_about_a_server() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let direct = scene.ben.dm_channel();
    let note = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    for (command, words) in [
        ("/usage", "tokens"),
        ("/privacy", "AssemblyAI"),
        ("/help", "/ask"),
        ("/reset", "Forgotten."),
        ("/forget-me", "Done: "),
    ] {
        let response = scene.ben.run_command(&direct, command, json!({})).await;
        let answer = response.wait_for_answer_containing(words).await;
        assert!(answer.is_private(), "{command}");
    }
    for command in ["/join", "/leave", "/session", "/summary"] {
        let response = scene.ben.run_command(&direct, command, json!({})).await;
        response
            .wait_for_answer_containing("This only works in a server")
            .await;
    }
}

/// Ana has Ben's note answered. Gives the note and the answer.
async fn ask_and_wait(scene: &BotFixture) -> (Message, Message) {
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let response = scene.ana.run_message_command(&note, "Answer this").await;
    let answer = response.wait_for_answer_containing("Paris.").await;
    answer.wait_until_done().await;
    (note, answer)
}

/// What the model reads when Ana goes on with an answer.
async fn model_context_of(scene: &BotFixture, answer: &Message) -> String {
    // Also if what it replies to is gone.
    let me = scene.discord.bot_id();
    let further = format!("<@{me}> Are you sure?");
    let further = scene.ana.send_reply(answer, &further).await;
    scene
        .ana
        .wait_for_reply(&further)
        .await
        .wait_until_done()
        .await;
    let asked = scene.sandbox.openai().requests();
    asked.last().expect("a question").text()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_somebody_elses_note_says_whose_words_it_is_about() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let (_, answer) = ask_and_wait(&scene).await;
    let shown = answer.wait_until_done().await;
    let expected = "> **Ben:** What is the capital of France?\nParis.";
    assert!(shown.starts_with(expected), "{shown}");
    let asked = model_context_of(&scene, &answer).await;
    assert!(
        asked.contains("Ben: What is the capital of France?"),
        "{asked}"
    );
    assert!(asked.contains("Ana: Are you sure?"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_their_note_deletes_what_others_had_answered_about_it() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let (note, answer) = ask_and_wait(&scene).await;
    note.delete();
    answer.wait_until_deleted().await;
    let asked = model_context_of(&scene, &answer).await;
    assert!(!asked.contains("capital of France"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_can_have_an_answer_about_ones_words_to_the_other_forgotten() {
    for is_author in [true, false] {
        let (scene, mut bot) = BotFixture::new_with_bot().await;
        let (_, answer) = ask_and_wait(&scene).await;
        bot.wait_for_log_times("outcome=\"answered\"", 1).await;
        let who = if is_author { &scene.ben } else { &scene.ana };
        let response = who
            .run_command(&scene.channel, "/forget-me", json!({}))
            .await;
        response
            .wait_for_answer_containing("Done: I deleted 1 requests and 2 pieces")
            .await;
        answer.wait_until_deleted().await;
        let asked = model_context_of(&scene, &answer).await;
        assert!(!asked.contains("capital of France"), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_answer_is_cancelled_with_its_note() {
    for by_deleting in [true, false] {
        let (scene, _bot) = BotFixture::new_with_bot().await;
        let llm = scene.sandbox.openai();
        let gate = Gate::new();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 1));
        llm.set_answer_chunks(["Paris", " it is."]);
        let note = scene
            .ben
            .send_voice_message(&scene.channel, question_recording())
            .await;
        let response = scene.ana.run_message_command(&note, "Answer this").await;
        let answer = response.wait_for_answer_containing("Paris").await;
        gate.wait_until_reached().await;
        if by_deleting {
            note.delete();
        } else {
            let response = scene
                .ben
                .run_command(&scene.channel, "/forget-me", json!({}))
                .await;
            response.wait_for_answer_containing("Done: ").await;
        }
        answer.wait_until_deleted().await;
        gate.open();
        let reset = scene
            .ana
            .run_command(&scene.channel, "/reset", json!({}))
            .await;
        reset
            .wait_for_answer_containing("There was nothing to forget here.")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_somebody_elses_note_keeps_their_words_apart() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let me = scene.discord.bot_id();
    let asking = scene
        .ana
        .send_reply(&note, &format!("<@{me}> What is meant?"))
        .await;
    let answer = scene.ana.wait_for_reply(&asking).await;
    answer.wait_until_done().await;
    let asked = scene.sandbox.openai().requests();
    let asked = asked.last().expect("a question").text();
    assert!(
        asked.contains("Ben: What is the capital of France?"),
        "{asked}"
    );
    assert!(asked.contains("Ana: What is meant?"), "{asked}");
    note.delete();
    answer.wait_until_deleted().await;
    let asked = model_context_of(&scene, &answer).await;
    assert!(!asked.contains("capital of France"), "{asked}");
}
