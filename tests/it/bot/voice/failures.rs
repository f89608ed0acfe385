//! Things break in the middle of a session.

use sandbox::{AssemblyAiEndpoint, DiscordEndpoint, Fault, ResponseOutcome};
use serde_json::json;

use super::super::harness::sample_bytes;
use super::{VoiceFixture, attachment_text, driver_name, with_songbird_too};

with_songbird_too!(
    session_continues_after_a_kill,
    a_lost_voice_server_is_come_back_to_and_told,
    discord_may_refuse_the_call,
    whoever_leaves_and_comes_back_is_heard,
    a_call_that_becomes_encrypted_is_heard_on,
);

#[tokio::test(flavor = "multi_thread")]
async fn session_continues_after_a_kill() {
    let (mut lounge, bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    bot.kill().await;
    let _bot = lounge.start().await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    let txt = attachment_text(&lounge.stop_session().await, "transcript.txt");
    assert!(
        txt.contains("Thursday") && txt.contains("tomorrow"),
        "{txt}"
    );
    assert_eq!(lounge.guild.bot_nick(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_waits_for_is_closed_properly() {
    let (mut lounge, bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    bot.kill().await;
    lounge.ana.leave_voice().await;
    let _bot = lounge.start().await;
    let end = lounge
        .ana
        .wait_for_message(&lounge.channel, "I was interrupted")
        .await;
    assert!(attachment_text(&end, "transcript.txt").contains("Thursday"));
    assert_eq!(lounge.guild.bot_nick(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_voice_server_is_come_back_to_and_told() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    // The session is no longer valid: a new one is begun.
    lounge.discord.close_bot_voice(4_006);
    lounge
        .ana
        .wait_for_message(&lounge.channel, "nobody could be heard for")
        .await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_may_refuse_the_call() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.discord.close_bot_voice(4_017);
    lounge.wait_for_session_end(".").await;
    let shown = lounge.transcript_text();
    assert!(shown.contains("end-to-end encryption"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_leaves_gaps_that_are_told() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let stt = lounge.sandbox.assemblyai();
    for endpoint in [AssemblyAiEndpoint::Sync, AssemblyAiEndpoint::SyncLive] {
        stt.add_fault(endpoint, Fault::status(401).always());
    }
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "of Ana not heard]")
        .await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I can't transcribe right now")
        .await;
    stt.clear_faults();
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_and_comes_back_is_heard() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the notes.",
        )
        .await;
    lounge.ben.leave_voice().await;
    lounge.ben.join_voice(&lounge.lounge).await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    // Long enough for songbird to forget whose stream it is, were it not connected anew.
    lounge.ben.speak(sample_bytes("numbers.ogg")).await;
    lounge
        .speak_and_wait(&lounge.ben, "meeting_c.ogg", "I will write them tomorrow.")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_becomes_encrypted_is_heard_on() {
    let mut lounge = VoiceFixture::new().await;
    lounge.lounge.encrypts(false);
    let _bot = lounge.start().await;
    lounge.start_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    lounge.lounge.encrypts(true);
    if driver_name() == "songbird" {
        // This blocks it for good, and another one takes its place.
        let gap = "nobody could be heard for";
        lounge.ana.wait_for_message(&lounge.channel, gap).await;
    }
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    let gap = lounge.transcript_text().contains("nobody could be heard");
    assert_eq!(gap, driver_name() == "songbird");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_takes_no_message_does_not_stop_it() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let stt = lounge.sandbox.assemblyai();
    for endpoint in [AssemblyAiEndpoint::Sync, AssemblyAiEndpoint::SyncLive] {
        stt.add_fault(endpoint, Fault::status(401).always());
    }
    let down = Fault::status(503).always();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, down);
    let before = lounge.discord.requests().len();
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    // It wants to say that it can't write down.
    let refused = |requests: &[sandbox::RecordedRequest]| {
        let new = requests.iter().skip(before);
        let mut posts = new.filter(|it| it.method == "POST" && it.path.ends_with("/messages"));
        posts.any(|it| it.outcome != ResponseOutcome::Pending)
    };
    lounge.discord.wait_until(refused).await;
    stt.clear_faults();
    stt.set_transcript("I will write the notes tomorrow.");
    lounge.ana.speak(sample_bytes("meeting_c.ogg")).await;
    lounge
        .run_and_wait("/session", json!({}), "Voice session")
        .await;
    lounge.discord.clear_faults();
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I can't transcribe right now")
        .await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "**Ana:** I will write the notes")
        .await;
}
