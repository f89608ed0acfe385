//! The bot is asked to come, and says why it can't.

use serde_json::json;

use super::{VoiceFixture, with_songbird_too};

const CONNECT: u64 = 1 << 20;
const SEND_MESSAGES: u64 = 1 << 11;

with_songbird_too!(
    one_session_a_server,
    a_voice_server_that_does_not_answer_is_told,
);

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_only_where_it_can() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge
        .run_and_wait("/join", json!({}), "Join a voice channel first")
        .await;
    let nobody = "I'm not in a voice channel here";
    for command in ["/leave", "/session", "/summary"] {
        lounge.run_and_wait(command, json!({}), nobody).await;
    }
    let there = |channel: &sandbox::Channel| json!({"channel": {"channel": channel.id()}});
    let stage = lounge.guild.add_stage_channel("Stage");
    lounge
        .run_and_wait("/join", there(&stage), "I can't listen on a stage")
        .await;
    lounge
        .run_and_wait(
            "/join",
            there(&lounge.channel),
            "Join a voice channel first",
        )
        .await;
    let closed = lounge.guild.add_voice_channel("Closed");
    closed.deny_bot(CONNECT);
    lounge
        .run_and_wait(
            "/join",
            there(&closed),
            "I'm not allowed to join this voice channel",
        )
        .await;
    let full = lounge.guild.add_voice_channel("Full");
    full.set_user_limit(1);
    lounge.ben.join_voice(&full).await;
    lounge
        .run_and_wait("/join", there(&full), "The voice channel is full")
        .await;
    lounge.channel.deny_bot(SEND_MESSAGES);
    lounge.ana.join_voice(&lounge.lounge).await;
    lounge
        .run_and_wait(
            "/join",
            json!({}),
            "I'm not allowed to write in this channel",
        )
        .await;
    assert_eq!(lounge.guild.bot_voice_channel(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_a_server() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    let (first, second) = tokio::join!(
        lounge.run_command("/join", json!({})),
        lounge.ben.run_command(
            &lounge.channel,
            "/join",
            json!({"channel": {"channel": lounge.lounge.id()}})
        ),
    );
    let texts = [
        first.wait_for_answer().await,
        second.wait_for_answer().await,
    ];
    let mut done = Vec::new();
    for message in &texts {
        done.push(
            message
                .wait_until("an answer", |text| text.contains("I'm "))
                .await,
        );
    }
    let came = done.iter().filter(|it| it.starts_with("I'm in <#")).count();
    assert_eq!(came, 1, "{done:?}");
    lounge
        .run_and_wait("/join", json!({}), "I'm already in")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_server_that_does_not_answer_is_told() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    lounge.discord.set_voice_unreachable(true);
    lounge
        .run_and_wait(
            "/join",
            json!({}),
            "Discord's voice server isn't answering me",
        )
        .await;
    // Nobody sees it in a call that it does not hear.
    lounge.guild.wait_until_bot_in_voice(None).await;
    lounge.discord.set_voice_unreachable(false);
    lounge.start_session().await;
}
