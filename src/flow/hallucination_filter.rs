//! Drops words that a recognizer made up. Used for calls and recordings alike.
//!
//! Recognizers invent words for near-silence, sirens, dogs and music, usually the same few phrases.
//! The test is how much certain speech the audio holds: nobody says ten words in half a second.
//! Known hallucinations need more speech than other words do, but must not be stretched over a long
//! sound either.

use std::time::Duration;

use crate::speech::{Segment, Transcript};
use audio::SpeechTimes;

/// Fastest plausible speech, in words per second of certain speech. Fast talkers reach six.
const MAX_WORDS_PER_SECOND: f32 = 9.0;

/// With this much certain speech, the rate is not checked.
const RATE_CHECK_BELOW: Duration = Duration::from_secs(1);

/// Below this much certain speech, treat it as silence, whatever the words.
const MIN_SPEECH: Duration = Duration::from_millis(100);

/// Least certain speech for phrases that recognizers are known to make up.
const MIN_SPEECH_FOR_HALLUCINATION: Duration = Duration::from_millis(280);

/// Most time per word that a known hallucination may take when really said, apart from
/// [`HALLUCINATION_PAUSE_ALLOWANCE`]. A tune mistaken for speech takes longer.
const MAX_HALLUCINATION_TIME_PER_WORD: Duration = Duration::from_millis(800);

/// Extra time for a pause, where a known hallucination was really said.
const HALLUCINATION_PAUSE_ALLOWANCE: Duration = Duration::from_millis(1_500);

/// Phrases that recognizers make up, without punctuation.
const KNOWN_HALLUCINATIONS: [&str; 20] = [
    "thank you",
    "thanks",
    "thank you very much",
    "thank you so much",
    "thanks for watching",
    "thank you for watching",
    "thanks for listening",
    "please subscribe",
    "bye bye",
    "okay",
    "so",
    "the",
    "i",
    "music",
    "applause",
    "laughter",
    "vielen dank",
    "untertitel der amaraorg community",
    "merci",
    "gracias",
];

/// Filler sounds: a text of nothing else is a hallucination, however long it is.
const FILLER_SOUNDS: [&str; 20] = [
    "you", "bye", "oh", "ooh", "uh", "uhhuh", "um", "hm", "hmm", "mm", "mmm", "mmhmm", "mhm", "ah",
    "aah", "eh", "ha", "haha", "huh", "woof",
];

/// Text between these describes a sound that nobody said.
const ANNOTATION_BRACKETS: [(char, char); 4] = [('[', ']'), ('(', ')'), ('*', '*'), ('【', '】')];

/// Segments with a smaller gap are checked as one: some recognizers only guess sentence times
/// within a stretch of speech.
const MAX_SEGMENT_GAP: Duration = Duration::from_millis(300);

/// Counted before the first and after the last word, as word times are rough.
const SEGMENT_MARGIN: Duration = Duration::from_millis(300);

/// If times overrun the end of the recording by more than this, none of them can be trusted.
const MAX_OVERRUN: Duration = Duration::from_secs(1);

/// Removes the parts of `transcript` that the speech in the recording can't account for. `duration`
/// is the playing time of the recording.
#[must_use]
pub fn filter_transcript(
    transcript: Transcript,
    speech: &SpeechTimes,
    duration: Duration,
) -> Transcript {
    let end = transcript.segments.iter().map(|segment| segment.end).max();
    if end.is_none_or(|end| end > duration.saturating_add(MAX_OVERRUN)) {
        let keep = is_plausible_speech(&transcript.text, speech.total_speech());
        return if keep {
            transcript
        } else {
            transcript.retain_segments(&[], false)
        };
    }
    let mut keep = Vec::with_capacity(transcript.segments.len());
    for group in transcript.segments.chunk_by(are_adjacent) {
        let start = group.iter().map(|segment| segment.start).min();
        let end = group.iter().map(|segment| segment.end).max();
        let speech_here = speech.speech_between(
            start.unwrap_or_default().saturating_sub(SEGMENT_MARGIN),
            end.unwrap_or_default().saturating_add(SEGMENT_MARGIN),
        );
        let texts: Vec<&str> = group.iter().map(|segment| segment.text.as_str()).collect();
        let is_plausible = is_plausible_speech(&texts.join(" "), speech_here);
        keep.extend(std::iter::repeat_n(is_plausible, group.len()));
    }
    let dropped = keep.iter().filter(|keep| !**keep).count();
    if dropped > 0 {
        tracing::debug!(dropped, speech = ?speech.total_speech(), "segments without speech dropped");
    }
    transcript.retain_segments(&keep, true)
}

fn are_adjacent(segment: &Segment, next: &Segment) -> bool {
    next.start.saturating_sub(segment.end) < MAX_SEGMENT_GAP
}

/// Whether there is enough certain `speech` for `text` to have been said.
#[must_use]
pub fn is_plausible_speech(text: &str, speech: Duration) -> bool {
    let words = normalized_words(&strip_annotations(text));
    if words.is_empty() || speech < MIN_SPEECH {
        return false;
    }
    // Languages without spaces: twelve characters count as a word.
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let count = words.len().max(letters / 12);
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    if speech < RATE_CHECK_BELOW
        && f32::from(count) > MAX_WORDS_PER_SECOND * speech.as_secs_f32() + 1.0
    {
        return false;
    }
    if !is_known_hallucination(&words) {
        return true;
    }
    let longest =
        MAX_HALLUCINATION_TIME_PER_WORD * u32::from(count) + HALLUCINATION_PAUSE_ALLOWANCE;
    (MIN_SPEECH_FOR_HALLUCINATION..=longest).contains(&speech)
}

