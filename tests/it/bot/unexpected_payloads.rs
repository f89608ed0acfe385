//! Discord tells more than its documentation says, and other things. One odd field costs nothing
//! but itself.

use serde_json::{Value, json};

use sandbox::DiscordEndpoint;

use super::harness::{BotFixture, question_recording};

/// The name under which `Discord::mutate_events` knows an endpoint.
fn endpoint_name(endpoint: DiscordEndpoint) -> String {
    format!("{endpoint:?}")
}

/// A server as serenity 0.12.5 can't read it.
fn malformed_threads(members: i64) -> impl Fn(&str, &mut Value) + Send + Sync {
    move |what, told| {
        if what == "GUILD_CREATE" || what == endpoint_name(DiscordEndpoint::ActiveThreads) {
            for thread in told["threads"].as_array_mut().into_iter().flatten() {
                thread["member_count"] = json!(members);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_of_many_or_of_less_than_none_costs_no_server() {
    for members in [-1, 70_000] {
        let mut scene = BotFixture::new().await;
        let lounge = scene.guild.add_voice_channel("Lounge");
        let thread = scene.channel.add_thread("Crowded");
        scene.discord.mutate_events(malformed_threads(members));
        scene.ana.join_voice(&lounge).await;
        let bot = scene.start().await;
        scene.enable_notes().await;
        // Who sits where is only in the event of the whole server.
        let joined = scene
            .ana
            .run_command(&scene.channel, "/join", json!({}))
            .await;
        joined.wait_for_answer_containing("I'm in").await;
        scene.discord.wait_until_bot_receiving(&lounge).await;
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

        // The session is gone on with, and what came to the thread meanwhile is answered.
        bot.kill().await;
        scene.discord.wait_until_disconnected().await;
        let missed = scene
            .ben
            .send_voice_message(&thread, question_recording())
            .await;
        let _bot = scene.start().await;
        scene
            .ben
            .wait_for_reply(&missed)
            .await
            .wait_until_done()
            .await;
        scene.discord.wait_until_bot_receiving(&lounge).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_flags_beyond_32_bits_starts_and_says_that_it_is_connected() {
    let mut scene = BotFixture::new().await;
    let bot = scene.discord.bot_id().to_string();
    scene.discord.mutate_events(move |what, told| {
        let user = match what {
            "READY" => &mut told["user"],
            "Users" => told,
            "MESSAGE_CREATE" | "CreateMessage" | "EditMessage" => &mut told["author"],
            _ => return,
        };
        if user["id"] == bot.as_str() {
            user["flags"] = json!(1_u64 << 40);
            user["public_flags"] = json!(1_u64 << 40);
        }
    });
    let _bot = scene.start().await;
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
    assert_eq!(direct.bot_messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_odd_message_costs_a_page_only_itself() {
    let (mut scene, mut bot) = BotFixture::new_with_bot().await;
    scene.enable_notes().await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    scene.discord.wait_until_disconnected().await;
    let before = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let odd = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let strange = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let after = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let (odd_id, strange_id) = (odd.id().to_string(), strange.id().to_string());
    scene.discord.mutate_events(move |what, told| {
        if what != endpoint_name(DiscordEndpoint::ListMessages) {
            return;
        }
        for message in told.as_array_mut().into_iter().flatten() {
            if message["id"] == odd_id.as_str() {
                message["author"] = json!("nobody");
                message["content"] = json!("a secret of the page");
            }
            if message["id"] == strange_id.as_str() {
                message["poll"] = json!(7);
                message["flags"] = json!(-1);
                message["mentions"] = json!([{"id": "x"}]);
            }
        }
    });
    scene.set("TALKBACK_LOG", "info");
    let mut bot = scene.start().await;
    for note in [&before, &strange, &after] {
        scene.ana.wait_for_reply(note).await.wait_until_done().await;
    }
    bot.wait_for_log("what Discord tells can't be read").await;
    assert!(odd.bot_reply().is_none());
    let log = bot.stderr();
    assert!(log.contains("author"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_can_not_be_read_is_counted_and_never_in_the_log() {
    let mut scene = BotFixture::new().await;
    scene.set("TALKBACK_LOG", "debug");
    let mut bot = scene.start().await;
    for frame in [
        "no JSON at all: a secret",
        r#"{"op":"a secret","d":"a secret"}"#,
        r#"{"op":0,"s":99,"t":"MESSAGE_CREATE","d":{"id":"a secret","content":"a secret"}}"#,
        r#"{"op":0,"s":"a secret","t":"VOICE_STATE_UPDATE","d":["a secret"]}"#,
        r#"{"op":0,"s":101,"t":"NEVER_HEARD_OF","d":{"a secret":1e999}}"#,
        r#"{"op":77,"d":"a secret"}"#,
    ] {
        scene.discord.send_gateway_text(frame);
    }
    bot.wait_for_log_times("what Discord tells can't be read", 3)
        .await;
    // Still the same connection, and it works.
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
    assert_eq!(scene.discord.gateway_connections(), 1);
    assert!(!bot.stderr().contains("secret"), "{}", bot.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_odd_parts_is_answered() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.discord.mutate_events(|what, told| {
        if what != "INTERACTION_CREATE" {
            return;
        }
        told["app_permissions"] = json!("99999999999999999999999999");
        told["entitlements"] = json!([{"id": 1}]);
        told["locale"] = json!(null);
        told["attachment_size_limit"] = json!(-5);
        told["context"] = json!(99);
        told["authorizing_integration_owners"] = json!({"7": 3, "0": "0"});
        told["channel"] = json!("strange");
        told["member"]["flags"] = json!(1_u64 << 50);
        told["member"]["user"]["public_flags"] = json!(1_u64 << 50);
        told["member"]["user"]["primary_guild"] = json!("strange");
    });
    let asked = json!({"question": "What is the capital of France?"});
    let response = scene.ana.run_command(&scene.channel, "/ask", asked).await;
    response.wait_for_answer_containing("Paris.").await;
}
