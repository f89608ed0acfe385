//! How sessions end.

use sandbox::{Endpoint, Fault, Gate, OpenAiEndpoint};
use serde_json::json;

use super::super::running::recording;
use super::{Lounge, file, with_songbird_too};

with_songbird_too!(
    it_follows_a_moderator_and_goes_when_it_is_sent_away,
    it_goes_with_its_channel,
);

#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_when_it_is_alone() {
    let mut lounge = Lounge::new().await;
    lounge.set("VOICE_ALONE_SECONDS", "2");
    let _bot = lounge.start().await;
    lounge.begins().await;
    lounge.ana.leaves_voice().await;
    let end = lounge.is_over(": nobody was left in the call").await;
    assert!(
        end.text().contains("Nothing has been written down"),
        "{}",
        end.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_a_moderator_and_goes_when_it_is_sent_away() {
    let (lounge, _bot) = Lounge::with_session().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let attic = lounge.guild.voice_channel("Attic");
    lounge.ana.leaves_voice().await;
    lounge.ana.joins_voice(&attic).await;
    lounge.guild.moves_bot(&attic);
    lounge.discord.until_bot_hears(&attic).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    lounge.guild.disconnects_bot();
    let end = lounge.is_over(": I was taken out of the call").await;
    let txt = file(&end, "transcript.txt");
    assert!(
        txt.contains("Thursday") && txt.contains("tomorrow"),
        "{txt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_with_its_channel() {
    let (lounge, _bot) = Lounge::with_session().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    lounge.lounge.delete();
    lounge.is_over(": I was taken out of the call").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn being_asked_to_end_it_comes_back_and_goes_on() {
    let (mut lounge, mut bot) = Lounge::with_session().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    bot.terminate();
    lounge
        .ana
        .sees(&lounge.channel, "I am being restarted")
        .await;
    assert_eq!(bot.ends().await, Some(0));
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
    assert!(txt.contains("[nobody could be heard for"), "{txt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_left_before_the_end_is_written() {
    let (lounge, _bot) = Lounge::with_session().await;
    let said = "I think we should ship on Thursday.";
    lounge.says(&lounge.ana, "meeting_a.ogg", said).await;
    let gate = Gate::new();
    lounge
        .sandbox
        .openai()
        .fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let leaving = lounge.runs("/leave", json!({})).await;
    // The summary is being made, however long that takes.
    gate.reached().await;
    lounge.discord.until_bot_out_of_call().await;
    lounge.guild.until_bot_in_voice(None).await;
    lounge
        .answered("/join", json!({}), "still writing the end")
        .await;
    lounge
        .answered("/session", json!({}), "I am in no voice channel")
        .await;
    gate.open();
    leaving.answer_with("I have left").await;
    lounge.is_over("").await;
    lounge.begins().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_while_the_gateway_is_away_is_not_waited_for() {
    let mut lounge = Lounge::new().await;
    lounge.set("VOICE_ALONE_SECONDS", "2");
    let _bot = lounge.start().await;
    lounge.begins().await;
    lounge.discord.invalidates_sessions();
    lounge.ana.leaves_voice().await;
    lounge.is_over(": nobody was left in the call").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_never_come_take_no_others_along() {
    let (mut lounge, mut bot) = Lounge::with_both().await;
    let gate = Gate::new();
    let stt = lounge.sandbox.assemblyai();
    stt.fault(Endpoint::SyncLive, Fault::gate(&gate));
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    gate.reached().await;
    stt.hears("I will write the notes tomorrow.");
    lounge.ben.speaks(recording("meeting_c.ogg")).await;
    bot.terminate();
    lounge
        .ana
        .sees(&lounge.channel, "I am being restarted")
        .await;
    assert_eq!(bot.ends().await, Some(0));
    let _bot = lounge.start().await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge.ana.sees(&lounge.channel, "I am back").await;
    let txt = file(&lounge.ends().await, "transcript.txt");
    assert!(txt.contains("s of Ana not heard]"), "{txt}");
    assert!(txt.contains("Ben: I will write the notes"), "{txt}");
}
