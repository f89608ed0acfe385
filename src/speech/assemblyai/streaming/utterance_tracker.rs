//! Tracks what of each utterance was sent and what was recognized: a state machine without a clock
//! or a socket of its own.
//!
//! ```text
//!                  samples             all sent                   complete or timed out
//!   (no audio) ──────────► open ──► ended ──► endpoint requested ──────────► reported
//!                            ▲                   │
//!                            └─── new session ◄──┘  resends audio not covered by ended turns
//! ```
//!
//! The service counts time in the audio sent in one session; a [`SentTimeline`] maps that to
//! utterances. A turn ends where the service detects a pause or where we force an endpoint, and an
//! utterance may have several turns. Words of ended turns are final, so audio before their end is
//! discarded.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::sent_timeline::SentTimeline;
use super::signal_power::peak_power;
use super::tracked_utterance::{AnswerTimeouts, EndedTurn, EndpointRequest, TrackedUtterance};
use super::wire::{StreamingTurn, StreamingWord};
use crate::speech::{Transcript, Word};
use audio::SAMPLE_RATE;

/// The shortest message that the service accepts: 50 ms.
pub(super) const MIN_MESSAGE_SAMPLES: usize = SAMPLE_RATE as usize / 20;
/// The usual message length: 100 ms. The service accepts up to 1000 ms, but longer messages delay
/// the results.
pub(super) const MESSAGE_SAMPLES: usize = MIN_MESSAGE_SAMPLES * 2;
/// The most unrecognized audio kept for a new session: 120 s, the longest clip that the Sync API
/// accepts in one request.
const MAX_KEPT_SAMPLES: usize = SAMPLE_RATE as usize * 120;
/// The most text in one utterance, in bytes: some hours of speech.
const MAX_TEXT: usize = 256 * 1024;

/// What to send next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum SendAction {
    /// Send these samples.
    Audio(Vec<i16>),
    /// Request the text so far.
    ForceEndpoint,
    /// Send audio as soon as this many samples are allowed.
    WaitForAllowance(usize),
    /// Nothing to send.
    Idle,
}

/// The effect of a message from the service.
#[derive(Default)]
pub(super) struct TurnUpdate {
    /// Utterances with their whole text so far.
    pub(super) partials: Vec<(u64, String)>,
    /// Whether a turn with new words ended.
    pub(super) progress: bool,
    /// Whether the text exceeded [`MAX_TEXT`].
    pub(super) is_too_long: bool,
}

pub(super) struct UtteranceTracker {
    provider: &'static str,
    timeouts: AnswerTimeouts,
    /// Utterances that are not reported yet, in order.
    utterances: VecDeque<TrackedUtterance>,
    timeline: SentTimeline,
    /// Sessions so far: turn numbers restart in each.
    session: u64,
}

impl UtteranceTracker {
    pub(super) fn new(provider: &'static str, timeouts: AnswerTimeouts) -> Self {
        Self {
            provider,
            timeouts,
            utterances: VecDeque::new(),
            timeline: SentTimeline::default(),
            session: 0,
        }
    }

    /// Whether every utterance so far was reported.
    pub(super) fn is_empty(&self) -> bool {
        self.utterances.is_empty()
    }

    /// Whether there is something to send.
    pub(super) fn has_backlog(&self) -> bool {
        self.unsent() >= MIN_MESSAGE_SAMPLES
            || self
                .utterances
                .iter()
                .any(|utterance| utterance.ended && utterance.endpoint_request.is_none())
    }

    fn unsent(&self) -> usize {
        self.utterances
            .iter()
            .map(|utterance| utterance.length() - utterance.sent_until)
            .sum()
    }

    fn get_or_insert(&mut self, number: u64) -> &mut TrackedUtterance {
        let position = self
            .utterances
            .iter()
            .position(|utterance| utterance.number == number);
        let position = position.unwrap_or_else(|| {
            self.utterances.push_back(TrackedUtterance::new(number));
            self.utterances.len() - 1
        });
        &mut self.utterances[position]
    }

    fn find_mut(&mut self, number: u64) -> Option<&mut TrackedUtterance> {
        self.utterances
            .iter_mut()
            .find(|utterance| utterance.number == number)
    }

