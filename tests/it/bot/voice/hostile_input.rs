//! Floods, nonsense, and more people than one expects.

use serde_json::json;

use super::super::harness::sample_bytes;
use super::{VoiceFixture, with_songbird_too};

with_songbird_too!(
    floods_and_nonsense_do_not_deafen_it,
    a_false_announcement_does_not_put_words_into_anybodys_mouth,
    many_people_at_once_are_all_written_down,
);

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_nonsense_do_not_deafen_it() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.discord.flood_bot_with_streams(2_000);
    // An RTP header with a padding bit and no body, an extension longer than the packet, nothing.
    for bytes in [
        &[0xa0, 0x78, 0, 1][..],
        &[0x90, 0x78, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9],
        &[],
    ] {
        lounge.discord.send_datagram_to_bot(bytes);
    }
    lounge
        .discord
        .send_voice_frame_to_bot(5, &json!({"user_id": "1", "ssrc": 1, "speaking": 1}));
    lounge.discord.send_voice_bytes_to_bot(27, &[0xff; 40]);
    lounge.discord.send_voice_bytes_to_bot(30, &[0; 3]);
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_announcement_does_not_put_words_into_anybodys_mouth() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    lounge
        .discord
        .announce_speaker_to_bot(lounge.ben.id(), lounge.ana.ssrc());
    lounge
        .sandbox
        .assemblyai()
        .set_transcript("I will write them tomorrow.");
    lounge.ana.speak(sample_bytes("meeting_c.ogg")).await;
    lounge.ben.speak(sample_bytes("meeting_b.ogg")).await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "**Ben:** I will write them")
        .await;
    assert!(!lounge.transcript_text().contains("**Ben:** I think"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_people_at_once_are_all_written_down() {
    const PEOPLE: usize = 25;
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let person = lounge.guild.add_member(&format!("Person{number}"));
        person.join_voice(&lounge.lounge).await;
        lounge.agrees(&person).await;
        people.push(person);
    }
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge.sandbox.assemblyai().set_transcript("All at once.");
    let talking: Vec<_> = people
        .iter()
        .map(|it| it.start_speaking(sample_bytes("capital.ogg")))
        .collect();
    for speech in talking {
        speech.wait_until_sent().await;
    }
    for number in 0..PEOPLE {
        let words = format!("**Person{number}:** All at once.");
        lounge.ana.wait_for_message(&lounge.channel, &words).await;
    }
}
