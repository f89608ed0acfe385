//! The bot is asked to come, and says why it can't.

use serde_json::json;

use super::{Lounge, with_songbird_too};

const CONNECT: u64 = 1 << 20;
const SEND: u64 = 1 << 11;

with_songbird_too!(
    one_session_a_server,
    a_voice_server_that_does_not_answer_is_told,
);

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_only_where_it_can() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge
        .answered("/join", json!({}), "Join a voice channel first")
        .await;
    let nobody = "I am in no voice channel here";
    for command in ["/leave", "/session", "/summary"] {
        lounge.answered(command, json!({}), nobody).await;
    }
    let there = |channel: &sandbox::Channel| json!({"channel": {"channel": channel.id()}});
    let stage = lounge.guild.stage_channel("Stage");
    lounge
        .answered("/join", there(&stage), "I can't listen on a stage")
        .await;
    lounge
        .answered(
            "/join",
            there(&lounge.channel),
            "Join a voice channel first",
        )
        .await;
    let closed = lounge.guild.voice_channel("Closed");
    closed.denies_bot(CONNECT);
    lounge
        .answered(
            "/join",
            there(&closed),
            "I may not connect to this voice channel",
        )
        .await;
    let full = lounge.guild.voice_channel("Full");
    full.user_limit(1);
    lounge.ben.joins_voice(&full).await;
    lounge
        .answered("/join", there(&full), "The voice channel is full")
        .await;
    lounge.channel.denies_bot(SEND);
    lounge.ana.joins_voice(&lounge.lounge).await;
    lounge
        .answered("/join", json!({}), "I may not write in this channel")
        .await;
    assert_eq!(lounge.guild.bot_in_voice(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_a_server() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    let (first, second) = tokio::join!(
        lounge.runs("/join", json!({})),
        lounge.ben.runs(
            &lounge.channel,
            "/join",
            json!({"channel": {"channel": lounge.lounge.id()}})
        ),
    );
    let texts = [first.answer().await, second.answer().await];
    let mut done = Vec::new();
    for message in &texts {
        done.push(
            message
                .until("an answer", |text| text.contains("I am "))
                .await,
        );
    }
    let came = done
        .iter()
        .filter(|it| it.starts_with("I am in <#"))
        .count();
    assert_eq!(came, 1, "{done:?}");
    lounge.answered("/join", json!({}), "I am already in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_server_that_does_not_answer_is_told() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    lounge.discord.voice_unreachable(true);
    lounge
        .answered(
            "/join",
            json!({}),
            "Discord's voice server does not answer me",
        )
        .await;
    // Nobody sees it in a call that it does not hear.
    lounge.guild.until_bot_in_voice(None).await;
    lounge.discord.voice_unreachable(false);
    lounge.begins().await;
}
