//! One turn of a live session, and when there is something to say of it.
//!
//! The Pro models do not tell word by word: the first words come about 750 ms after somebody begins
//! to speak, further ones at pauses, and about every 3 s without one. A turn that seems to be
//! complete ends with the first short silence, any other with a long one. The older models tell each
//! word as it is heard.

use serde_json::{Value, json};

use super::super::transcript_script::{ScriptedSpeech, WORD_MS};
use super::session_config::StreamingConfig;

/// What the first words take beyond `interruption_delay`, in milliseconds.
const FIRST_PARTIAL_MS: u64 = 250;

/// Between words without a pause, in milliseconds.
const CONTINUOUS_PARTIAL_MS: u64 = 3_000;

#[derive(Debug)]
pub(super) struct ScriptedTurn {
    words: Vec<String>,
    /// Who is said to speak, which may not be who is named at first.
    speaker: String,
    start_ms: u64,
    /// How long it has gone on.
    duration_ms: u64,
    voiced_ms: u64,
    silent_ms: u64,
    /// Words that have been told, and when.
    last_partial: Option<(usize, u64)>,
    /// What can be told in this pause is told.
    is_paused: bool,
}

/// Who is named while nobody can be sure.
const PROVISIONAL_SPEAKER: &str = "A";

impl ScriptedTurn {
    /// Somebody begins to say this.
    pub(super) fn start(at: u64, said: &ScriptedSpeech) -> Self {
        let words = said.full_text();
        let speaker = said.lines.first().and_then(|(name, _)| name.as_deref());
        Self {
            words: words.split_whitespace().map(str::to_owned).collect(),
            speaker: speaker.unwrap_or(PROVISIONAL_SPEAKER).to_owned(),
            start_ms: at,
            duration_ms: 0,
            voiced_ms: 0,
            silent_ms: 0,
            last_partial: None,
            is_paused: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn add_speech(&mut self, duration: u64) {
        self.duration_ms += duration;
        self.voiced_ms += duration;
        self.silent_ms = 0;
        self.is_paused = false;
    }

    pub(super) fn add_silence(&mut self, duration: u64) {
        self.duration_ms += duration;
        self.silent_ms += duration;
    }

    fn heard_words(&self) -> usize {
        self.words.len().min((self.voiced_ms / WORD_MS) as usize)
    }

    /// Whether it ends here.
    pub(super) fn is_finished(&self, settings: &StreamingConfig) -> bool {
        let complete = self.heard_words() == self.words.len();
        self.silent_ms >= settings.max_turn_silence()
            || complete && self.silent_ms > 0 && self.silent_ms >= settings.min_turn_silence()
    }

    /// Whether there are words to be told that have not been.
    pub(super) fn has_new_words(&self, settings: &StreamingConfig) -> bool {
        let (told, at) = self.last_partial.unwrap_or_default();
        if self.heard_words() <= told {
            return false;
        }
        if !settings.is_pro() {
            return true;
        }
        let first = self.last_partial.is_none()
            && self.duration_ms >= settings.interruption_delay + FIRST_PARTIAL_MS;
        let pause =
            !self.is_paused && self.silent_ms > 0 && self.silent_ms >= settings.min_turn_silence();
        let goes_on = self.last_partial.is_some()
            && settings.continuous_partials()
            && self.duration_ms - at >= CONTINUOUS_PARTIAL_MS;
        first || pause || goes_on
    }

    /// The words so far.
    pub(super) fn partial_message(&mut self, order: usize, settings: &StreamingConfig) -> Value {
        let heard = self.heard_words();
        self.last_partial = Some((heard, self.duration_ms));
        self.is_paused = self.silent_ms > 0;
        let text = self.words[..heard].join(" ");
        self.turn_message((order, settings), &text, heard, false, false)
    }

    /// All its words.
    pub(super) fn final_messages(&self, order: usize, settings: &StreamingConfig) -> Vec<Value> {
        let all = self.words.len();
        let text = self.words.join(" ");
        let last = |text: &str, formatted| {
            self.turn_message((order, settings), text, all, true, formatted)
        };
        if settings.is_pro() {
            return vec![last(&text, true)];
        }
        let mut messages = vec![last(&remove_formatting(&text), false)];
        if settings.format_turns {
            messages.push(last(&text, true));
        }
        messages
    }

    /// Who really spoke, if that is not who was named.
    pub(super) fn speaker_revision(&self, order: usize) -> Option<Value> {
        (self.speaker != PROVISIONAL_SPEAKER).then(|| {
            let words = self.words_json(self.words.len(), &self.words, true, Some(&self.speaker));
            json!({"turn_order": order, "speaker_label": self.speaker, "words": words})
        })
    }

    fn words_json(
        &self,
        heard: usize,
        words: &[impl AsRef<str>],
        end: bool,
        speaker: Option<&str>,
    ) -> Vec<Value> {
        let spoken = self.duration_ms - self.silent_ms;
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

    fn turn_message(
        &self,
        (order, settings): (usize, &StreamingConfig),
        text: &str,
        heard: usize,
        end: bool,
        formatted: bool,
    ) -> Value {
        let speaker = settings.speaker_labels.then_some(PROVISIONAL_SPEAKER);
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut turn = json!({
            "type": "Turn",
            "turn_order": order,
            "turn_is_formatted": formatted,
            "end_of_turn": end,
            "end_of_turn_confidence": if end { 0.99 } else { 0.01 },
            "transcript": text,
            "utterance": if end { text } else { "" },
            "words": self.words_json(heard, &words, end, speaker),
        });
        if let Some(speaker) = speaker {
            turn["speaker_label"] = speaker.into();
        }
        turn
    }
}

fn remove_formatting(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '.' | ',' | '?' | '!' | ';' | ':'))
        .collect()
}
