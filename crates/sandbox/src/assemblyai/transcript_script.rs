//! What is heard.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

/// Words per minute of somebody who talks at leisure: one every 300 ms.
pub(super) const WORD_MS: u64 = 300;

/// What is said in one clip, or in one turn of a live session.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ScriptedSpeech {
    /// Who says what, in order. Without names, one speaker.
    pub(super) lines: Vec<(Option<String>, String)>,
}

impl ScriptedSpeech {
    pub(super) fn from_text(text: &str) -> Self {
        Self {
            lines: vec![(None, text.to_owned())],
        }
    }

    pub(super) fn full_text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|(_, text)| text.trim()).collect();
        lines.join(" ").trim().to_owned()
    }
}

#[derive(Debug)]
pub(super) struct TranscriptScript {
    pub(super) speech: ScriptedSpeech,
    pub(super) queued: VecDeque<ScriptedSpeech>,
    pub(super) polls_before_done: u32,
    pub(super) processing_time: Duration,
    /// Set if the last piece of a live upload takes another time.
    pub(super) last_chunk_processing_time: Option<Duration>,
    /// How long a live upload may bring nothing.
    pub(super) upload_idle_timeout: Duration,
    pub(super) clip_duration: Option<Duration>,
    pub(super) language: String,
    pub(super) key: String,
    pub(super) use_rfc9457_errors: bool,
    pub(super) model_used: Option<String>,
    pub(super) real_time_only: bool,
    pub(super) inactivity_timeout: Option<Duration>,
    pub(super) heartbeat_interval: Option<Duration>,
}

impl TranscriptScript {
    pub(super) fn new(key: &str) -> Self {
        Self {
            speech: ScriptedSpeech::from_text("What is the capital of France?"),
            queued: VecDeque::new(),
            polls_before_done: 0,
            processing_time: Duration::ZERO,
            last_chunk_processing_time: None,
            upload_idle_timeout: super::sync_live::IDLE_TIMEOUT,
            clip_duration: None,
            language: "en".to_owned(),
            key: key.to_owned(),
            use_rfc9457_errors: true,
            model_used: None,
            real_time_only: false,
            inactivity_timeout: None,
            heartbeat_interval: None,
        }
    }

    pub(super) fn next_speech(&mut self) -> ScriptedSpeech {
        self.queued
            .pop_front()
            .unwrap_or_else(|| self.speech.clone())
    }
}

/// A word with its place in the clip.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TimedWord {
    pub(super) text: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) confidence: f64,
    pub(super) speaker: Option<String>,
}

impl TimedWord {
    /// As the pre-recorded surface shows it.
    pub(super) fn to_json(&self, speaker_labels: bool) -> Value {
        let speaker = self.speaker.as_deref().filter(|_| speaker_labels);
        json!({
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "confidence": self.confidence,
            "speaker": speaker,
        })
    }
}

/// The words of what was said, spread over a clip of this many milliseconds: long words take
/// longer, and there is a little silence around it all.
pub(super) fn time_words(said: &ScriptedSpeech, clip_ms: u64) -> Vec<TimedWord> {
    let spoken: Vec<(&str, Option<&String>)> = said
        .lines
        .iter()
        .flat_map(|(speaker, text)| {
            text.split_whitespace()
                .map(move |word| (word, speaker.as_ref()))
        })
        .collect();
    let weight = |word: &str| word.chars().count() as u64 + 2;
    let total: u64 = spoken.iter().map(|(word, _)| weight(word)).sum();
    let (from, to) = (clip_ms / 20, clip_ms - clip_ms / 20);
    let mut before = 0;
    spoken
        .iter()
        .enumerate()
        .map(|(index, (word, speaker))| {
            let place = |weight: u64| from + (to - from) * weight / total.max(1);
            let start = place(before);
            before += weight(word);
            let end = place(before);
            TimedWord {
                text: (*word).to_owned(),
                start,
                // A short pause before the next word.
                end: end - (end - start) / 10,
                confidence: 0.99 - (index % 7) as f64 / 100.0,
                speaker: Some(speaker.map_or_else(|| "A".to_owned(), ToString::to_string)),
            }
        })
        .collect()
}

/// The mean, 0 for silence.
pub(super) fn mean_confidence(words: &[TimedWord]) -> f64 {
    if words.is_empty() {
        return 0.0;
    }
    let sum: f64 = words.iter().map(|word| word.confidence).sum();
    (sum / words.len() as f64 * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_in_order_within_the_clip() {
        let said = ScriptedSpeech::from_text("What is the capital of France?");
        let words = time_words(&said, 2_000);
        assert_eq!(words.len(), 6);
        assert_eq!(words[5].text, "France?");
        assert!(words[0].start >= 100 && words[5].end <= 1_900);
        for pair in words.windows(2) {
            assert!(pair[0].start < pair[0].end);
            assert!(pair[0].end <= pair[1].start);
        }
    }

    #[test]
    fn silence_has_no_words() {
        assert_eq!(time_words(&ScriptedSpeech::from_text(" "), 2_000), []);
    }
}
