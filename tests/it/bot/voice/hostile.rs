//! Floods, nonsense, and more people than one expects.

use serde_json::json;

use super::super::running::recording;
use super::{Lounge, with_songbird_too};

with_songbird_too!(
    floods_and_nonsense_do_not_deafen_it,
    a_false_announcement_does_not_put_words_into_anybodys_mouth,
    many_people_at_once_are_all_written_down,
);

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_nonsense_do_not_deafen_it() {
    let (lounge, _bot) = Lounge::with_session().await;
    lounge.discord.floods_bot_with_streams(2_000);
    // An RTP header with a padding bit and no body, an extension longer than the packet, nothing.
    for bytes in [
        &[0xa0, 0x78, 0, 1][..],
        &[0x90, 0x78, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9],
        &[],
    ] {
        lounge.discord.sends_bot_datagram(bytes);
    }
    lounge
        .discord
        .sends_bot_voice_frame(5, &json!({"user_id": "1", "ssrc": 1, "speaking": 1}));
    lounge.discord.sends_bot_voice_bytes(27, &[0xff; 40]);
    lounge.discord.sends_bot_voice_bytes(30, &[0; 3]);
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_announcement_does_not_put_words_into_anybodys_mouth() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    lounge
        .discord
        .tells_bot_of_speaker(lounge.ben.id(), lounge.ana.ssrc());
    lounge
        .sandbox
        .assemblyai()
        .hears("I will write them tomorrow.");
    lounge.ana.speaks(recording("meeting_c.ogg")).await;
    lounge.ben.speaks(recording("meeting_b.ogg")).await;
    lounge
        .ana
        .sees(&lounge.channel, "**Ben:** I will write them")
        .await;
    assert!(!lounge.shown().contains("**Ben:** I think"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_people_at_once_are_all_written_down() {
    const PEOPLE: usize = 25;
    let (lounge, _bot) = Lounge::with_session().await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let person = lounge.guild.member(&format!("Person{number}"));
        person.joins_voice(&lounge.lounge).await;
        lounge.agrees(&person).await;
        people.push(person);
    }
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge.sandbox.assemblyai().hears("All at once.");
    let talking: Vec<_> = people
        .iter()
        .map(|it| it.begins_to_speak(recording("capital.ogg")))
        .collect();
    for speech in talking {
        speech.ends().await;
    }
    for number in 0..PEOPLE {
        let words = format!("**Person{number}:** All at once.");
        lounge.ana.sees(&lounge.channel, &words).await;
    }
}