    /// Adds samples to an utterance.
    pub(super) fn push_samples(&mut self, number: u64, samples: impl IntoIterator<Item = i16>) {
        let utterance = self.get_or_insert(number);
        let before = utterance.audio.len();
        utterance.audio.extend(samples);
        let new = utterance.audio.range(before..).copied().collect::<Vec<_>>();
        utterance.peak_power = utterance.peak_power.max(peak_power(&new));
        let surplus = utterance.audio.len().saturating_sub(MAX_KEPT_SAMPLES);
        // Unsent audio is always kept; there is never much of it.
        utterance.discard_audio_before(
            (utterance.first_kept_sample + surplus).min(utterance.sent_until),
        );
    }

    /// Ends an utterance.
    pub(super) fn end_utterance(&mut self, number: u64) {
        self.get_or_insert(number).ended = true;
    }

    /// Starts a session, in which all audio not covered by ended turns is sent (again).
    ///
    /// Returns the utterances whose start is no longer kept, and forgets them.
    pub(super) fn begin_session(&mut self) -> Vec<u64> {
        self.session += 1;
        self.timeline = SentTimeline::default();
        let mut lost = Vec::new();
        self.utterances.retain_mut(|utterance| {
            let start_is_kept = utterance.first_kept_sample <= utterance.transcribed_until;
            if !start_is_kept {
                lost.push(utterance.number);
            }
            utterance.discard_audio_before(utterance.transcribed_until);
            utterance.sent_until = utterance.first_kept_sample;
            utterance.endpoint_request = None;
            utterance.has_open_turn = false;
            utterance.partial.clear();
            start_is_kept
        });
        lost
    }

    /// Records an orderly end of the session: all results for the sent audio have arrived.
    pub(super) fn end_session(&mut self) {
        for utterance in &mut self.utterances {
            utterance.transcribed_until = utterance.sent_until;
            utterance.discard_audio_before(utterance.sent_until);
            if !utterance.partial.is_empty() {
                let text = std::mem::take(&mut utterance.partial);
                let ended_turn = EndedTurn {
                    text,
                    words: Vec::new(),
                };
                utterance
                    .ended_turns
                    .insert((self.session, u64::MAX), ended_turn);
            }
            utterance.has_open_turn = false;
        }
    }

    /// What to send if `allowed` samples may be sent. Records it as sent.
    pub(super) fn next_action(&mut self, allowed: usize, now: Instant) -> SendAction {
        for utterance in &mut self.utterances {
            let rest = utterance.length() - utterance.sent_until;
            if rest >= MIN_MESSAGE_SAMPLES || rest > 0 && utterance.ended {
                let count = rest.min(MESSAGE_SAMPLES).min(allowed);
                // The end of the utterance may be shorter than the shortest message.
                let message = count.max(MIN_MESSAGE_SAMPLES);
                if message > allowed {
                    return SendAction::WaitForAllowance(
                        rest.clamp(MIN_MESSAGE_SAMPLES, MESSAGE_SAMPLES),
                    );
                }
                let from = utterance.sent_until - utterance.first_kept_sample;
                let mut samples: Vec<i16> =
                    utterance.audio.range(from..from + count).copied().collect();
                samples.resize(message, 0);
                self.timeline
                    .record_sent(utterance.number, utterance.sent_until, message);
                utterance.sent_until += count;
                return SendAction::Audio(samples);
            }
            if utterance.ended && utterance.endpoint_request.is_none() {
                utterance.endpoint_request = Some(EndpointRequest {
                    requested_at: now,
                    answered_at: None,
                });
                // If no audio was sent in this session, there is nothing to request.
                if self.timeline.contains_utterance(utterance.number) {
                    return SendAction::ForceEndpoint;
                }
            }
            if !utterance.ended {
                break;
            }
        }
        SendAction::Idle
    }

    /// Handles the start of speech at this millisecond of the session.
    pub(super) fn handle_speech_started(&mut self, at: f64) {
        let position = self.timeline.locate(at);
        if let Some(utterance) = position.and_then(|position| self.find_mut(position.utterance)) {
            utterance.has_open_turn = true;
        }
    }

