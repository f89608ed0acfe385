//! One turn of a live session, and when there is something to say of it.
//!
//! The Pro models do not tell word by word: the first words come about 750 ms after somebody begins
//! to speak, further ones at pauses, and about every 3 s without one. A turn that seems to be
//! complete ends with the first short silence, any other with a long one. The older models tell each
//! word as it is heard.

use serde_json::{Value, json};

use super::super::script::{Said, WORD_MS};
use super::query::Settings;

/// What the first words take beyond `interruption_delay`, in milliseconds.
const FIRST_WORDS_MS: u64 = 250;

/// Between words without a pause, in milliseconds.
const CONTINUOUS_MS: u64 = 3_000;

#[derive(Debug)]
pub(super) struct Turn {
    words: Vec<String>,
    /// Who is said to speak, which may not be who is named at first.
    speaker: String,
    start_ms: u64,
    /// How long it has gone on.
    length_ms: u64,
    voiced_ms: u64,
    silent_ms: u64,
    /// Words that have been told, and when.
    told: Option<(usize, u64)>,
    /// What can be told in this pause is told.
    paused: bool,
}

/// Who is named while nobody can be sure.
const FIRST_GUESS: &str = "A";

impl Turn {
    /// Somebody begins to say this.
    pub(super) fn begins(at: u64, said: &Said) -> Self {
        let words = said.whole();
        let speaker = said.lines.first().and_then(|(name, _)| name.as_deref());
        Self {
            words: words.split_whitespace().map(str::to_owned).collect(),
            speaker: speaker.unwrap_or(FIRST_GUESS).to_owned(),
            start_ms: at,
            length_ms: 0,
            voiced_ms: 0,
            silent_ms: 0,
            told: None,
            paused: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn voiced(&mut self, duration: u64) {
        self.length_ms += duration;
        self.voiced_ms += duration;
        self.silent_ms = 0;
        self.paused = false;
    }

    pub(super) fn silent(&mut self, duration: u64) {
        self.length_ms += duration;
        self.silent_ms += duration;
    }

    fn heard(&self) -> usize {
        self.words.len().min((self.voiced_ms / WORD_MS) as usize)
    }

    /// Whether it ends here.
    pub(super) fn is_over(&self, settings: &Settings) -> bool {
        let complete = self.heard() == self.words.len();
        self.silent_ms >= settings.max_turn_silence()
            || complete && self.silent_ms > 0 && self.silent_ms >= settings.min_turn_silence()
    }

    /// Whether there are words to be told that have not been.
    pub(super) fn has_news(&self, settings: &Settings) -> bool {
        let (told, at) = self.told.unwrap_or_default();
        if self.heard() <= told {
            return false;
        }
        if !settings.is_pro() {
            return true;
        }
        let first =
            self.told.is_none() && self.length_ms >= settings.interruption_delay + FIRST_WORDS_MS;
        let pause =
            !self.paused && self.silent_ms > 0 && self.silent_ms >= settings.min_turn_silence();
        let goes_on = self.told.is_some()
            && settings.continuous_partials()
            && self.length_ms - at >= CONTINUOUS_MS;
        first || pause || goes_on
    }

    /// The words so far.
    pub(super) fn partial(&mut self, order: usize, settings: &Settings) -> Value {
        let heard = self.heard();
        self.told = Some((heard, self.length_ms));
        self.paused = self.silent_ms > 0;
        let text = self.words[..heard].join(" ");
        self.message((order, settings), &text, heard, false, false)
    }

    /// All its words.
    pub(super) fn end(&self, order: usize, settings: &Settings) -> Vec<Value> {
        let all = self.words.len();
        let text = self.words.join(" ");
        let last =
            |text: &str, formatted| self.message((order, settings), text, all, true, formatted);
        if settings.is_pro() {
            return vec![last(&text, true)];
        }
        let mut messages = vec![last(&unformatted(&text), false)];
        if settings.format_turns {
            messages.push(last(&text, true));
        }
        messages
    }

    /// Who really spoke, if that is not who was named.
    pub(super) fn revision(&self, order: usize) -> Option<Value> {
        (self.speaker != FIRST_GUESS).then(|| {
            let words = self.words_until(self.words.len(), &self.words, true, Some(&self.speaker));
            json!({"turn_order": order, "speaker_label": self.speaker, "words": words})
        })
    }

    fn words_until(
        &self,
        heard: usize,
        words: &[impl AsRef<str>],
        end: bool,
        speaker: Option<&str>,
    ) -> Vec<Value> {
        let spoken = self.length_ms - self.silent_ms;
        let count = words.len().max(1) as u64;
        let word = |(index, word): (usize, &_)| {
            // They fill what was spoken so far.
            let place = |index: usize| self.start_ms + spoken * index as u64 / count;
            let (start, next) = (place(index), place(index + 1));
            let is_last = index + 1 == words.len();
            let pause = if is_last { 0 } else { (next - start) / 5 };
            let mut word = json!({
                "text": AsRef::<str>::as_ref(word),
                "start": start,
                "end": next - pause,
                "confidence": 0.97,
                // The newest word of a partial may still change.
                "word_is_final": end || index + 1 < heard,
            });
            if let Some(speaker) = speaker {
                word["speaker"] = speaker.into();
            }
            word
        };
        words.iter().enumerate().map(word).collect()
    }

    fn message(
        &self,
        (order, settings): (usize, &Settings),
        text: &str,
        heard: usize,
        end: bool,
        formatted: bool,
    ) -> Value {
        let speaker = settings.speaker_labels.then_some(FIRST_GUESS);
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut turn = json!({
            "type": "Turn",
            "turn_order": order,
            "turn_is_formatted": formatted,
            "end_of_turn": end,
            "end_of_turn_confidence": if end { 0.99 } else { 0.01 },
            "transcript": text,
            "utterance": if end { text } else { "" },
            "words": self.words_until(heard, &words, end, speaker),
        });
        if let Some(speaker) = speaker {
            turn["speaker_label"] = speaker.into();
        }
        turn
    }
}

fn unformatted(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '.' | ',' | '?' | '!' | ';' | ':'))
        .collect()
}
