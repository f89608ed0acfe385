//! Voice notes: sent, heard, answered.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{AssemblyAiEndpoint, Fault, Gate, OpenAiEndpoint};

use super::harness::{BotFixture, question_recording, sample_bytes};

#[tokio::test(flavor = "multi_thread")]
async fn a_note_in_a_direct_message_is_answered() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    let stt = scene.sandbox.assemblyai();
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    let listens = |text: &str| text.starts_with("-# Listening to 3 s");
    reply.wait_until("that it listens", listens).await;
    gate.open();
    let text = reply.wait_until_done().await;
    assert_eq!(text, "> **Ana:** What is the capital of France?\nParis.");
    assert_eq!(note.bot_replies().len(), 1);
    assert_eq!(scene.discord.rate_limited_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_server_notes_are_answered_where_they_are_switched_on() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let ignored = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene.enable_notes().await;
    let elsewhere = scene.guild.add_text_channel("elsewhere");
    let also_ignored = scene
        .ben
        .send_voice_message(&elsewhere, question_recording())
        .await;
    scene.ben.set_nick("*Benny*");
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let text = scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    insta::assert_snapshot!(text);
    // The line for newcomers is said once.
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let text = scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    assert!(!text.contains("First time"), "{text}");
    assert!(ignored.bot_reply().is_none() && also_ignored.bot_reply().is_none());
    // A thread of the channel counts as the channel.
    let thread = scene.channel.add_thread("talk");
    let note = scene
        .ben
        .send_voice_message(&thread, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_streams_no_oftener_than_the_channel_bears() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let words: Vec<String> = (0..60).map(|number| format!("word{number} ")).collect();
    let llm = scene.sandbox.openai();
    llm.set_answer_chunks(words.clone());
    llm.set_chunk_delay(Duration::from_millis(60));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    let text = reply.wait_until_done().await;
    assert!(text.ends_with(words.concat().trim()), "{text}");
    let partial: Vec<_> = reply
        .versions()
        .into_iter()
        .zip(reply.version_times())
        .filter(|(text, _)| text.ends_with('…') && text.contains("word0"))
        .map(|(_, at)| at)
        .collect();
    assert!(partial.len() >= 2, "{:?}", reply.versions());
    for pair in partial.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(1_000));
    }
    assert_eq!(scene.discord.rate_limited_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_goes_on_in_further_messages_and_then_in_a_file() {
    let mut scene = BotFixture::new().await;
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
    let channel = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    let end = scene.ana.wait_for_message(&channel, "Done.").await;
    end.wait_until_done().await;
    let parts = channel.bot_messages();
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
        .send_voice_message(&scene.ben.dm_channel(), question_recording())
        .await;
    scene.ben.wait_for_reply(&note).await;
    let last = scene.ben.dm_channel().bot_messages();
    let done = async {
        loop {
            let last = scene.ben.dm_channel().bot_messages();
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
    let files = parts[3].attachments();
    assert_eq!(files[0].0, "answer.md");
    assert_eq!(files[0].1, line.repeat(200).trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_note_is_quoted_as_far_as_it_fits_and_comes_as_a_file() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let words = "Much is said in this one. ".repeat(60);
    scene.sandbox.assemblyai().set_transcript(&words);
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    let text = reply.wait_until_done().await;
    assert!(text.chars().count() < 1_100, "{text}");
    assert!(text.ends_with("…\nParis."), "{text}");
    let [(name, file)] = &reply.attachments()[..] else {
        panic!("one file");
    };
    assert_eq!(name, "voice-message.txt");
    assert_eq!(file, words.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_noise_are_told_so() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.sandbox.assemblyai().set_transcript("");
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    let text = scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    assert_eq!(text, "I couldn't hear any speech in the recording.");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_note_takes_the_answer_with_it() {
    let (scene, mut bot) = BotFixture::new_with_bot().await;
    let channel = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    note.delete();
    reply.wait_until_deleted().await;

    // In the middle of the work: it ends, and nobody is paid to answer.
    let asked = scene.sandbox.openai().requests().len();
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    gate.wait_until_reached().await;
    note.delete();
    reply.wait_until_deleted().await;
    gate.open();

    // Editing changes nothing.
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    note.edit("an edit");
    let again = scene.ana.says(&channel, "And now?").await;
    scene
        .ana
        .wait_for_reply(&again)
        .await
        .wait_until_done()
        .await;
    assert_eq!(note.bot_replies().len(), 1);
    assert_eq!(scene.sandbox.openai().requests().len(), asked + 2);

    // The ledger holds what was not deleted, and the words only as ciphertext.
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    for entry in std::fs::read_dir(scene.data()).expect("the ledger") {
        let bytes = std::fs::read(entry.expect("a file").path()).expect("read");
        let words = b"capital of France";
        assert!(!bytes.windows(words.len()).any(|it| it == words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_recordings_are_heard_in_order() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene
        .sandbox
        .assemblyai()
        .queue_transcripts(["First.", "Second.", "Third."]);
    let note = scene
        .ana
        .send_files(
            &scene.ana.dm_channel(),
            "What is said?",
            &[
                ("a.ogg", question_recording()),
                ("picture.png", Bytes::from_static(b"no sound")),
                ("b.ogg", sample_bytes("capital.ogg")),
                ("c.ogg", sample_bytes("numbers.ogg")),
            ],
        )
        .await;
    let text = scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
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
    let mut scene = BotFixture::new().await;
    // Enough to hear it once.
    scene.set("DAILY_MINUTES_PER_MEMBER", "1");
    let _bot = scene.start().await;
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::status(400).times(1));
    let note = scene
        .ana
        .send_voice_message_with_duration(&scene.ana.dm_channel(), question_recording(), 59.0)
        .await;
    let reply = scene
        .ana
        .wait_for_reply_containing(&note, "I can't answer right now")
        .await;
    reply.wait_until_done().await;
    let heard = scene.sandbox.assemblyai().requests().len();
    scene
        .ana
        .press_button(&reply, "Try again")
        .await
        .wait_until_acknowledged()
        .await;
    scene.ana.wait_for_reply_containing(&note, "\nParis.").await;
    assert_eq!(note.bot_replies().len(), 1);
    assert_eq!(scene.sandbox.assemblyai().requests().len(), heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_are_for_the_author_and_for_moderators() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    for label in ["Delete", "Try again"] {
        let refused = scene
            .ben
            .press_button(&reply, label)
            .await
            .wait_for_answer()
            .await;
        assert_eq!(
            refused.text(),
            "Only the person who asked, or someone who can manage messages, can do this."
        );
        assert!(refused.is_private());
    }
    scene.ben.grant_manage_messages();
    scene.ben.press_button(&reply, "Delete").await;
    reply.wait_until_deleted().await;
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    reply.wait_until_done().await;
    scene.ana.press_button(&reply, "Delete").await;
    reply.wait_until_deleted().await;
}