/// The words without case and punctuation.
fn normalized_words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| {
            word.chars()
                .filter(|letter| letter.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// The text without bracketed annotations: `[Music]`, `(applause)`, `*barks*`.
fn strip_annotations(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| ANNOTATION_BRACKETS.iter().any(|(open, _)| *open == c)) {
        let (before, from) = rest.split_at(at);
        let mut letters = from.chars();
        let open = letters.next();
        let inside = letters.as_str();
        let close = ANNOTATION_BRACKETS.iter().find(|(it, _)| Some(*it) == open);
        let end = close.and_then(|(_, close)| {
            let at = inside.find(*close)?;
            // Links and asides contain more than letters.
            let annotation = inside.get(..at)?;
            let plain = annotation
                .chars()
                .all(|c| c.is_alphabetic() || c.is_whitespace());
            plain.then_some(at + close.len_utf8())
        });
        plain.push_str(before);
        plain.push(' ');
        // Skip only the bracket if it encloses no annotation.
        rest = inside.get(end.unwrap_or(0)..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

fn is_known_hallucination(words: &[String]) -> bool {
    KNOWN_HALLUCINATIONS.contains(&words.join(" ").as_str())
        || words
            .iter()
            .all(|word| FILLER_SOUNDS.contains(&word.as_str()))
        || is_repetition(words)
}

/// Recognizers tend to get stuck repeating one word.
fn is_repetition(words: &[String]) -> bool {
    words.len() >= 4 && words.iter().all(|word| *word == words[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_speech() {
        let cases = [
            ("What is the capital of France?", 1_500, true),
            ("What is the capital of France?", 300, false),
            ("Thank you.", 150, false),
            ("Thank you.", 400, true),
            ("Yes.", 160, true),
            ("Yes.", 60, false),
            ("You", 120, false),
            ("No.", 130, true),
            ("Okay.", 700, true),
            ("Uh-huh.", 400, true),
            ("Uh, Uh", 200, false),
            ("Oh, oh, oh!", 6_000, false),
            ("Thank you.", 8_000, false),
            ("Thank you. I will.", 8_000, true),
            ("♪", 8_000, false),
            ("♪ ♪ [Music]", 8_000, false),
            ("(dramatic music playing)", 8_000, false),
            ("*barks*", 900, false),
            ("[the menu](https://example.org)", 900, true),
            ("Call (her at home", 900, true),
            ("We met Anna (my sister).", 1_500, true),
            ("la la la la la", 200, false),
            ("  … ", 900, false),
            ("フランスの首都はどこですか", 1_200, true),
            ("我们决定了发布日期", 1_000, true),
        ];
        for (text, millis, plausible) in cases {
            assert_eq!(
                is_plausible_speech(text, Duration::from_millis(millis)),
                plausible,
                "{text} in {millis} ms"
            );
        }
    }

    const LENGTH: Duration = Duration::from_secs(30);

    fn transcript(segments: &[(u64, u64, &str)]) -> Transcript {
        let segment = |(start, end, text): &(u64, u64, &str)| Segment {
            start: Duration::from_millis(*start),
            end: Duration::from_millis(*end),
            text: (*text).to_owned(),
            speaker: None,
        };
        let texts: Vec<&str> = segments.iter().map(|(_, _, text)| *text).collect();
        Transcript {
            text: texts.join(" "),
            segments: segments.iter().map(segment).collect(),
            words: Vec::new(),
            language: None,
            confidence: None,
            provider: "Somebody",
        }
    }

    #[test]
    fn segments_without_speech_are_dropped() {
        let speech = SpeechTimes::from_spans_ms(&[(1_000, 3_000), (20_000, 20_300)]);
        type ExpectedSegments<'a> = &'a [(u64, u64, &'a str)];
        let cases: [(ExpectedSegments<'_>, &str); 6] = [
            (&[(900, 3_100, "What is it?")], "What is it?"),
            (
                &[(900, 3_100, "What is it?"), (9_000, 10_000, "Thank you.")],
                "What is it?",
            ),
            (
                &[
                    (5_000, 6_000, "Uh, uh."),
                    (9_000, 10_000, "I'm going to the store."),
                ],
                "",
            ),
            // Keeps a short word, and one whose time is only a guess within its stretch of speech.
            (&[(20_000, 20_250, "Yes.")], "Yes."),
            (
                &[
                    (900, 3_400, "We ship it on Thursday."),
                    (3_400, 3_900, "No."),
                ],
                "We ship it on Thursday. No.",
            ),
            (&[(0, 30_000, "♪")], ""),
        ];
        for (segments, expected) in cases {
            let filtered = filter_transcript(transcript(segments), &speech, LENGTH);
            assert_eq!(filtered.text, expected);
            let texts: Vec<&str> = filtered
                .segments
                .iter()
                .map(|it| it.text.as_str())
                .collect();
            assert_eq!(texts.join(" "), expected);
        }
        let bare = |text: &str| Transcript {
            segments: Vec::new(),
            text: text.to_owned(),
            ..transcript(&[])
        };
        assert_eq!(
            filter_transcript(bare("It is so."), &speech, LENGTH).text,
            "It is so."
        );
        let silent = SpeechTimes::default();
        assert_eq!(
            filter_transcript(bare("It is so."), &silent, LENGTH).text,
            ""
        );
    }
}
