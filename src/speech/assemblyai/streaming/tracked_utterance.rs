//! One utterance of a live session: the audio that is kept, and the words recognized so far.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::sent_timeline::SentTimeline;
use super::signal_power::has_more_speech;
use super::wire::StreamingWord;
use crate::speech::{Segment, Transcript, Word};
use audio::samples_to_duration;

/// How long to wait for results.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerTimeouts {
    /// After the request.
    pub(super) after_request: Duration,
    /// After a result, if more words seem to follow.
    pub(super) after_answer: Duration,
}

/// An utterance that is not reported yet.
pub(super) struct TrackedUtterance {
    pub(super) number: u64,
    /// Audio kept, starting at sample `first_kept_sample` of the utterance.
    pub(super) audio: VecDeque<i16>,
    pub(super) first_kept_sample: usize,
    /// Samples sent so far, counted from the start of the utterance.
    pub(super) sent_until: usize,
    /// Samples covered by the words of ended turns.
    pub(super) transcribed_until: usize,
    pub(super) peak_power: f32,
    pub(super) ended: bool,
    pub(super) endpoint_request: Option<EndpointRequest>,
    /// A turn has begun but not ended.
    pub(super) has_open_turn: bool,
    /// Ended turns by session and turn number.
    pub(super) ended_turns: BTreeMap<(u64, u64), EndedTurn>,
    pub(super) partial: String,
    pub(super) language: Option<String>,
}

#[derive(Clone, Copy)]
pub(super) struct EndpointRequest {
    pub(super) requested_at: Instant,
    pub(super) answered_at: Option<Instant>,
}

#[derive(Default)]
pub(super) struct EndedTurn {
    pub(super) text: String,
    pub(super) words: Vec<Word>,
}

impl TrackedUtterance {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            audio: VecDeque::new(),
            first_kept_sample: 0,
            sent_until: 0,
            transcribed_until: 0,
            peak_power: 0.0,
            ended: false,
            endpoint_request: None,
            has_open_turn: false,
            ended_turns: BTreeMap::new(),
            partial: String::new(),
            language: None,
        }
    }

    pub(super) fn length(&self) -> usize {
        self.first_kept_sample + self.audio.len()
    }

    pub(super) fn discard_audio_before(&mut self, sample: usize) {
        let count = sample
            .saturating_sub(self.first_kept_sample)
            .min(self.audio.len());
        self.audio.drain(..count);
        self.first_kept_sample += count;
    }

    pub(super) fn full_text(&self) -> String {
        let ended = self.ended_turns.values().map(|turn| turn.text.as_str());
        let all = ended.chain([self.partial.as_str()]);
        let all: Vec<&str> = all.filter(|text| !text.is_empty()).collect();
        all.join(" ")
    }

    /// When the text counts as complete, as far as is known now. `None` if it was not requested.
    pub(super) fn complete_at(&self, timeouts: AnswerTimeouts) -> Option<Instant> {
        let request = self.endpoint_request?;
        let timeout_at = request.requested_at + timeouts.after_request;
        let has_turns = !self.ended_turns.is_empty();
        let after = self
            .transcribed_until
            .saturating_sub(self.first_kept_sample);
        if self.audio.is_empty() {
            return Some(request.requested_at);
        }
        if self.has_open_turn || !has_turns {
            return Some(timeout_at);
        }
        let rest = self.audio.range(after.min(self.audio.len())..).copied();
        if !has_more_speech(rest, self.peak_power) {
            return Some(request.requested_at);
        }
        let more = request.answered_at.map(|at| at + timeouts.after_answer);
        Some(more.map_or(timeout_at, |more| more.min(timeout_at)))
    }

    pub(super) fn into_transcript(self, provider: &'static str) -> Transcript {
        let text = self.full_text();
        let length = samples_to_duration(self.length() as u64);
        let mut segments: Vec<Segment> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let partial = EndedTurn {
            text: self.partial,
            words: Vec::new(),
        };
        for turn in self.ended_turns.into_values().chain([partial]) {
            if turn.text.is_empty() {
                continue;
            }
            let before = segments
                .last()
                .map_or(Duration::ZERO, |timeout_at| timeout_at.end);
            segments.push(Segment {
                start: turn.words.first().map_or(before, |word| word.start),
                end: turn.words.last().map_or(length, |word| word.end),
                text: turn.text,
                speaker: None,
            });
            words.extend(turn.words);
        }
        let confidences: Vec<f32> = words.iter().filter_map(|word| word.confidence).collect();
        let confidence = confidences.iter().sum::<f32>() / confidences.len() as f32;
        Transcript {
            text,
            segments,
            words,
            language: self.language,
            confidence: confidence.is_finite().then_some(confidence),
            provider,
        }
    }

    /// Converts a word from session time to utterance time.
    pub(super) fn to_word(&self, word: &StreamingWord, timeline: &SentTimeline) -> Word {
        let at = |milliseconds: f64| {
            let position = timeline.locate(milliseconds);
            let sample = match position {
                Some(position) if position.utterance == self.number => position.sample,
                Some(position) if position.utterance < self.number => self.transcribed_until,
                Some(_) | None => self.sent_until,
            };
            samples_to_duration(sample.min(self.sent_until) as u64)
        };
        let start = at(word.start);
        Word {
            text: word.text.clone(),
            start,
            end: at(word.end).max(start),
            confidence: word.confidence,
            speaker: None,
        }
    }
}
