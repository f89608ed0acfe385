//! Tests of the rendered files and of the cues behind them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::speech::{Segment, Transcript, Word};

fn word(text: &str, start: u64, end: u64, speaker: Option<&str>) -> Word {
    Word {
        text: text.to_owned(),
        start: Duration::from_millis(start),
        end: Duration::from_millis(end),
        confidence: Some(0.9),
        speaker: speaker.map(str::to_owned),
    }
}

fn transcript(words: Vec<Word>) -> Transcript {
    let segments = crate::speech::segments::segments_from_words(&words);
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    Transcript {
        text: texts.join(" "),
        segments,
        words,
        language: Some("en".to_owned()),
        confidence: Some(0.95),
        provider: "test",
    }
}

/// Words of 300 ms with gaps of 50 ms.
fn evenly_timed_transcript(text: &str) -> Transcript {
    let words = (0..)
        .zip(text.split_whitespace())
        .map(|(n, text)| word(text, n * 350, n * 350 + 300, None))
        .collect();
    transcript(words)
}

fn meeting() -> Transcript {
    transcript(vec![
        word("Is", 500, 700, Some("Ann")),
        word("1<2", 700, 1_100, Some("Ann")),
        word("&", 1_100, 1_200, Some("Ann")),
        word("2>1?", 1_200, 1_900, Some("Ann")),
        word("Yes.", 1_950, 2_100, Some("Bob <b>")),
        word("-->", 5_000, 5_100, None),
        word("Go.", 5_100, 5_400, None),
    ])
}

const SPEECH: &str = "Talkback hears voice messages, audio attachments and whole voice channels, \
    writes down who said what, asks a language model, and answers in the text channel. \
    It is made for people who would rather talk than type.";

#[test]
fn srt_has_numbered_cues_and_comma_times() {
    insta::assert_snapshot!(to_srt(&evenly_timed_transcript(SPEECH)));
}

#[test]
fn vtt_has_voice_spans_and_escaped_text() {
    insta::assert_snapshot!(to_vtt(&meeting()));
}

#[test]
fn srt_replaces_arrows_in_text() {
    let srt = to_srt(&meeting());
    assert_eq!(srt.matches("-->").count(), 3, "one for each cue");
}

#[test]
fn json_has_every_field() {
    insta::assert_snapshot!(to_json(&transcript(vec![
        word("Hello", 0, 400, None),
        word("there.", 450, 900, Some("A")),
    ])));
}

#[test]
fn text_names_speakers_where_they_are_known() {
    assert_eq!(
        to_text(&meeting()),
        "Ann: Is 1<2 & 2>1?\n\nBob <b>: Yes.\n\n--> Go.\n"
    );
    assert_eq!(
        to_text(&evenly_timed_transcript(" Hello there. ")),
        "Hello there.\n"
    );
}

#[test]
fn an_empty_transcript_gives_empty_files() {
    let silence = transcript(Vec::new());
    assert_eq!(to_srt(&silence), "");
    assert_eq!(to_vtt(&silence), "WEBVTT\n\n");
    assert_eq!(to_text(&silence), "");
}

#[test]
fn segment_time_is_distributed_without_words() {
    let mut speech = evenly_timed_transcript(SPEECH);
    speech.words.clear();
    speech.segments = vec![Segment {
        start: Duration::from_secs(3),
        end: Duration::from_secs(18),
        text: SPEECH.to_owned(),
        speaker: None,
    }];
    let cues = build_cues(&speech);
    assert_eq!(cues[0].start, Duration::from_secs(3));
    assert!(cues.len() >= 3);
    assert_eq!(
        cues.last().map(|cue| cue.end),
        Some(Duration::from_secs(18))
    );
    assert_eq!(cues_text(&cues), without_whitespace(SPEECH));
}

#[test]
fn chinese_is_broken_into_lines_without_spaces() {
    let text = "我们今天在这里讨论语音识别的问题".repeat(6);
    let cues = build_cues(&transcript(vec![word(&text, 0, 20_000, None)]));
    assert!(
        cues.iter()
            .all(|cue| cue.lines.iter().all(|line| !line.contains(' ')))
    );
    assert_eq!(cues_text(&cues), text);
}

#[test]
fn hours_are_written_out() {
    let late = transcript(vec![word("Late.", 36_061_007, 36_062_500, None)]);
    assert!(to_srt(&late).contains("10:01:01,007 --> 10:01:02,500"));
}

/// Start and end of each cue in ms, and its lines joined by `|`.
fn cue_times_and_text(transcript: &Transcript) -> Vec<(u128, u128, String)> {
    build_cues(transcript)
        .iter()
        .map(|cue| {
            (
                cue.start.as_millis(),
                cue.end.as_millis(),
                cue.lines.join("|"),
            )
        })
        .collect()
}

#[test]
fn speakers_never_share_a_cue() {
    let argument = transcript(vec![
        word("Yes.", 0, 300, Some("A")),
        word("No.", 400, 700, Some("B")),
    ]);
    assert_eq!(
        cue_times_and_text(&argument),
        [(0, 400, "Yes.".to_owned()), (400, 1_400, "No.".to_owned())]
    );
}