    /// Handles a turn, ended or not.
    pub(super) fn handle_turn(&mut self, turn: &StreamingTurn, now: Instant) -> TurnUpdate {
        let mut update = TurnUpdate::default();
        for (number, words) in self.split_turn_by_utterance(turn) {
            let key = (self.session, turn.turn_order);
            let timeline = &self.timeline;
            let Some(utterance) = self
                .utterances
                .iter_mut()
                .find(|utterance| utterance.number == number)
            else {
                continue;
            };
            let is_complete = words.len() == turn.words.len();
            let text = if is_complete {
                turn.transcript.trim().to_owned()
            } else {
                let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                texts.join(" ")
            };
            if utterance.full_text().len() + text.len() > MAX_TEXT {
                update.is_too_long = true;
                return update;
            }
            if !turn.end_of_turn {
                // An ended turn never becomes unfinished again.
                if !utterance.ended_turns.contains_key(&key) {
                    utterance.has_open_turn = true;
                    utterance.partial = text;
                    update.partials.push((number, utterance.full_text()));
                }
                continue;
            }
            utterance.has_open_turn = false;
            utterance.partial.clear();
            if let Some(request) = &mut utterance.endpoint_request {
                request.answered_at = Some(now);
            }
            if let Some(language) = &turn.language_code {
                utterance.language = Some(language.chars().take(16).collect());
            }
            let words: Vec<Word> = words
                .iter()
                .map(|word| utterance.to_word(word, timeline))
                .collect();
            if let Some(last) = words.last() {
                let end = last.end.as_secs_f64() * f64::from(SAMPLE_RATE);
                let end = (end as usize).clamp(utterance.transcribed_until, utterance.sent_until);
                update.progress |= end > utterance.transcribed_until;
                utterance.transcribed_until = end;
                utterance.discard_audio_before(end);
            }
            if !text.is_empty() {
                utterance.ended_turns.insert(key, EndedTurn { text, words });
            }
            if !utterance.full_text().is_empty() {
                update.partials.push((number, utterance.full_text()));
            }
        }
        update
    }

    /// Groups the words of a turn by utterance. Words of utterances that were already reported go
    /// to the next utterance in the turn; if there is none, they are too late and dropped.
    fn split_turn_by_utterance(&self, turn: &StreamingTurn) -> Vec<(u64, Vec<StreamingWord>)> {
        let is_open = |number: u64| {
            self.utterances
                .iter()
                .any(|utterance| utterance.number == number)
        };
        if turn.words.is_empty() {
            // Without times, it can only be the first utterance sent in this session.
            let first = self
                .utterances
                .iter()
                .find(|utterance| self.timeline.contains_utterance(utterance.number));
            return first
                .map(|utterance| (utterance.number, Vec::new()))
                .into_iter()
                .collect();
        }
        let mut groups: Vec<(u64, Vec<StreamingWord>)> = Vec::new();
        let mut unassigned = Vec::new();
        for word in &turn.words {
            let position = self.timeline.locate(f64::midpoint(word.start, word.end));
            match position
                .map(|position| position.utterance)
                .filter(|number| is_open(*number))
            {
                None => match groups.last_mut() {
                    Some((_, words)) => words.push(word.clone()),
                    None => unassigned.push(word.clone()),
                },
                Some(number) => match groups.last_mut() {
                    // Word times may be imprecise, but turns never go back to an earlier utterance.
                    Some((last, words)) if *last >= number => words.push(word.clone()),
                    _ => {
                        let mut words = std::mem::take(&mut unassigned);
                        words.push(word.clone());
                        groups.push((number, words));
                    }
                },
            }
        }
        groups
    }

    /// When the first utterance is complete, or will have timed out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.utterances.front()?.complete_at(self.timeouts)
    }

    /// When the endpoint of the first utterance was requested.
    pub(super) fn endpoint_requested_at(&self) -> Option<Instant> {
        Some(self.utterances.front()?.endpoint_request?.requested_at)
    }

    /// The first utterance, if it is complete or has timed out.
    pub(super) fn take_complete(&mut self, now: Instant) -> Option<(u64, Transcript)> {
        if self.next_deadline()? > now {
            return None;
        }
        let utterance = self.utterances.pop_front()?;
        self.timeline.forget_through(utterance.number);
        let number = utterance.number;
        Some((number, utterance.into_transcript(self.provider)))
    }

    /// Between sessions: the first utterance, if it has ended and no audio of it is left to send.
    pub(super) fn take_complete_without_session(&mut self) -> Option<(u64, Transcript)> {
        let first = self.utterances.front()?;
        if !first.ended || !first.audio.is_empty() {
            return None;
        }
        let utterance = self.utterances.pop_front()?;
        Some((utterance.number, utterance.into_transcript(self.provider)))
    }

    /// Forgets all utterances after they have failed.
    pub(super) fn clear(&mut self) {
        self.utterances.clear();
    }
}

#[cfg(test)]
mod tests;
