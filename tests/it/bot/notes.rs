//! Voice notes: sent, heard, answered.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{Endpoint, Fault, Gate, OpenAiEndpoint};

use super::running::{Scene, question, recording};

#[tokio::test(flavor = "multi_thread")]
async fn a_note_in_a_direct_message_is_answered() {
    let (scene, _bot) = Scene::with_bot().await;
    let gate = Gate::new();
    let stt = scene.sandbox.assemblyai();
    stt.fault(Endpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    let reply = scene.ana.sees_reply_to(&note).await;
    let listens = |text: &str| text.starts_with("-# Listening to 3 s");
    reply.until("that it listens", listens).await;
    gate.open();
    let text = reply.until_done().await;
    assert_eq!(text, "> **Ana:** What is the capital of France?\nParis.");
    assert_eq!(note.replies().len(), 1);
    assert_eq!(scene.discord.rate_limited(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_server_notes_are_answered_where_they_are_switched_on() {
    let (scene, _bot) = Scene::with_bot().await;
    let ignored = scene.ana.sends_voice_note(&scene.channel, question()).await;
    scene.notes_on().await;
    let elsewhere = scene.guild.channel("elsewhere");
    let also_ignored = scene.ben.sends_voice_note(&elsewhere, question()).await;
    scene.ben.is_called("*Benny*");
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let text = scene.ben.sees_reply_to(&note).await.until_done().await;
    insta::assert_snapshot!(text);
    // The line for newcomers is said once.
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let text = scene.ben.sees_reply_to(&note).await.until_done().await;
    assert!(!text.contains("First time"), "{text}");
    assert!(ignored.reply().is_none() && also_ignored.reply().is_none());
    // A thread of the channel counts as the channel.
    let thread = scene.channel.thread("talk");
    let note = scene.ben.sends_voice_note(&thread, question()).await;
    scene.ben.sees_reply_to(&note).await.until_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_streams_no_oftener_than_the_channel_bears() {
    let (scene, _bot) = Scene::with_bot().await;
    let words: Vec<String> = (0..60).map(|number| format!("word{number} ")).collect();
    let llm = scene.sandbox.openai();
    llm.says_pieces(words.clone());
    llm.takes_between_pieces(Duration::from_millis(60));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    let reply = scene.ana.sees_reply_to(&note).await;
    let text = reply.until_done().await;
    assert!(text.ends_with(words.concat().trim()), "{text}");
    let partial: Vec<_> = reply
        .versions()
        .into_iter()
        .zip(reply.times())
        .filter(|(text, _)| text.ends_with('…') && text.contains("word0"))
        .map(|(_, at)| at)
        .collect();
    assert!(partial.len() >= 2, "{:?}", reply.versions());
    for pair in partial.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(1_000));
    }
    assert_eq!(scene.discord.rate_limited(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_goes_on_in_further_messages_and_then_in_a_file() {
    let mut scene = Scene::new().await;
    scene.set("CHAT_MAX_TOKENS", "8000");
    let _bot = scene.start().await;
    let llm = scene.sandbox.openai();
    let line = "- a line of a list that says something, and then says something else\n";
    let code = "    let answer = 42; // the line of a program\n";
    let long = format!(
        "Here:\n\n{}\n```rust\n{}```\nDone.",
        line.repeat(30),
        code.repeat(40)
    );
    llm.says(&long);
    let channel = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    let end = scene.ana.sees(&channel, "Done.").await;
    end.until_done().await;
    let parts = channel.sent_by_bot();
    assert!((2..=4).contains(&parts.len()), "{}", parts.len());
    assert_eq!(parts[0].id(), reply.id());
    let mut whole = String::new();
    for part in &parts {
        let text = part.text();
        assert!(text.chars().count() <= 2_000);
        assert_eq!(text.matches("```").count() % 2, 0, "{text}");
        whole.push_str(&text);
    }
    assert_eq!(whole.matches("- a line of a list").count(), 30);
    assert_eq!(whole.matches("let answer = 42").count(), 40);
    assert!(reply.buttons().is_empty() && !end.buttons().is_empty());

    llm.says(&line.repeat(200));
    let note = scene
        .ben
        .sends_voice_note(&scene.ben.direct(), question())
        .await;
    scene.ben.sees_reply_to(&note).await;
    let last = scene.ben.direct().sent_by_bot();
    let done = async {
        loop {
            let last = scene.ben.direct().sent_by_bot();
            if last.len() == 4 && !last[3].buttons().is_empty() {
                return last;
            }
            tokio::task::yield_now().await;
        }
    };
    drop(last);
    let parts = tokio::time::timeout(Duration::from_secs(30), done)
        .await
        .expect("four messages");
    let files = parts[3].files();
    assert_eq!(files[0].0, "answer.md");
    assert_eq!(files[0].1, line.repeat(200).trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_note_is_quoted_as_far_as_it_fits_and_comes_as_a_file() {
    let (scene, _bot) = Scene::with_bot().await;
    let words = "Much is said in this one. ".repeat(60);
    scene.sandbox.assemblyai().hears(&words);
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    let reply = scene.ana.sees_reply_to(&note).await;
    let text = reply.until_done().await;
    assert!(text.chars().count() < 1_100, "{text}");
    assert!(text.ends_with("…\nParis."), "{text}");
    let [(name, file)] = &reply.files()[..] else {
        panic!("one file");
    };
    assert_eq!(name, "voice-message.txt");
    assert_eq!(file, words.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_noise_are_told_so() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.sandbox.assemblyai().hears("");
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    let text = scene.ana.sees_reply_to(&note).await.until_done().await;
    assert_eq!(text, "I couldn't hear any speech in the recording.");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_note_takes_the_answer_with_it() {
    let (scene, mut bot) = Scene::with_bot().await;
    let channel = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    reply.until_done().await;
    note.delete();
    reply.until_deleted().await;

    // In the middle of the work: it ends, and nobody is paid to answer.
    let asked = scene.sandbox.openai().requests().len();
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .fault(Endpoint::Sync, Fault::gate(&gate));
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    gate.reached().await;
    note.delete();
    reply.until_deleted().await;
    gate.open();

    // Editing changes nothing.
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    reply.until_done().await;
    note.edit("an edit");
    let again = scene.ana.says(&channel, "And now?").await;
    scene.ana.sees_reply_to(&again).await.until_done().await;
    assert_eq!(note.replies().len(), 1);
    assert_eq!(scene.sandbox.openai().requests().len(), asked + 2);

    // The ledger holds what was not deleted, and the words only as ciphertext.
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    for entry in std::fs::read_dir(scene.data()).expect("the ledger") {
        let bytes = std::fs::read(entry.expect("a file").path()).expect("read");
        let words = b"capital of France";
        assert!(!bytes.windows(words.len()).any(|it| it == words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_recordings_are_heard_in_order() {
    let (scene, _bot) = Scene::with_bot().await;
    scene
        .sandbox
        .assemblyai()
        .hears_in_turn(["First.", "Second.", "Third."]);
    let note = scene
        .ana
        .sends_files(
            &scene.ana.direct(),
            "What is said?",
            &[
                ("a.ogg", question()),
                ("picture.png", Bytes::from_static(b"no sound")),
                ("b.ogg", recording("capital.ogg")),
                ("c.ogg", recording("numbers.ogg")),
            ],
        )
        .await;
    let text = scene.ana.sees_reply_to(&note).await.until_done().await;
    assert_eq!(
        text,
        "> **Ana:** First.\n> **Ana:** Second.\n> **Ana:** Third.\nParis."
    );
    let asked = scene.sandbox.openai().requests();
    let said = asked.last().expect("a request").text();
    assert!(said.contains("What is said?") && said.contains("Recording 2: Second."));
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_again_answers_in_the_same_place_without_hearing_again() {
    let mut scene = Scene::new().await;
    // Enough to hear it once.
    scene.set("DAILY_MINUTES_PER_MEMBER", "1");
    let _bot = scene.start().await;
    let llm = scene.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::status(400).times(1));
    let note = scene
        .ana
        .sends_voice_note_lasting(&scene.ana.direct(), question(), 59.0)
        .await;
    let reply = scene
        .ana
        .sees_reply_with(&note, "I can't answer at the moment")
        .await;
    reply.until_done().await;
    let heard = scene.sandbox.assemblyai().requests().len();
    scene
        .ana
        .presses(&reply, "Try again")
        .await
        .until_acknowledged()
        .await;
    scene.ana.sees_reply_with(&note, "\nParis.").await;
    assert_eq!(note.replies().len(), 1);
    assert_eq!(scene.sandbox.assemblyai().requests().len(), heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_are_for_the_author_and_for_moderators() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    reply.until_done().await;
    for label in ["Delete", "Try again"] {
        let refused = scene.ben.presses(&reply, label).await.answer().await;
        assert_eq!(
            refused.text(),
            "Only whoever asked, or somebody who may manage messages, can do this."
        );
        assert!(refused.is_private());
    }
    scene.ben.may_manage_messages();
    scene.ben.presses(&reply, "Delete").await;
    reply.until_deleted().await;
    let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
    let reply = scene.ana.sees_reply_to(&note).await;
    reply.until_done().await;
    scene.ana.presses(&reply, "Delete").await;
    reply.until_deleted().await;
}
