//! The many ways in which words reach the bot: forwarded, through a webhook, under the name of a
//! role, as a video.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{AssemblyAiEndpoint, DiscordEndpoint, Fault, Gate, Message};
use serde_json::json;

use super::harness::{BotFixture, question_recording, sample_bytes};

/// Somewhere else, where the bot answers nothing by itself.
async fn messages_in_other_channel(scene: &BotFixture) -> (Message, Message) {
    let channel = scene.guild.add_text_channel("elsewhere");
    let note = scene
        .ben
        .send_voice_message(&channel, question_recording())
        .await;
    let files = [("talk.ogg", question_recording())];
    let both = scene
        .ben
        .send_files(&channel, "Is this right?", &files)
        .await;
    (note, both)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_note_is_heard_like_any_other() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let (note, both) = messages_in_other_channel(&scene).await;
    let direct = scene.ana.dm_channel();
    for channel in [&direct, &scene.channel] {
        let forward = scene.ana.forward_messages(&[&note], channel).await;
        let text = scene
            .ana
            .wait_for_reply(&forward)
            .await
            .wait_until_done()
            .await;
        assert!(
            text.contains("> **Ana:** What is the capital of France?\nParis."),
            "{text}"
        );
        assert_eq!(forward.bot_replies().len(), 1);
    }
    // What was typed with a recording is asked with it, and each of several is heard.
    scene
        .sandbox
        .assemblyai()
        .queue_transcripts(["First.", "Second."]);
    let forward = scene.ana.forward_messages(&[&note, &both], &direct).await;
    let text = scene
        .ana
        .wait_for_reply(&forward)
        .await
        .wait_until_done()
        .await;
    assert_eq!(text, "> **Ana:** First.\n> **Ana:** Second.\nParis.");
    let asked = scene.sandbox.openai().requests();
    let asked = asked.last().expect("a request").text();
    assert!(asked.contains("Is this right?"), "{asked}");
    // Without a recording, the words are what is asked; without either, that is said.
    let words = scene
        .ben
        .says(&note.channel(), "What is the capital of Spain?")
        .await;
    let forward = scene.ana.forward_messages(&[&words], &direct).await;
    scene
        .ana
        .wait_for_reply(&forward)
        .await
        .wait_until_done()
        .await;
    let asked = scene.sandbox.openai().requests();
    let asked = asked.last().expect("a request").text();
    assert!(asked.contains("capital of Spain"), "{asked}");
    let files = [("picture.png", Bytes::from_static(b"no sound"))];
    let picture = scene.ben.send_files(&note.channel(), "", &files).await;
    let forward = scene.ana.forward_messages(&[&picture], &direct).await;
    let text = scene.ana.wait_for_reply(&forward).await.text();
    assert!(text.starts_with("I can listen to recordings"), "{text}");
    // In a channel with notes on, it is no note then.
    let forward = scene.ana.forward_messages(&[&words], &scene.channel).await;
    let last = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&last)
        .await
        .wait_until_done()
        .await;
    assert!(forward.bot_reply().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_note_has_menus_and_can_be_pointed_at() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let (note, _) = messages_in_other_channel(&scene).await;
    let forward = scene.ana.forward_messages(&[&note], &scene.channel).await;
    let response = scene.ben.run_message_command(&forward, "Transcribe").await;
    response
        .wait_for_answer_containing("capital of France")
        .await;
    let response = scene.ben.run_message_command(&forward, "Answer this").await;
    response.wait_for_answer_containing("Paris.").await;
    let bot = scene.discord.bot_id();
    let asked = scene
        .ben
        .send_reply(&forward, &format!("<@{bot}> and this?"))
        .await;
    let text = scene
        .ben
        .wait_for_reply(&asked)
        .await
        .wait_until_done()
        .await;
    assert!(
        text.contains("> **Ana:** What is the capital of France?\nParis."),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expired_link_of_a_forward_is_renewed() {
    let mut scene = BotFixture::new().await;
    scene.set("CONCURRENT_JOBS", "1");
    let _bot = scene.start().await;
    let (note, _) = messages_in_other_channel(&scene).await;
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
    let forward = scene
        .ana
        .forward_messages(&[&note], &scene.ana.dm_channel())
        .await;
    // The original is gone, and with it the way to read it.
    note.delete();
    scene.discord.expire_links();
    gate.open();
    scene
        .ana
        .wait_for_reply_containing(&forward, "Paris.")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bots_own_role_is_a_name_of_the_bot() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let asked = scene
        .ana
        .mention_bot_role(&scene.channel, "What is the capital of France?")
        .await;
    scene
        .ana
        .wait_for_reply(&asked)
        .await
        .wait_until_done()
        .await;
    let requests = scene.sandbox.openai().requests();
    let said = requests.last().expect("a request").text();
    assert!(said.contains("capital of France"), "{said}");
    let role = scene.guild.bot_role_id().to_string();
    assert!(!said.contains(&role), "{said}");
    // Another role is not.
    let other = scene.guild.add_role("cooks");
    let other = scene
        .ana
        .says(&scene.channel, &format!("<@&{other}> hello"))
        .await;
    let last = scene.ana.mention_bot(&scene.channel, "And now?").await;
    scene
        .ana
        .wait_for_reply(&last)
        .await
        .wait_until_done()
        .await;
    assert!(other.bot_reply().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_came_through_a_webhook_is_answered_once() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let webhook = scene.guild.add_webhook(None);
    let channel = &scene.channel;
    // A menu works everywhere.
    let quiet = webhook
        .says(channel, "Rain", "", Some(question_recording()))
        .await;
    let response = scene.ben.run_message_command(&quiet, "Answer this").await;
    response.wait_for_answer_containing("Paris.").await;
    scene.enable_notes().await;
    // One that a bot has made, as PluralKit's are.
    for webhook in [&webhook, &scene.guild.add_webhook(Some(4_711))] {
        let note = webhook
            .says(channel, "Rain", "", Some(question_recording()))
            .await;
        let text = scene
            .ana
            .wait_for_reply(&note)
            .await
            .wait_until_done()
            .await;
        assert!(text.contains("> **Rain:** What is the capital"), "{text}");
        assert_eq!(note.bot_replies().len(), 1);
    }
    let bot = scene.discord.bot_id();
    let words = format!("<@{bot}> What is it?");
    let asked = webhook.says(channel, "Rain", &words, None).await;
    scene
        .ana
        .wait_for_reply(&asked)
        .await
        .wait_until_done()
        .await;
    // Neither what another server announces, nor other bots, nor just words.
    let other = scene.guild.add_bot("Echo");
    let unanswered = [
        webhook
            .crosspost(channel, "News", question_recording())
            .await,
        other
            .send_voice_message(channel, question_recording())
            .await,
        other.mention_bot(channel, "You too?").await,
        webhook.says(channel, "Rain", "just words", None).await,
    ];
    let last = scene
        .ana
        .send_voice_message(channel, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&last)
        .await
        .wait_until_done()
        .await;
    assert!(unanswered.iter().all(|it| it.bot_reply().is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_hold_for_what_comes_through_a_webhook() {
    let mut scene = BotFixture::new().await;
    scene.set("DAILY_MINUTES_PER_MEMBER", "0");
    let _bot = scene.start().await;
    scene.enable_notes().await;
    let webhook = scene.guild.add_webhook(None);
    let bot = scene.discord.bot_id();
    let asked = webhook
        .says(
            &scene.channel,
            "Rain",
            &format!("<@{bot}>"),
            Some(question_recording()),
        )
        .await;
    let reply = scene.ana.wait_for_reply(&asked).await;
    reply
        .wait_until("a refusal", |text| !text.starts_with("-#"))
        .await;
    let heard = scene.sandbox.assemblyai().requests();
    let clips = heard.iter().filter(|it| it.body_bytes > 1_000);
    assert_eq!(clips.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bot_repeats_for_a_person_is_answered_in_its_new_place_and_paid_once() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let webhook = scene.guild.add_webhook(Some(4_711));
    let stt = scene.sandbox.assemblyai();
    let llm = scene.sandbox.openai();
    let paid = || {
        let clips = stt.requests();
        let clips = clips.iter().filter(|it| it.body_bytes > 1_000).count();
        (clips, llm.requests().len())
    };
    let before = paid();
    // The original is being worked on when it is repeated.
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let original = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    gate.wait_until_reached().await;
    let repeated = webhook.repost(&original, "Rain").await;
    original.delete();
    gate.open();
    let reply = scene
        .ana
        .wait_for_reply_containing(&repeated, "Paris.")
        .await;
    let text = reply.wait_until_done().await;
    assert!(text.contains("> **Rain:** What is the capital"), "{text}");
    for old in original.bot_replies() {
        old.wait_until_deleted().await;
    }
    assert_eq!(paid(), (before.0 + 1, before.1 + 1));
    // It is hers, so the buttons are too.
    scene.ana.press_button(&reply, "Delete").await;
    reply.wait_until_deleted().await;

    // From now on hers wait for a moment: nothing is begun for what is about to go.
    let original = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let repeated = webhook.repost(&original, "Rain").await;
    original.delete();
    scene
        .ana
        .wait_for_reply(&repeated)
        .await
        .wait_until_done()
        .await;
    assert_eq!(paid(), (before.0 + 2, before.1 + 2));
    assert!(original.bot_replies().is_empty() && repeated.bot_replies().len() == 1);
    // Nobody else waits, and what is not repeated is answered too.
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_answered_only_when_somebody_asks() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let video = |name: &'static str, kind: Option<&'static str>| {
        let file = (name, sample_bytes("question.ogg"));
        scene
            .ana
            .send_file_with_type(&scene.channel, "", file, kind)
    };
    let mut ignored = Vec::new();
    for (name, kind) in [
        ("clip.mp4", Some("video/mp4")),
        ("clip.MOV", Some("video/quicktime")),
        ("clip.webm", None),
        ("clip", Some("Video/MP4; codecs=avc1")),
        ("clip.mkv", Some("application/octet-stream")),
    ] {
        ignored.push(video(name, kind).await);
    }
    for (name, kind) in [
        ("note.ogg", None),
        ("note.m4a", Some("audio/mp4")),
        ("note.mp4", Some("audio/mp4")),
        ("note.OPUS", Some("application/octet-stream")),
        ("note.ogg", Some("video/ogg")),
        ("SPOILER_note.ogg", Some("audio/ogg; codecs=opus")),
    ] {
        let note = video(name, kind).await;
        scene
            .ana
            .wait_for_reply(&note)
            .await
            .wait_until_done()
            .await;
    }
    assert!(ignored.iter().all(|it| it.bot_reply().is_none()));
    // A note beside a video is heard alone.
    let heard = scene.sandbox.assemblyai().requests().len();
    let files = [
        ("clip.mp4", question_recording()),
        ("note.ogg", question_recording()),
    ];
    let both = scene.ana.send_files(&scene.channel, "", &files).await;
    scene
        .ana
        .wait_for_reply(&both)
        .await
        .wait_until_done()
        .await;
    assert_eq!(scene.sandbox.assemblyai().requests().len(), heard + 1);
    // By a mention, a reply to it, a menu, a command, or directly.
    let bot = scene.discord.bot_id();
    let files = [("clip.mp4", question_recording())];
    let asked = scene
        .ana
        .send_files(&scene.channel, &format!("<@{bot}> What is said?"), &files)
        .await;
    scene
        .ana
        .wait_for_reply(&asked)
        .await
        .wait_until_done()
        .await;
    let pointed = scene
        .ben
        .send_reply(&ignored[0], &format!("<@{bot}>"))
        .await;
    scene
        .ben
        .wait_for_reply(&pointed)
        .await
        .wait_until_done()
        .await;
    let response = scene
        .ben
        .run_message_command(&ignored[0], "Transcribe")
        .await;
    response
        .wait_for_answer_containing("capital of France")
        .await;
    let options = json!({"audio": "clip.mp4"});
    let response = scene
        .ben
        .run_command_with_files(&scene.channel, "/ask", options, &files);
    response.await.wait_for_answer_containing("Paris.").await;
    let direct = scene
        .ben
        .send_files(&scene.ben.dm_channel(), "", &files)
        .await;
    scene
        .ben
        .wait_for_reply(&direct)
        .await
        .wait_until_done()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_in_a_thread_is_answered_though_discord_fails_for_a_moment() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let thread = scene.channel.add_thread("talk");
    let fault = Fault::status(503).times(2);
    scene.discord.add_fault(DiscordEndpoint::GetChannel, fault);
    let note = scene
        .ana
        .send_voice_message(&thread, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_use_the_bot_holds_at_every_door() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    let role = scene.guild.add_role("talkers");
    // Before it is wanted, Ben has asked something.
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let answered = scene.ben.wait_for_reply(&note).await;
    answered.wait_until_done().await;
    let options = json!({"role": {"role": role}});
    let response = scene
        .ana
        .run_command(&scene.channel, "/settings access", options);
    response
        .await
        .wait_for_answer_containing("Settings of this server")
        .await;
    let refusal = "In this server, only members with a certain role can use me.";
    let asked = || scene.sandbox.openai().requests().len();
    let before = asked();

    let called = scene.ben.mention_bot(&scene.channel, "Hello?").await;
    let text = scene.ben.wait_for_reply(&called).await.text();
    assert!(text.starts_with(refusal), "{text}");
    let ignored = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let question_of = json!({"question": "Hello?"});
    let responses = [
        scene
            .ben
            .run_command(&scene.channel, "/ask", question_of.clone())
            .await,
        scene.ben.run_message_command(&note, "Answer this").await,
        scene.ben.run_message_command(&note, "Transcribe").await,
        scene.ben.press_button(&answered, "Try again").await,
        scene
            .ben
            .run_command(&scene.channel, "/join", json!({}))
            .await,
    ];
    for response in responses {
        let text = response.wait_for_answer().await.text();
        assert!(text.starts_with(refusal), "{text}");
    }
    let webhook = scene.guild.add_webhook(None);
    let unknown = webhook
        .says(&scene.channel, "Rain", "", Some(question_recording()))
        .await;
    // Ana manages the server and so need not have it, whatever way she takes.
    let called = scene.ana.mention_bot(&scene.channel, "And I?").await;
    scene
        .ana
        .wait_for_reply(&called)
        .await
        .wait_until_done()
        .await;
    let response = scene.ana.run_command(&scene.channel, "/ask", question_of);
    response.await.wait_for_answer_containing("Paris.").await;
    assert_eq!(asked(), before + 2);
    assert!(ignored.bot_reply().is_none() && unknown.bot_reply().is_none());
    // There are no roles in direct messages, and what is his he can take back.
    let direct = scene.ben.says(&scene.ben.dm_channel(), "And here?").await;
    scene
        .ben
        .wait_for_reply(&direct)
        .await
        .wait_until_done()
        .await;
    scene.ben.press_button(&answered, "Delete").await;
    answered.wait_until_deleted().await;
    // With it, he is let in again; a bot that speaks for him too.
    scene.ben.assign_role(role);
    let note = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let repeated = webhook.repost(&note, "Rain").await;
    note.delete();
    scene
        .ben
        .wait_for_reply_containing(&repeated, "Paris.")
        .await;
    tokio::time::timeout(Duration::from_secs(10), async {
        for old in note.bot_replies() {
            old.wait_until_deleted().await;
        }
    })
    .await
    .expect("nothing is left of the original");
}
