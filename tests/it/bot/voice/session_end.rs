//! How sessions end.

use sandbox::{AssemblyAiEndpoint, Fault, Gate, OpenAiEndpoint};
use serde_json::json;

use super::super::harness::sample_bytes;
use super::{VoiceFixture, attachment_text, with_songbird_too};

with_songbird_too!(
    it_follows_a_moderator_and_goes_when_it_is_sent_away,
    session_ends_when_its_channel_is_deleted,
);

#[tokio::test(flavor = "multi_thread")]
async fn bot_leaves_an_empty_channel() {
    let mut lounge = VoiceFixture::new().await;
    lounge.set("VOICE_ALONE_SECONDS", "2");
    let _bot = lounge.start().await;
    lounge.start_session().await;
    lounge.ana.leave_voice().await;
    let end = lounge
        .wait_for_session_end(": nobody was left in the call")
        .await;
    assert!(
        end.text().contains("Nothing has been written down"),
        "{}",
        end.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_a_moderator_and_goes_when_it_is_sent_away() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let attic = lounge.guild.add_voice_channel("Attic");
    lounge.ana.leave_voice().await;
    lounge.ana.join_voice(&attic).await;
    lounge.guild.move_bot(&attic);
    lounge.discord.wait_until_bot_receiving(&attic).await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    lounge.guild.disconnect_bot();
    let end = lounge
        .wait_for_session_end(": I was removed from the call")
        .await;
    let txt = attachment_text(&end, "transcript.txt");
    assert!(
        txt.contains("Thursday") && txt.contains("tomorrow"),
        "{txt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn session_ends_when_its_channel_is_deleted() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    lounge.lounge.delete();
    lounge
        .wait_for_session_end(": I was removed from the call")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn being_asked_to_end_it_comes_back_and_goes_on() {
    let (mut lounge, mut bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    bot.terminate();
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm being restarted")
        .await;
    assert_eq!(bot.wait_for_exit().await, Some(0));
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
    assert!(txt.contains("[nobody could be heard for"), "{txt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_left_before_the_end_is_written() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let said = "I think we should ship on Thursday.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", said)
        .await;
    let gate = Gate::new();
    lounge
        .sandbox
        .openai()
        .add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let leaving = lounge.run_command("/leave", json!({})).await;
    // The summary is being made, however long that takes.
    gate.wait_until_reached().await;
    lounge.discord.wait_until_bot_left_call().await;
    lounge.guild.wait_until_bot_in_voice(None).await;
    lounge
        .run_and_wait("/join", json!({}), "still finishing the last session")
        .await;
    lounge
        .run_and_wait("/session", json!({}), "I'm not in a voice channel")
        .await;
    gate.open();
    leaving.wait_for_answer_containing("I've left").await;
    lounge.wait_for_session_end("").await;
    lounge.start_session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_while_the_gateway_is_away_is_not_waited_for() {
    let mut lounge = VoiceFixture::new().await;
    lounge.set("VOICE_ALONE_SECONDS", "2");
    let _bot = lounge.start().await;
    lounge.start_session().await;
    lounge.discord.invalidate_sessions();
    lounge.ana.leave_voice().await;
    lounge
        .wait_for_session_end(": nobody was left in the call")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_never_come_take_no_others_along() {
    let (mut lounge, mut bot) = VoiceFixture::new_with_both_consenting().await;
    let gate = Gate::new();
    let stt = lounge.sandbox.assemblyai();
    stt.add_fault(AssemblyAiEndpoint::SyncLive, Fault::gate(&gate));
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    gate.wait_until_reached().await;
    stt.set_transcript("I will write the notes tomorrow.");
    lounge.ben.speak(sample_bytes("meeting_c.ogg")).await;
    bot.terminate();
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm being restarted")
        .await;
    assert_eq!(bot.wait_for_exit().await, Some(0));
    let _bot = lounge.start().await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm back")
        .await;
    let txt = attachment_text(&lounge.stop_session().await, "transcript.txt");
    assert!(txt.contains("s of Ana not heard]"), "{txt}");
    assert!(txt.contains("Ben: I will write the notes"), "{txt}");
}
