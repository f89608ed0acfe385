//! Slash commands and menus.

use std::time::Duration;

use sandbox::{AssemblyAiEndpoint, Fault, Gate};
use serde_json::json;

use super::harness::{BotFixture, question_recording};

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_registered_once_and_stay_the_same() {
    let (mut scene, bot) = BotFixture::new_with_bot().await;
    let first = scene.discord.wait_for_commands().await;
    let names: Vec<&str> = first.iter().filter_map(|it| it["name"].as_str()).collect();
    insta::assert_snapshot!(names.join(", "), @"ask, transcribe, Transcribe, Answer this, reset, join, leave, session, summary, settings, usage, privacy, forget-me, help");
    assert_eq!(first[0]["name_localizations"]["de"], "fragen");
    bot.kill().await;
    let _bot = scene.start().await;
    assert_eq!(scene.discord.wait_for_commands().await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_answers_what_is_typed_or_recorded() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let typed = json!({"question": "What is the capital of France?"});
    let response = scene
        .ana
        .run_command(&scene.channel, "/ask", typed.clone())
        .await;
    let answer = response.wait_for_answer_containing("Paris.").await;
    assert!(!answer.is_private());
    answer.wait_until_done().await;

    let files = [("question.ogg", question_recording())];
    let options = json!({"audio": "question.ogg", "private": true});
    let response = scene
        .ben
        .run_command_with_files(&scene.channel, "/ask", options, &files)
        .await;
    let answer = response.wait_for_answer_containing("Paris.").await;
    assert!(answer.is_private() && response.is_private());
    assert_eq!(
        answer.text(),
        "> **Ben:** What is the capital of France?\nParis."
    );

    let nothing = scene
        .ana
        .run_command(&scene.channel, "/ask", json!({}))
        .await;
    let text = nothing.wait_for_answer().await.text();
    assert_eq!(
        text,
        "Ask me something: type it after my name, or send a recording."
    );

    scene.ana.grant_manage_guild();
    let on = json!({"on": true});
    let settings = scene
        .ana
        .run_command(&scene.channel, "/settings private", on)
        .await;
    settings
        .wait_for_answer_containing("Answers to commands: private")
        .await;
    let response = scene.ben.run_command(&scene.channel, "/ask", typed).await;
    assert!(
        response
            .wait_for_answer_containing("Paris.")
            .await
            .is_private()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_come_as_text_or_as_a_file() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let files = [("question.ogg", question_recording())];
    let options = json!({"audio": "question.ogg"});
    let run = |options| {
        scene
            .ana
            .run_command_with_files(&scene.channel, "/transcribe", options, &files)
    };
    let answer = run(options)
        .await
        .wait_for_answer_containing("capital")
        .await;
    answer.wait_until_done().await;
    assert!(answer.attachments().is_empty());
    for (format, begins) in [("srt", "1\n00:00:00"), ("vtt", "WEBVTT"), ("json", "{")] {
        let options = json!({"audio": "question.ogg", "format": format});
        let answer = run(options)
            .await
            .wait_for_answer_containing("capital")
            .await;
        answer.wait_until_done().await;
        let files = answer.attachments();
        assert_eq!(files[0].0, format!("question.{format}"));
        assert!(files[0].1.starts_with(begins.as_bytes()));
    }
    assert!(
        scene
            .sandbox
            .openai()
            .requests()
            .iter()
            .all(|it| !it.path.contains("chat"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_a_menu() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    // Notes are off here, and still each can be listened to.
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let response = scene.ben.run_message_command(&note, "Transcribe").await;
    let answer = response
        .wait_for_answer_containing("capital of France")
        .await;
    assert!(answer.is_private());
    let response = scene.ben.run_message_command(&note, "Answer this").await;
    let answer = response.wait_for_answer_containing("Paris.").await;
    assert!(!answer.is_private());
    let text = scene.ana.says(&scene.channel, "just words").await;
    let response = scene.ben.run_message_command(&text, "Transcribe").await;
    let answer = response.wait_for_answer().await;
    assert_eq!(answer.text(), "There is no recording in this message.");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_for_those_who_manage_the_server() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let refused = scene
        .ben
        .run_command(&scene.channel, "/settings show", json!({}))
        .await;
    let refused = refused.wait_for_answer().await.text();
    assert_eq!(refused, "Only members who manage the server can do this.");
    scene.ana.grant_manage_guild();
    let role = scene.guild.add_role("talkers");
    for (command, options) in [
        (
            "/settings notes",
            json!({"on": true, "channel": {"channel": scene.channel.id()}}),
        ),
        ("/settings language", json!({"codes": "EN, de"})),
        ("/settings terms", json!({"words": "Talkback, Moonshine"})),
        (
            "/settings prompt",
            json!({"text": "Answer like a *pirate*."}),
        ),
        ("/settings access", json!({"role": {"role": role}})),
        ("/settings budget", json!({"member": 5, "server": 60})),
    ] {
        let response = scene
            .ana
            .run_command(&scene.channel, command, options)
            .await;
        response
            .wait_for_answer_containing("Settings of this server")
            .await;
    }
    let shown = scene
        .ana
        .run_command(&scene.channel, "/settings show", json!({}))
        .await;
    let shown = shown.wait_for_answer().await;
    assert!(shown.is_private());
    let channel = format!("<#{}>", scene.channel.id());
    let text = shown.text().replace(&channel, "<#CHANNEL>");
    insta::assert_snapshot!(text.replace(&role.to_string(), "ROLE"));

    // They hold: who has the role is heard, with these hints and that prompt.
    let refused = scene.ben.mention_bot(&scene.channel, "Hello?").await;
    let refused = scene.ben.wait_for_reply(&refused).await;
    assert!(
        refused
            .text()
            .starts_with("In this server, only members with a certain role")
    );
    scene.ben.assign_role(role);
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
    let heard = scene.sandbox.assemblyai().requests();
    let heard = heard.last().expect("a request");
    let config = heard
        .form_part("config")
        .map(|it| it.body)
        .unwrap_or_default();
    let config = String::from_utf8_lossy(&config).into_owned();
    assert!(config.contains("Moonshine"), "{config}");
    let asked = scene.sandbox.openai().requests();
    assert!(
        asked
            .last()
            .expect("a request")
            .text()
            .contains("like a *pirate*")
    );

    // A minute budget of nothing.
    let options = json!({"member": 0});
    let response = scene
        .ana
        .run_command(&scene.channel, "/settings budget", options)
        .await;
    response
        .wait_for_answer_containing("per member: 0 minutes")
        .await;
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let refused = scene.ben.wait_for_reply(&note).await;
    assert_eq!(
        refused.text(),
        "You've reached today's limit. Try again after midnight UTC."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_see_and_delete_what_is_theirs() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let run = |who: &sandbox::TestUser, command: &str| {
        let (who, channel, command) = (who.clone(), scene.channel.clone(), command.to_owned());
        async move {
            let answer = who
                .run_command(&channel, &command, json!({}))
                .await
                .wait_for_answer()
                .await;
            assert!(answer.is_private());
            answer.text()
        }
    };
    insta::assert_snapshot!("help", run(&scene.ben, "/help").await);
    let host = scene
        .sandbox
        .openai()
        .url()
        .replace("http://", "")
        .replace("/v1", "");
    let privacy = run(&scene.ben, "/privacy").await;
    insta::assert_snapshot!("privacy", privacy.replace(&host, "HOST"));
    let none = run(&scene.ben, "/usage").await;
    assert_eq!(none, "Nothing was used in the last 7 days.");
    for who in [&scene.ana, &scene.ben] {
        let note = who
            .send_voice_message(&scene.channel, question_recording())
            .await;
        who.wait_for_reply(&note).await.wait_until_done().await;
    }
    let own = run(&scene.ben, "/usage").await;
    assert!(own.contains(&scene.ben.id().to_string()), "{own}");
    assert!(!own.contains(&scene.ana.id().to_string()), "{own}");
    let all = run(&scene.ana, "/usage").await;
    assert!(all.contains(&scene.ben.id().to_string()), "{all}");
    assert!(all.contains("tokens, about 0.0"), "{all}");
    let forgotten = run(&scene.ben, "/forget-me").await;
    assert!(
        forgotten.starts_with("Done: I deleted 1 requests and 2 pieces"),
        "{forgotten}"
    );
    let reset = run(&scene.ana, "/reset").await;
    assert_eq!(
        reset,
        "I've forgotten what you said here and what I answered you."
    );
    assert_eq!(
        run(&scene.ana, "/reset").await,
        "There was nothing to forget here."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_for_discord_comes_as_a_message() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    let stt = scene.sandbox.assemblyai();
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let files = [("question.ogg", question_recording())];
    let options = json!({"audio": "question.ogg"});
    let response = scene
        .ana
        .run_command_with_files(&scene.channel, "/ask", options, &files)
        .await;
    response.wait_for_answer_containing("Listening").await;
    scene.discord.set_interaction_token_lifetime(Duration::ZERO);
    gate.open();
    let answer = scene.ana.wait_for_message(&scene.channel, "Paris.").await;
    answer.wait_until_done().await;
    let first = response.message().expect("a response");
    assert_ne!(answer.id(), first.id());
    assert_eq!(first.bot_reply().expect("a reply").id(), answer.id());
    first
        .wait_until("where the answer is", |text| {
            text.contains("will come as a separate message")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_deferred_in_time_whatever_happens() {
    let mut scene = BotFixture::new().await;
    scene.set("CONCURRENT_JOBS", "1");
    let _bot = scene.start().await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    scene
        .ben
        .send_voice_message(&scene.ben.dm_channel(), question_recording())
        .await;
    gate.wait_until_reached().await;
    // The only place is taken, so this one waits for longer than Discord would.
    let options = json!({"question": "Quick?"});
    let response = scene.ana.run_command(&scene.channel, "/ask", options).await;
    response.wait_until_acknowledged().await;
    assert!(response.message().is_some_and(|it| it.text().is_empty()));
    gate.open();
    response.wait_for_answer_containing("Paris.").await;
}