#[test]
fn a_pause_ends_the_cue() {
    let hesitation = transcript(vec![
        word("So", 0, 1_200, None),
        word("well", 2_200, 3_500, None),
    ]);
    assert_eq!(
        cue_times_and_text(&hesitation),
        [
            (0, 1_200, "So".to_owned()),
            (2_200, 3_500, "well".to_owned())
        ]
    );
}

#[test]
fn slow_words_are_shown_when_spoken() {
    let words = (0..8).map(|n| word("slow", n * 1_500, n * 1_500 + 1_000, None));
    assert_eq!(
        cue_times_and_text(&transcript(words.collect())),
        [
            (0, 7_000, "slow slow slow slow slow".to_owned()),
            (7_500, 11_500, "slow slow slow".to_owned()),
        ]
    );
}

#[test]
fn a_full_cue_is_cut_after_a_clause_but_not_after_one_word() {
    let late_comma = "one two three four five six seven eight nine ten, eleven twelve thirteen \
        fourteen fifteen sixteen seventeen";
    let cut = build_cues(&evenly_timed_transcript(late_comma));
    assert!(cut[0].lines[cut[0].lines.len() - 1].ends_with("ten,"));
    let early_comma = late_comma.replace(',', "").replace("one", "one,");
    let cut = build_cues(&evenly_timed_transcript(&early_comma));
    assert!(cut[0].lines.len() == 2, "not cut after the first word");
}

#[test]
fn text_without_any_times_is_shown_at_reading_speed() {
    let mut speech = evenly_timed_transcript(SPEECH);
    speech.words.clear();
    speech.segments.clear();
    speech.text = SPEECH.to_owned();
    let cues = build_cues(&speech);
    assert_eq!(cues_text(&cues), without_whitespace(SPEECH));
    let seconds = cues.last().expect("some").end.as_secs();
    assert!((10..20).contains(&seconds), "{seconds}");
}

/// The text of all cues without whitespace.
fn cues_text(cues: &[Cue]) -> String {
    cues.iter()
        .flat_map(|cue| &cue.lines)
        .map(|line| without_whitespace(line))
        .collect()
}

fn without_whitespace(text: &str) -> String {
    text.split_whitespace().collect()
}

fn any_word() -> impl Strategy<Value = Word> {
    (
        "[a-zA-Z,.?<&\u{4e00}-\u{4e20}]{0,12}|[a-z]{90}| |-->",
        0_u64..60_000,
        0_u64..10_000,
        prop::option::of("[AB]"),
    )
        .prop_map(|(text, start, length, speaker)| Word {
            text,
            start: Duration::from_millis(start),
            end: Duration::from_millis(start + length),
            confidence: None,
            speaker,
        })
}

fn any_segment() -> impl Strategy<Value = Segment> {
    ("([a-z,.]{1,20} ){0,40}", 0_u64..60_000, 0_u64..90_000).prop_map(|(text, start, length)| {
        Segment {
            start: Duration::from_millis(start),
            end: Duration::from_millis(start + length),
            text,
            speaker: None,
        }
    })
}

fn check_cues(transcript: &Transcript, said: &str) -> Result<(), TestCaseError> {
    let cues = build_cues(transcript);
    for cue in &cues {
        prop_assert!(cue.start < cue.end);
        prop_assert!(cue.end - cue.start <= MAX_CUE_DURATION);
        prop_assert!((1..=MAX_LINES).contains(&cue.lines.len()));
        for line in &cue.lines {
            prop_assert!((1..=MAX_LINE_CHARS).contains(&line.chars().count()));
        }
    }
    for pair in cues.windows(2) {
        prop_assert!(pair[0].end <= pair[1].start);
        let shown = pair[0].end - pair[0].start;
        prop_assert!(shown >= MIN_CUE_DURATION || pair[0].end == pair[1].start);
    }
    prop_assert_eq!(cues_text(&cues), without_whitespace(said));
    let vtt = to_vtt(transcript);
    prop_assert_eq!(vtt.matches("-->").count(), cues.len());
    prop_assert_eq!(to_srt(transcript).matches("-->").count(), cues.len());
    Ok(())
}

proptest! {
    #[test]
    fn cues_never_overlap_and_lose_no_word(
        words in prop::collection::vec(any_word(), 1..80), sorted in any::<bool>(),
    ) {
        let mut words = words;
        if sorted {
            words.sort_by_key(|word| word.start);
        }
        let said: String = words.iter().map(|word| word.text.as_str()).collect();
        check_cues(&transcript(words), &said)?;
    }

    #[test]
    fn cues_of_segments_never_overlap_and_lose_no_word(
        segments in prop::collection::vec(any_segment(), 1..8),
    ) {
        let said: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        let mut transcript = transcript(Vec::new());
        transcript.text = said.clone();
        transcript.segments = segments;
        check_cues(&transcript, &said)?;
    }
}
