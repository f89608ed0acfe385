//! How sessions end.

use super::{Lounge, file};

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
