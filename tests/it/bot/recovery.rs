//! What goes wrong in the middle, and what is left of it: nothing.

use std::time::Duration;

use sandbox::{AssemblyAiEndpoint, DiscordEndpoint, Fault, Gate, OpenAiEndpoint, RecordedRequest};
use serde_json::json;

use super::harness::{BotFixture, RunningBot, question_recording};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_gone_on_with_by_the_next_one() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    let reply = scene
        .ana
        .wait_for_reply_containing(&note, "capital of France")
        .await;
    gate.wait_until_reached().await;
    bot.kill().await;
    gate.open();
    let heard = scene.sandbox.assemblyai().requests().len();
    let mut bot = scene.launch();
    bot.wait_for_log("Resuming one request from before.").await;
    assert!(reply.wait_until_done().await.ends_with("\nParis."));
    assert_eq!(note.bot_replies().len(), 1);
    // What was heard is not paid for twice; the start tries the provider out by itself.
    let again = scene.sandbox.assemblyai().requests();
    let again = again[heard..].iter().filter(|it| it.body_bytes > 1_000);
    assert_eq!(again.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_being_sent_when_the_process_died_is_not_sent_twice() {
    for nonce_is_known in [true, false] {
        let (mut scene, bot) = BotFixture::new_with_bot().await;
        // The message is made, and the bot never learns of it.
        let slow = Fault::hang_after_headers();
        scene
            .discord
            .add_fault(DiscordEndpoint::CreateMessage, slow);
        let direct = scene.ana.dm_channel();
        let note = scene
            .ana
            .send_voice_message(&direct, question_recording())
            .await;
        scene.ana.wait_for_reply(&note).await;
        bot.kill().await;
        scene.discord.clear_faults();
        if !nonce_is_known {
            scene.discord.set_nonce_lifetime(Duration::ZERO);
        }
        let _bot = scene.start().await;
        let reply = scene.ana.wait_for_reply_containing(&note, "Paris.").await;
        reply.wait_until_done().await;
        assert_eq!(direct.bot_messages().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_that_came_while_nobody_listened_are_caught_up_with() {
    let (mut scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
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
    let missed = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let chatter = scene.ana.says(&scene.channel, "nothing for a bot").await;
    let missed_too = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    let _bot = scene.start().await;
    for note in [&missed, &missed_too] {
        scene.ana.wait_for_reply(note).await.wait_until_done().await;
    }
    assert_eq!(known.bot_replies().len(), 1);
    assert!(chatter.bot_reply().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_minutes_are_caught_up_with() {
    let (mut scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    scene.discord.wait_until_disconnected().await;
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let sent = |ago| {
        scene
            .ana
            .send_past_voice_message(&scene.channel, question_recording(), ago)
    };
    let old = sent(minutes(20)).await;
    let late = sent(minutes(10)).await;
    let bot = scene.start().await;
    // One member's notes are answered in order, so the old one would have come first.
    scene
        .ana
        .wait_for_reply(&late)
        .await
        .wait_until_done()
        .await;
    assert!(old.bot_reply().is_none());
    bot.kill().await;
    scene.set("CATCH_UP_MINUTES", "30");
    let _bot = scene.start().await;
    scene.ana.wait_for_reply(&old).await.wait_until_done().await;
    assert_eq!(late.bot_replies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_may_break_in_the_middle_of_work() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let breaks: [fn(&sandbox::Discord); 4] = [
        sandbox::Discord::drop_gateway_connections,
        sandbox::Discord::request_reconnect,
        |discord| discord.close_gateway(4_000),
        sandbox::Discord::invalidate_sessions,
    ];
    for breaks in breaks {
        let gate = Gate::new();
        scene
            .sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
        let note = scene
            .ana
            .send_voice_message(&scene.channel, question_recording())
            .await;
        gate.wait_until_reached().await;
        breaks(&scene.discord);
        // Sent while nobody is connected, or just again.
        let meanwhile = scene
            .ben
            .send_voice_message(&scene.channel, question_recording())
            .await;
        gate.open();
        for note in [&note, &meanwhile] {
            scene.ana.wait_for_reply(note).await.wait_until_done().await;
            assert_eq!(note.bot_replies().len(), 1);
        }
        scene.discord.wait_until_connected(1).await;
    }
    let (_, resumes) = scene.discord.identify_and_resume_counts();
    assert!(
        resumes >= 2,
        "{:?}",
        scene.discord.identify_and_resume_counts()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_fails_for_a_while() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let direct = scene.ana.dm_channel();
    for fault in [
        Fault::status(500),
        Fault::status(503),
        Fault::close_connection(),
        Fault::status(429).retry_after(1).body(
            "application/json",
            r#"{"message": "slow", "retry_after": 0.3, "global": false}"#,
        ),
    ] {
        scene
            .discord
            .add_fault(DiscordEndpoint::CreateMessage, fault.clone().times(2));
        scene
            .discord
            .add_fault(DiscordEndpoint::EditMessage, fault.times(2));
        let note = scene
            .ana
            .send_voice_message(&direct, question_recording())
            .await;
        let reply = scene.ana.wait_for_reply_containing(&note, "Paris.").await;
        reply.wait_until_done().await;
        assert_eq!(note.bot_replies().len(), 1);
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_may_fail_while_the_bot_starts() {
    let mut scene = BotFixture::new().await;
    for endpoint in [DiscordEndpoint::Application, DiscordEndpoint::Commands] {
        scene.discord.add_fault(endpoint, Fault::status(503));
    }
    let bot = scene.start().await;
    assert!(
        bot.stderr().contains("I'll keep trying."),
        "{}",
        bot.stderr()
    );
    let direct = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    scene.discord.wait_for_commands().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn being_asked_to_end_is_obeyed_when_the_work_is_done() {
    let (scene, mut bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    gate.wait_until_reached().await;
    bot.terminate();
    scene.discord.wait_until_disconnected().await;
    gate.open();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    assert!(bot.stderr().contains("Bye."));
    let reply = note.bot_reply().expect("a reply");
    assert!(reply.text().ends_with("\nParis."), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outlives_the_process_that_took_it() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    scene
        .sandbox
        .openai()
        .add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let options = json!({"question": "What is the capital of France?"});
    let response = scene.ana.run_command(&scene.channel, "/ask", options).await;
    gate.wait_until_reached().await;
    bot.kill().await;
    gate.open();
    let _bot = scene.start().await;
    response
        .wait_for_answer_containing("Paris.")
        .await
        .wait_until_done()
        .await;
    assert_eq!(scene.channel.bot_messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_notes_that_look_alike_are_not_taken_for_each_other() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    // Both are about to be answered with the same first words; only Ana's answer is made.
    scene
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, Fault::hang());
    let bens = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene
        .discord
        .wait_until(|requests| {
            let created =
                |it: &&RecordedRequest| it.method == "POST" && it.path.ends_with("/messages");
            requests.iter().filter(created).count() == 1
        })
        .await;
    let gate = Gate::new();
    let stt = scene.sandbox.assemblyai();
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let anas = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    gate.wait_until_reached().await;
    bot.kill().await;
    scene.discord.clear_faults();
    gate.open();
    scene.discord.set_nonce_lifetime(Duration::ZERO);
    let _bot = scene.start().await;
    for note in [&bens, &anas] {
        scene
            .ana
            .wait_for_reply_containing(note, "Paris.")
            .await
            .wait_until_done()
            .await;
        assert_eq!(note.bot_replies().len(), 1);
    }
}

/// Kills the bot again and again, each time once it asks for an answer, and starts it again.
async fn kill_repeatedly(scene: &mut BotFixture, mut bot: RunningBot, times: usize) -> RunningBot {
    let asked = |requests: &[RecordedRequest]| {
        let asked = |it: &&RecordedRequest| it.path.ends_with("/chat/completions");
        requests.iter().filter(asked).count()
    };
    let mut before = 0;
    for _ in 0..times {
        let llm = scene.sandbox.openai();
        let requests = llm.wait_until(|requests| asked(requests) > before).await;
        bot.kill().await;
        before = asked(&llm.requests()).max(asked(&requests));
        bot = scene.launch();
    }
    bot
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_merely_waited_while_processes_died_is_answered_all_the_same() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::hang().always());
    let mut notes = Vec::new();
    for name in ["Cleo", "Dan", "Eve", "Finn", "Gus"] {
        let person = scene.guild.add_member(name);
        notes.push(
            person
                .send_voice_message(&person.dm_channel(), question_recording())
                .await,
        );
    }
    let bot = kill_repeatedly(&mut scene, bot, 12).await;
    scene.sandbox.openai().clear_faults();
    // What hangs already is not waited for.
    bot.kill().await;
    let _bot = scene.start().await;
    for note in &notes {
        let reply = scene.ana.wait_for_reply_containing(note, "Paris.").await;
        reply.wait_until_done().await;
        assert_eq!(note.bot_replies().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_process_each_time_is_given_up_with_a_sentence() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::hang().always());
    let direct = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&direct, question_recording())
        .await;
    let _bot = kill_repeatedly(&mut scene, bot, 10).await;
    let reply = scene
        .ana
        .wait_for_reply_containing(&note, "I tried this several times")
        .await;
    reply.wait_until_done().await;
    assert_eq!(note.bot_replies().len(), 1);
}
