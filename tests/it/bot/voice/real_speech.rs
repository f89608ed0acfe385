//! A meeting of three people, in their own voices, written down by the recognizer of this machine.

use super::super::harness::sample_bytes;
use super::{VoiceFixture, attachment_text};
use crate::support::installed_models;
use crate::word_error_rate::{said, word_errors, words};

/// The packets that are in two seconds of speech.
const TWO_SECONDS: usize = 100;

/// Who says what, in this order.
const MEETING: [(&str, &str); 4] = [
    ("Ana", "meeting_a"),
    ("Ben", "meeting_b"),
    ("Cleo", "meeting_c"),
    ("Ana", "wake"),
];

/// The lines of a transcript: who, and what.
fn lines(txt: &str) -> Vec<(&str, &str)> {
    let lines = txt.lines().filter(|line| line.starts_with('['));
    lines
        .filter_map(|line| line.split_once("] ")?.1.split_once(": "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_people_are_understood_and_the_bot_is_called() {
    let Some(models) = installed_models() else {
        return;
    };
    let mut lounge = VoiceFixture::new().await;
    lounge
        .set("TALKBACK_MODELS", &models.to_string_lossy())
        .set("SPEECH_PROVIDERS", "local");
    let _bot = lounge.start().await;
    lounge.start_session().await;
    let (ana, ben) = (&lounge.ana, &lounge.ben);
    let cleo = lounge.guild.add_member("Cleo");
    for person in [ben, &cleo] {
        person.join_voice(&lounge.lounge).await;
        lounge.agrees(person).await;
    }
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;

    ana.speak(sample_bytes("meeting_a.ogg")).await;
    // Cleo does not let Ben finish.
    let before = lounge.discord.packets_forwarded_to_bot(ben);
    let ben_speaks = ben.start_speaking(sample_bytes("meeting_b.ogg"));
    let interrupted = before + TWO_SECONDS;
    lounge
        .discord
        .wait_for_packets_forwarded_to_bot(ben, interrupted)
        .await;
    cleo.speak(sample_bytes("meeting_c.ogg")).await;
    ben_speaks.wait_until_sent().await;
    lounge.sandbox.openai().says("You decided on Thursday.");
    ana.speak(sample_bytes("wake.ogg")).await;
    let answer = ana
        .wait_for_message(&lounge.channel, "You decided on Thursday.")
        .await;
    let answer = answer.wait_until_done().await;
    let asked = answer.to_lowercase();
    assert!(asked.starts_with("> **ana:** remind us"), "{answer}");

    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let last = lounge.stop_session().await;
    let txt = attachment_text(&last, "transcript.txt");
    let lines = lines(&txt);
    let people: Vec<&str> = lines.iter().map(|line| line.0).collect();
    assert_eq!(people, ["Ana", "Ben", "Cleo", "Ana", "Talkback"], "{txt}");
    let samples = said();
    let (mut wrong, mut all) = (0, 0);
    for ((person, sample), heard) in MEETING.into_iter().zip(&lines) {
        let spoken = samples.iter().find(|(name, _)| *name == sample);
        let spoken = words(spoken.expect("a sample").1);
        assert_eq!(person, heard.0);
        wrong += word_errors(&spoken, &words(heard.1));
        all += spoken.len();
    }
    assert!(wrong * 10 <= all, "{wrong} of {all} words wrong:\n{txt}");
}
