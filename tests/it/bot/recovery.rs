//! What goes wrong in the middle, and what is left of it: nothing.

use std::time::Duration;

use sandbox::{DiscordEndpoint, Endpoint, Fault, Gate, OpenAiEndpoint, Recorded};
use serde_json::json;

use super::running::{Bot, Scene, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_gone_on_with_by_the_next_one() {
    let (mut scene, bot) = Scene::with_bot().await;
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    let reply = scene.ana.sees_reply_with(&note, "capital of France").await;
    gate.reached().await;
    bot.dies().await;
    gate.open();
    let heard = scene.sandbox.assemblyai().requests().len();
    let mut bot = scene.launch();
    bot.until_it_says("One request from before goes on.").await;
    assert!(reply.until_done().await.ends_with("\nParis."));
    assert_eq!(note.replies().len(), 1);
    // What was heard is not paid for twice; the start tries the provider out by itself.
    let again = scene.sandbox.assemblyai().requests();
    let again = again[heard..].iter().filter(|it| it.body_bytes > 1_000);
    assert_eq!(again.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_being_sent_when_the_process_died_is_not_sent_twice() {
    for nonce_is_known in [true, false] {
        let (mut scene, bot) = Scene::with_bot().await;
        // The message is made, and the bot never learns of it.
        let slow = Fault::hang_after_headers();
        scene.discord.fault(DiscordEndpoint::CreateMessage, slow);
        let direct = scene.ana.direct();
        let note = scene.ana.sends_voice_note(&direct, question()).await;
        scene.ana.sees_reply_to(&note).await;
        bot.dies().await;
        scene.discord.clear_faults();
        if !nonce_is_known {
            scene.discord.nonce_lifetime(Duration::ZERO);
        }
        let _bot = scene.start().await;
        let reply = scene.ana.sees_reply_with(&note, "Paris.").await;
        reply.until_done().await;
        assert_eq!(direct.sent_by_bot().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_that_came_while_nobody_listened_are_caught_up_with() {
    let (mut scene, mut bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let direct = scene.ben.direct();
    let known = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&known).await.until_done().await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    scene.discord.until_disconnected().await;
    let missed = scene.ana.sends_voice_note(&scene.channel, question()).await;
    let chatter = scene.ana.says(&scene.channel, "nothing for a bot").await;
    let missed_too = scene.ben.sends_voice_note(&direct, question()).await;
    let _bot = scene.start().await;
    for note in [&missed, &missed_too] {
        scene.ana.sees_reply_to(note).await.until_done().await;
    }
    assert_eq!(known.replies().len(), 1);
    assert!(chatter.reply().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_minutes_are_caught_up_with() {
    let (mut scene, mut bot) = Scene::with_bot().await;
    scene.notes_on().await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    scene.discord.until_disconnected().await;
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let sent = |ago| scene.ana.sent_voice_note(&scene.channel, question(), ago);
    let old = sent(minutes(20)).await;
    let late = sent(minutes(10)).await;
    let bot = scene.start().await;
    // One member's notes are answered in order, so the old one would have come first.
    scene.ana.sees_reply_to(&late).await.until_done().await;
    assert!(old.reply().is_none());
    bot.dies().await;
    scene.set("CATCH_UP_MINUTES", "30");
    let _bot = scene.start().await;
    scene.ana.sees_reply_to(&old).await.until_done().await;
    assert_eq!(late.replies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_may_break_in_the_middle_of_work() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let breaks: [fn(&sandbox::Discord); 4] = [
        sandbox::Discord::drops_gateway,
        sandbox::Discord::asks_reconnect,
        |discord| discord.closes_gateway(4_000),
        sandbox::Discord::invalidates_sessions,
    ];
    for breaks in breaks {
        let gate = Gate::new();
        scene
            .sandbox
            .assemblyai()
            .fault(Endpoint::Sync, Fault::gate(&gate));
        let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
        gate.reached().await;
        breaks(&scene.discord);
        // Sent while nobody is connected, or just again.
        let meanwhile = scene.ben.sends_voice_note(&scene.channel, question()).await;
        gate.open();
        for note in [&note, &meanwhile] {
            scene.ana.sees_reply_to(note).await.until_done().await;
            assert_eq!(note.replies().len(), 1);
        }
        scene.discord.until_connected(1).await;
    }
    let (_, resumes) = scene.discord.logins();
    assert!(resumes >= 2, "{:?}", scene.discord.logins());
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_fails_for_a_while() {
    let (scene, _bot) = Scene::with_bot().await;
    let direct = scene.ana.direct();
    for fault in [
        Fault::status(500),
        Fault::status(503),
        Fault::close(),
        Fault::status(429).retry_after(1).body(
            "application/json",
            r#"{"message": "slow", "retry_after": 0.3, "global": false}"#,
        ),
    ] {
        scene
            .discord
            .fault(DiscordEndpoint::CreateMessage, fault.clone().times(2));
        scene
            .discord
            .fault(DiscordEndpoint::EditMessage, fault.times(2));
        let note = scene.ana.sends_voice_note(&direct, question()).await;
        let reply = scene.ana.sees_reply_with(&note, "Paris.").await;
        reply.until_done().await;
        assert_eq!(note.replies().len(), 1);
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_may_fail_while_the_bot_starts() {
    let mut scene = Scene::new().await;
    for endpoint in [DiscordEndpoint::Application, DiscordEndpoint::Commands] {
        scene.discord.fault(endpoint, Fault::status(503));
    }
    let bot = scene.start().await;
    assert!(
        bot.log().contains("I try again by myself."),
        "{}",
        bot.log()
    );
    let direct = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&direct, question()).await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
    scene.discord.until_commands().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn being_asked_to_end_is_obeyed_when_the_work_is_done() {
    let (scene, mut bot) = Scene::with_bot().await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .fault(Endpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    gate.reached().await;
    bot.terminate();
    scene.discord.until_disconnected().await;
    gate.open();
    assert_eq!(bot.ends().await, Some(0));
    assert!(bot.log().contains("Bye."));
    let reply = note.reply().expect("a reply");
    assert!(reply.text().ends_with("\nParis."), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outlives_the_process_that_took_it() {
    let (mut scene, bot) = Scene::with_bot().await;
    let gate = Gate::new();
    scene
        .sandbox
        .openai()
        .fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let options = json!({"question": "What is the capital of France?"});
    let response = scene.ana.runs(&scene.channel, "/ask", options).await;
    gate.reached().await;
    bot.dies().await;
    gate.open();
    let _bot = scene.start().await;
    response.answer_with("Paris.").await.until_done().await;
    assert_eq!(scene.channel.sent_by_bot().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_notes_that_look_alike_are_not_taken_for_each_other() {
    let (mut scene, bot) = Scene::with_bot().await;
    scene.notes_on().await;
    // Both are about to be answered with the same first words; only Ana's answer is made.
    scene
        .discord
        .fault(DiscordEndpoint::CreateMessage, Fault::hang());
    let bens = scene.ben.sends_voice_note(&scene.channel, question()).await;
    scene
        .discord
        .wait_until(|requests| {
            let created = |it: &&Recorded| it.method == "POST" && it.path.ends_with("/messages");
            requests.iter().filter(created).count() == 1
        })
        .await;
    let gate = Gate::new();
    let stt = scene.sandbox.assemblyai();
    stt.fault(Endpoint::Sync, Fault::gate(&gate));
    let anas = scene.ana.sends_voice_note(&scene.channel, question()).await;
    gate.reached().await;
    bot.dies().await;
    scene.discord.clear_faults();
    gate.open();
    scene.discord.nonce_lifetime(Duration::ZERO);
    let _bot = scene.start().await;
    for note in [&bens, &anas] {
        scene
            .ana
            .sees_reply_with(note, "Paris.")
            .await
            .until_done()
            .await;
        assert_eq!(note.replies().len(), 1);
    }
}

/// Kills the bot again and again, each time once it asks for an answer, and starts it again.
async fn dies_again_and_again(scene: &mut Scene, mut bot: Bot, times: usize) -> Bot {
    let asked = |requests: &[Recorded]| {
        let asked = |it: &&Recorded| it.path.ends_with("/chat/completions");
        requests.iter().filter(asked).count()
    };
    let mut before = 0;
    for _ in 0..times {
        let llm = scene.sandbox.openai();
        let requests = llm.wait_until(|requests| asked(requests) > before).await;
        bot.dies().await;
        before = asked(&llm.requests()).max(asked(&requests));
        bot = scene.launch();
    }
    bot
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_merely_waited_while_processes_died_is_answered_all_the_same() {
    let (mut scene, bot) = Scene::with_bot().await;
    let llm = scene.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::hang().always());
    let mut notes = Vec::new();
    for name in ["Cleo", "Dan", "Eve", "Finn", "Gus"] {
        let person = scene.guild.member(name);
        notes.push(person.sends_voice_note(&person.direct(), question()).await);
    }
    let bot = dies_again_and_again(&mut scene, bot, 12).await;
    scene.sandbox.openai().clear_faults();
    // What hangs already is not waited for.
    bot.dies().await;
    let _bot = scene.start().await;
    for note in &notes {
        let reply = scene.ana.sees_reply_with(note, "Paris.").await;
        reply.until_done().await;
        assert_eq!(note.replies().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_process_each_time_is_given_up_with_a_sentence() {
    let (mut scene, bot) = Scene::with_bot().await;
    let llm = scene.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::hang().always());
    let direct = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&direct, question()).await;
    let _bot = dies_again_and_again(&mut scene, bot, 10).await;
    let reply = scene
        .ana
        .sees_reply_with(&note, "I stumbled over this")
        .await;
    reply.until_done().await;
    assert_eq!(note.replies().len(), 1);
}
