//! A meeting of three people, in their own voices, written down by the recognizer of this machine.

use super::super::running::recording;
use super::{Lounge, file};
use crate::support::models_of_this_machine;
use crate::word_errors::{said, word_errors, words};

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
    let Some(models) = models_of_this_machine() else {
        return;
    };
    let mut lounge = Lounge::new().await;
    lounge
        .set("TALKBACK_MODELS", &models.to_string_lossy())
        .set("SPEECH_PROVIDERS", "local");
    let _bot = lounge.start().await;
    lounge.begins().await;
    let (ana, ben) = (&lounge.ana, &lounge.ben);
    let cleo = lounge.guild.member("Cleo");
    for person in [ben, &cleo] {
        person.joins_voice(&lounge.lounge).await;
        lounge.agrees(person).await;
    }
    lounge.discord.until_bot_hears(&lounge.lounge).await;

    ana.speaks(recording("meeting_a.ogg")).await;
    // Cleo does not let Ben finish.
    let before = lounge.discord.forwarded_to_bot(ben);
    let ben_speaks = ben.begins_to_speak(recording("meeting_b.ogg"));
    let interrupted = before + TWO_SECONDS;
    lounge
        .discord
        .until_forwarded_to_bot(ben, interrupted)
        .await;
    cleo.speaks(recording("meeting_c.ogg")).await;
    ben_speaks.ends().await;
    lounge.sandbox.openai().says("You decided on Thursday.");
    ana.speaks(recording("wake.ogg")).await;
    let answer = ana.sees(&lounge.channel, "You decided on Thursday.").await;
    let answer = answer.until_done().await;
    let asked = answer.to_lowercase();
    assert!(asked.starts_with("> **ana:** remind us"), "{answer}");

    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let last = lounge.ends().await;
    let txt = file(&last, "transcript.txt");
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
