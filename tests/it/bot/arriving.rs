//! The many ways in which words reach the bot: forwarded, through a webhook, under the name of a
//! role, as a video.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{DiscordEndpoint, Endpoint, Fault, Gate, Message};
use serde_json::json;

use super::running::{Scene, question, recording};

/// Somewhere else, where the bot answers nothing by itself.
async fn elsewhere(scene: &Scene) -> (Message, Message) {
    let channel = scene.guild.channel("elsewhere");
    let note = scene.ben.sends_voice_note(&channel, question()).await;
    let files = [("talk.ogg", question())];
    let both = scene
        .ben
        .sends_files(&channel, "Is this right?", &files)
        .await;
    (note, both)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_note_is_heard_like_any_other() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let (note, both) = elsewhere(&scene).await;
    let direct = scene.ana.direct();
    for channel in [&direct, &scene.channel] {
        let forward = scene.ana.forwards(&[&note], channel).await;
        let text = scene.ana.sees_reply_to(&forward).await.until_done().await;
        assert!(
            text.contains("> **Ana:** What is the capital of France?\nParis."),
            "{text}"
        );
        assert_eq!(forward.replies().len(), 1);
    }
    // What was typed with a recording is asked with it, and each of several is heard.
    scene
        .sandbox
        .assemblyai()
        .hears_in_turn(["First.", "Second."]);
    let forward = scene.ana.forwards(&[&note, &both], &direct).await;
    let text = scene.ana.sees_reply_to(&forward).await.until_done().await;
    assert_eq!(text, "> **Ana:** First.\n> **Ana:** Second.\nParis.");
    let asked = scene.sandbox.openai().requests();
    let asked = asked.last().expect("a request").text();
    assert!(asked.contains("Is this right?"), "{asked}");
    // Without a recording, the words are what is asked; without either, that is said.
    let words = scene
        .ben
        .says(&note.channel(), "What is the capital of Spain?")
        .await;
    let forward = scene.ana.forwards(&[&words], &direct).await;
    scene.ana.sees_reply_to(&forward).await.until_done().await;
    let asked = scene.sandbox.openai().requests();
    let asked = asked.last().expect("a request").text();
    assert!(asked.contains("capital of Spain"), "{asked}");
    let files = [("picture.png", Bytes::from_static(b"no sound"))];
    let picture = scene.ben.sends_files(&note.channel(), "", &files).await;
    let forward = scene.ana.forwards(&[&picture], &direct).await;
    let text = scene.ana.sees_reply_to(&forward).await.text();
    assert!(text.starts_with("I can listen to recordings"), "{text}");
    // In a channel with notes on, it is no note then.
    let forward = scene.ana.forwards(&[&words], &scene.channel).await;
    let last = scene.ana.sends_voice_note(&scene.channel, question()).await;
    scene.ana.sees_reply_to(&last).await.until_done().await;
    assert!(forward.reply().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_note_has_menus_and_can_be_pointed_at() {
    let (scene, _bot) = Scene::with_bot().await;
    let (note, _) = elsewhere(&scene).await;
    let forward = scene.ana.forwards(&[&note], &scene.channel).await;
    let response = scene.ben.uses_menu(&forward, "Transcribe").await;
    response.answer_with("capital of France").await;
    let response = scene.ben.uses_menu(&forward, "Answer this").await;
    response.answer_with("Paris.").await;
    let bot = scene.discord.bot_id();
    let asked = scene
        .ben
        .replies(&forward, &format!("<@{bot}> and this?"))
        .await;
    let text = scene.ben.sees_reply_to(&asked).await.until_done().await;
    assert!(
        text.contains("> **Ana:** What is the capital of France?\nParis."),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expired_link_of_a_forward_is_renewed() {
    let mut scene = Scene::new().await;
    scene.set("CONCURRENT_JOBS", "1");
    let _bot = scene.start().await;
    let (note, _) = elsewhere(&scene).await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .fault(Endpoint::Sync, Fault::gate(&gate));
    scene
        .ben
        .sends_voice_note(&scene.ben.direct(), question())
        .await;
    gate.reached().await;
    let forward = scene.ana.forwards(&[&note], &scene.ana.direct()).await;
    // The original is gone, and with it the way to read it.
    note.delete();
    scene.discord.expires_links();
    gate.open();
    scene.ana.sees_reply_with(&forward, "Paris.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bots_own_role_is_a_name_of_the_bot() {
    let (scene, _bot) = Scene::with_bot().await;
    let asked = scene
        .ana
        .calls_bot_by_its_role(&scene.channel, "What is the capital of France?")
        .await;
    scene.ana.sees_reply_to(&asked).await.until_done().await;
    let requests = scene.sandbox.openai().requests();
    let said = requests.last().expect("a request").text();
    assert!(said.contains("capital of France"), "{said}");
    let role = scene.guild.bot_role().to_string();
    assert!(!said.contains(&role), "{said}");
    // Another role is not.
    let other = scene.guild.role("cooks");
    let other = scene
        .ana
        .says(&scene.channel, &format!("<@&{other}> hello"))
        .await;
    let last = scene.ana.calls_bot(&scene.channel, "And now?").await;
    scene.ana.sees_reply_to(&last).await.until_done().await;
    assert!(other.reply().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_came_through_a_webhook_is_answered_once() {
    let (scene, _bot) = Scene::with_bot().await;
    let webhook = scene.guild.webhook(None);
    let channel = &scene.channel;
    // A menu works everywhere.
    let quiet = webhook.says(channel, "Rain", "", Some(question())).await;
    let response = scene.ben.uses_menu(&quiet, "Answer this").await;
    response.answer_with("Paris.").await;
    scene.notes_on().await;
    // One that a bot has made, as PluralKit's are.
    for webhook in [&webhook, &scene.guild.webhook(Some(4_711))] {
        let note = webhook.says(channel, "Rain", "", Some(question())).await;
        let text = scene.ana.sees_reply_to(&note).await.until_done().await;
        assert!(text.contains("> **Rain:** What is the capital"), "{text}");
        assert_eq!(note.replies().len(), 1);
    }
    let bot = scene.discord.bot_id();
    let words = format!("<@{bot}> What is it?");
    let asked = webhook.says(channel, "Rain", &words, None).await;
    scene.ana.sees_reply_to(&asked).await.until_done().await;
    // Neither what another server announces, nor other bots, nor just words.
    let other = scene.guild.bot("Echo");
    let unanswered = [
        webhook.crossposts(channel, "News", question()).await,
        other.sends_voice_note(channel, question()).await,
        other.calls_bot(channel, "You too?").await,
        webhook.says(channel, "Rain", "just words", None).await,
    ];
    let last = scene.ana.sends_voice_note(channel, question()).await;
    scene.ana.sees_reply_to(&last).await.until_done().await;
    assert!(unanswered.iter().all(|it| it.reply().is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_hold_for_what_comes_through_a_webhook() {
    let mut scene = Scene::new().await;
    scene.set("DAILY_MINUTES_PER_MEMBER", "0");
    let _bot = scene.start().await;
    scene.notes_on().await;
    let webhook = scene.guild.webhook(None);
    let bot = scene.discord.bot_id();
    let asked = webhook
        .says(
            &scene.channel,
            "Rain",
            &format!("<@{bot}>"),
            Some(question()),
        )
        .await;
    let reply = scene.ana.sees_reply_to(&asked).await;
    reply
        .until("a refusal", |text| !text.starts_with("-#"))
        .await;
    let heard = scene.sandbox.assemblyai().requests();
    let clips = heard.iter().filter(|it| it.body_bytes > 1_000);
    assert_eq!(clips.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bot_repeats_for_a_person_is_answered_in_its_new_place_and_paid_once() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let webhook = scene.guild.webhook(Some(4_711));
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
    stt.fault(Endpoint::Sync, Fault::gate(&gate));
    let original = scene.ana.sends_voice_note(&scene.channel, question()).await;
    gate.reached().await;
    let repeated = webhook.repeats(&original, "Rain").await;
    original.delete();
    gate.open();
    let reply = scene.ana.sees_reply_with(&repeated, "Paris.").await;
    let text = reply.until_done().await;
    assert!(text.contains("> **Rain:** What is the capital"), "{text}");
    for old in original.replies() {
        old.until_deleted().await;
    }
    assert_eq!(paid(), (before.0 + 1, before.1 + 1));
    // It is hers, so the buttons are too.
    scene.ana.presses(&reply, "Delete").await;
    reply.until_deleted().await;

    // From now on hers wait for a moment: nothing is begun for what is about to go.
    let original = scene.ana.sends_voice_note(&scene.channel, question()).await;
    let repeated = webhook.repeats(&original, "Rain").await;
    original.delete();
    scene.ana.sees_reply_to(&repeated).await.until_done().await;
    assert_eq!(paid(), (before.0 + 2, before.1 + 2));
    assert!(original.replies().is_empty() && repeated.replies().len() == 1);
    // Nobody else waits, and what is not repeated is answered too.
    let note = scene.ana.sends_voice_note(&scene.channel, question()).await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_answered_only_when_somebody_asks() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let video = |name: &'static str, kind: Option<&'static str>| {
        let file = (name, recording("question.ogg"));
        scene.ana.sends_file_of_type(&scene.channel, "", file, kind)
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
        scene.ana.sees_reply_to(&note).await.until_done().await;
    }
    assert!(ignored.iter().all(|it| it.reply().is_none()));
    // A note beside a video is heard alone.
    let heard = scene.sandbox.assemblyai().requests().len();
    let files = [("clip.mp4", question()), ("note.ogg", question())];
    let both = scene.ana.sends_files(&scene.channel, "", &files).await;
    scene.ana.sees_reply_to(&both).await.until_done().await;
    assert_eq!(scene.sandbox.assemblyai().requests().len(), heard + 1);
    // By a mention, a reply to it, a menu, a command, or directly.
    let bot = scene.discord.bot_id();
    let files = [("clip.mp4", question())];
    let asked = scene
        .ana
        .sends_files(&scene.channel, &format!("<@{bot}> What is said?"), &files)
        .await;
    scene.ana.sees_reply_to(&asked).await.until_done().await;
    let pointed = scene.ben.replies(&ignored[0], &format!("<@{bot}>")).await;
    scene.ben.sees_reply_to(&pointed).await.until_done().await;
    let response = scene.ben.uses_menu(&ignored[0], "Transcribe").await;
    response.answer_with("capital of France").await;
    let options = json!({"audio": "clip.mp4"});
    let response = scene.ben.runs_with(&scene.channel, "/ask", options, &files);
    response.await.answer_with("Paris.").await;
    let direct = scene.ben.sends_files(&scene.ben.direct(), "", &files).await;
    scene.ben.sees_reply_to(&direct).await.until_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_in_a_thread_is_answered_though_discord_fails_for_a_moment() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let thread = scene.channel.thread("talk");
    let fault = Fault::status(503).times(2);
    scene.discord.fault(DiscordEndpoint::Channel, fault);
    let note = scene.ana.sends_voice_note(&thread, question()).await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_use_the_bot_holds_at_every_door() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.notes_on().await;
    let role = scene.guild.role("talkers");
    // Before it is wanted, Ben has asked something.
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let answered = scene.ben.sees_reply_to(&note).await;
    answered.until_done().await;
    let options = json!({"role": {"role": role}});
    let response = scene.ana.runs(&scene.channel, "/settings access", options);
    response.await.answer_with("Settings of this server").await;
    let refusal = "In this server only members with a certain role may use me.";
    let asked = || scene.sandbox.openai().requests().len();
    let before = asked();

    let called = scene.ben.calls_bot(&scene.channel, "Hello?").await;
    let text = scene.ben.sees_reply_to(&called).await.text();
    assert!(text.starts_with(refusal), "{text}");
    let ignored = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let question_of = json!({"question": "Hello?"});
    let responses = [
        scene
            .ben
            .runs(&scene.channel, "/ask", question_of.clone())
            .await,
        scene.ben.uses_menu(&note, "Answer this").await,
        scene.ben.uses_menu(&note, "Transcribe").await,
        scene.ben.presses(&answered, "Try again").await,
        scene.ben.runs(&scene.channel, "/join", json!({})).await,
    ];
    for response in responses {
        let text = response.answer().await.text();
        assert!(text.starts_with(refusal), "{text}");
    }
    let webhook = scene.guild.webhook(None);
    let unknown = webhook
        .says(&scene.channel, "Rain", "", Some(question()))
        .await;
    // Ana manages the server and so need not have it, whatever way she takes.
    let called = scene.ana.calls_bot(&scene.channel, "And I?").await;
    scene.ana.sees_reply_to(&called).await.until_done().await;
    let response = scene.ana.runs(&scene.channel, "/ask", question_of);
    response.await.answer_with("Paris.").await;
    assert_eq!(asked(), before + 2);
    assert!(ignored.reply().is_none() && unknown.reply().is_none());
    // There are no roles in direct messages, and what is his he can take back.
    let direct = scene.ben.says(&scene.ben.direct(), "And here?").await;
    scene.ben.sees_reply_to(&direct).await.until_done().await;
    scene.ben.presses(&answered, "Delete").await;
    answered.until_deleted().await;
    // With it, he is let in again; a bot that speaks for him too.
    scene.ben.has_role(role);
    let note = scene.ben.sends_voice_note(&scene.channel, question()).await;
    let repeated = webhook.repeats(&note, "Rain").await;
    note.delete();
    scene.ben.sees_reply_with(&repeated, "Paris.").await;
    tokio::time::timeout(Duration::from_secs(10), async {
        for old in note.replies() {
            old.until_deleted().await;
        }
    })
    .await
    .expect("nothing is left of the original");
}
