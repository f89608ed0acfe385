//! Things break in the middle of a session.

use sandbox::{DiscordEndpoint, Endpoint, Fault, Outcome};
use serde_json::json;

use super::super::running::recording;
use super::{Lounge, driver, file, with_songbird_too};

with_songbird_too!(
    a_killed_process_is_gone_on_with,
    a_lost_voice_server_is_come_back_to_and_told,
    discord_may_refuse_the_call,
    whoever_leaves_and_comes_back_is_heard,
    a_call_that_becomes_encrypted_is_heard_on,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_gone_on_with() {
    let (mut lounge, bot) = Lounge::with_session().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    bot.dies().await;
    let _bot = lounge.start().await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    let txt = file(&lounge.ends().await, "transcript.txt");
    assert!(
        txt.contains("Thursday") && txt.contains("tomorrow"),
        "{txt}"
    );
    assert_eq!(lounge.guild.bot_nick(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_waits_for_is_closed_properly() {
    let (mut lounge, bot) = Lounge::with_session().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    bot.dies().await;
    lounge.ana.leaves_voice().await;
    let _bot = lounge.start().await;
    let end = lounge.ana.sees(&lounge.channel, "I was interrupted").await;
    assert!(file(&end, "transcript.txt").contains("Thursday"));
    assert_eq!(lounge.guild.bot_nick(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_voice_server_is_come_back_to_and_told() {
    let (lounge, _bot) = Lounge::with_session().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    // The session is no longer valid: a new one is begun.
    lounge.discord.closes_voice(4_006);
    lounge
        .ana
        .sees(&lounge.channel, "nobody could be heard for")
        .await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_may_refuse_the_call() {
    let (lounge, _bot) = Lounge::with_session().await;
    lounge.discord.closes_voice(4_017);
    lounge.is_over(".").await;
    let shown = lounge.shown();
    assert!(shown.contains("end-to-end encryption"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_leaves_gaps_that_are_told() {
    let (lounge, _bot) = Lounge::with_session().await;
    let stt = lounge.sandbox.assemblyai();
    for endpoint in [Endpoint::Sync, Endpoint::SyncLive] {
        stt.fault(endpoint, Fault::status(401).always());
    }
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    lounge.ana.sees(&lounge.channel, "of Ana not heard]").await;
    lounge
        .ana
        .sees(&lounge.channel, "writing it down fails at the moment")
        .await;
    stt.clear_faults();
    lounge
        .says(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_and_comes_back_is_heard() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge
        .says(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the notes.",
        )
        .await;
    lounge.ben.leaves_voice().await;
    lounge.ben.joins_voice(&lounge.lounge).await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    // Long enough for songbird to forget whose stream it is, were it not connected anew.
    lounge.ben.speaks(recording("numbers.ogg")).await;
    lounge
        .says(&lounge.ben, "meeting_c.ogg", "I will write them tomorrow.")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_becomes_encrypted_is_heard_on() {
    let mut lounge = Lounge::new().await;
    lounge.lounge.encrypts(false);
    let _bot = lounge.start().await;
    lounge.begins().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    lounge.lounge.encrypts(true);
    if driver() == "songbird" {
        // This blocks it for good, and another one takes its place.
        let gap = "nobody could be heard for";
        lounge.ana.sees(&lounge.channel, gap).await;
    }
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    let gap = lounge.shown().contains("nobody could be heard");
    assert_eq!(gap, driver() == "songbird");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_takes_no_message_does_not_stop_it() {
    let (lounge, _bot) = Lounge::with_session().await;
    let stt = lounge.sandbox.assemblyai();
    for endpoint in [Endpoint::Sync, Endpoint::SyncLive] {
        stt.fault(endpoint, Fault::status(401).always());
    }
    let down = Fault::status(503).always();
    lounge.discord.fault(DiscordEndpoint::CreateMessage, down);
    let before = lounge.discord.requests().len();
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    // It wants to say that it can't write down.
    let refused = |requests: &[sandbox::Recorded]| {
        let new = requests.iter().skip(before);
        let mut posts = new.filter(|it| it.method == "POST" && it.path.ends_with("/messages"));
        posts.any(|it| it.outcome != Outcome::Answering)
    };
    lounge.discord.wait_until(refused).await;
    stt.clear_faults();
    stt.hears("I will write the notes tomorrow.");
    lounge.ana.speaks(recording("meeting_c.ogg")).await;
    lounge
        .answered("/session", json!({}), "Voice session")
        .await;
    lounge.discord.clear_faults();
    lounge
        .ana
        .sees(&lounge.channel, "writing it down fails at the moment")
        .await;
    lounge
        .ana
        .sees(&lounge.channel, "**Ana:** I will write the notes")
        .await;
}
