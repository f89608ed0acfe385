//! Tracks what of each utterance was sent and what was recognized: a state machine without a clock or
//! a socket of its own.
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

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::sent_timeline::SentTimeline;
use super::signal_power::{has_more_speech, peak_power};
use super::wire::{StreamingTurn, StreamingWord};
use crate::speech::{Segment, Transcript, Word};
use audio::{SAMPLE_RATE, samples_to_duration};

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

/// How long to wait for results.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerTimeouts {
    /// After the request.
    pub(super) after_request: Duration,
    /// After a result, if more words seem to follow.
    pub(super) after_answer: Duration,
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

struct TrackedUtterance {
    number: u64,
    /// Audio kept, starting at sample `first_kept_sample` of the utterance.
    audio: VecDeque<i16>,
    first_kept_sample: usize,
    /// Samples sent so far, counted from the start of the utterance.
    sent_until: usize,
    /// Samples covered by the words of ended turns.
    transcribed_until: usize,
    peak_power: f32,
    ended: bool,
    endpoint_request: Option<EndpointRequest>,
    /// A turn has begun but not ended.
    has_open_turn: bool,
    /// Ended turns by session and turn number.
    ended_turns: BTreeMap<(u64, u64), EndedTurn>,
    partial: String,
    language: Option<String>,
}

#[derive(Clone, Copy)]
struct EndpointRequest {
    requested_at: Instant,
    answered_at: Option<Instant>,
}

#[derive(Default)]
struct EndedTurn {
    text: String,
    words: Vec<Word>,
}

impl TrackedUtterance {
    fn new(number: u64) -> Self {
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

    fn length(&self) -> usize {
        self.first_kept_sample + self.audio.len()
    }

    fn discard_audio_before(&mut self, sample: usize) {
        let count = sample
            .saturating_sub(self.first_kept_sample)
            .min(self.audio.len());
        self.audio.drain(..count);
        self.first_kept_sample += count;
    }

    fn full_text(&self) -> String {
        let ended = self.ended_turns.values().map(|piece| piece.text.as_str());
        let all = ended.chain([self.partial.as_str()]);
        let all: Vec<&str> = all.filter(|text| !text.is_empty()).collect();
        all.join(" ")
    }

    /// When the text counts as complete, as far as is known now. `None` if it was not requested.
    fn complete_at(&self, waits: AnswerTimeouts) -> Option<Instant> {
        let asked = self.endpoint_request?;
        let last = asked.requested_at + waits.after_request;
        let any = !self.ended_turns.is_empty();
        let after = self
            .transcribed_until
            .saturating_sub(self.first_kept_sample);
        if self.audio.is_empty() {
            return Some(asked.requested_at);
        }
        if self.has_open_turn || !any {
            return Some(last);
        }
        let rest = self.audio.range(after.min(self.audio.len())..).copied();
        if !has_more_speech(rest, self.peak_power) {
            return Some(asked.requested_at);
        }
        let more = asked.answered_at.map(|at| at + waits.after_answer);
        Some(more.map_or(last, |more| more.min(last)))
    }

    fn into_transcript(self, provider: &'static str) -> Transcript {
        let text = self.full_text();
        let length = samples_to_duration(self.length() as u64);
        let mut segments: Vec<Segment> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let partial = EndedTurn {
            text: self.partial,
            words: Vec::new(),
        };
        for piece in self.ended_turns.into_values().chain([partial]) {
            if piece.text.is_empty() {
                continue;
            }
            let before = segments.last().map_or(Duration::ZERO, |last| last.end);
            segments.push(Segment {
                start: piece.words.first().map_or(before, |word| word.start),
                end: piece.words.last().map_or(length, |word| word.end),
                text: piece.text,
                speaker: None,
            });
            words.extend(piece.words);
        }
        let known: Vec<f32> = words.iter().filter_map(|word| word.confidence).collect();
        let confidence = known.iter().sum::<f32>() / known.len() as f32;
        Transcript {
            text,
            segments,
            words,
            language: self.language,
            confidence: confidence.is_finite().then_some(confidence),
            provider,
        }
    }
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
                .any(|one| one.ended && one.endpoint_request.is_none())
    }

    fn unsent(&self) -> usize {
        self.utterances
            .iter()
            .map(|one| one.length() - one.sent_until)
            .sum()
    }

    fn get_or_insert(&mut self, number: u64) -> &mut TrackedUtterance {
        let place = self.utterances.iter().position(|one| one.number == number);
        let place = place.unwrap_or_else(|| {
            self.utterances.push_back(TrackedUtterance::new(number));
            self.utterances.len() - 1
        });
        &mut self.utterances[place]
    }

    fn find_mut(&mut self, number: u64) -> Option<&mut TrackedUtterance> {
        self.utterances.iter_mut().find(|one| one.number == number)
    }

    /// Adds samples to an utterance.
    pub(super) fn push_samples(&mut self, number: u64, samples: impl IntoIterator<Item = i16>) {
        let utterance = self.get_or_insert(number);
        let before = utterance.audio.len();
        utterance.audio.extend(samples);
        let new = utterance.audio.range(before..).copied().collect::<Vec<_>>();
        utterance.peak_power = utterance.peak_power.max(peak_power(&new));
        let over = utterance.audio.len().saturating_sub(MAX_KEPT_SAMPLES);
        // Unsent audio is always kept; there is never much of it.
        utterance
            .discard_audio_before((utterance.first_kept_sample + over).min(utterance.sent_until));
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
        self.utterances.retain_mut(|one| {
            let whole = one.first_kept_sample <= one.transcribed_until;
            if !whole {
                lost.push(one.number);
            }
            one.discard_audio_before(one.transcribed_until);
            one.sent_until = one.first_kept_sample;
            one.endpoint_request = None;
            one.has_open_turn = false;
            one.partial.clear();
            whole
        });
        lost
    }

    /// Records an orderly end of the session: all results for the sent audio have arrived.
    pub(super) fn end_session(&mut self) {
        for one in &mut self.utterances {
            one.transcribed_until = one.sent_until;
            one.discard_audio_before(one.sent_until);
            if !one.partial.is_empty() {
                let text = std::mem::take(&mut one.partial);
                let piece = EndedTurn {
                    text,
                    words: Vec::new(),
                };
                one.ended_turns.insert((self.session, u64::MAX), piece);
            }
            one.has_open_turn = false;
        }
    }

    /// What to send if `allowed` samples may be sent. Records it as sent.
    pub(super) fn next_action(&mut self, allowed: usize, now: Instant) -> SendAction {
        for one in &mut self.utterances {
            let rest = one.length() - one.sent_until;
            if rest >= MIN_MESSAGE_SAMPLES || rest > 0 && one.ended {
                let count = rest.min(MESSAGE_SAMPLES).min(allowed);
                // The end of the utterance may be shorter than the shortest message.
                let message = count.max(MIN_MESSAGE_SAMPLES);
                if message > allowed {
                    return SendAction::WaitForAllowance(
                        rest.clamp(MIN_MESSAGE_SAMPLES, MESSAGE_SAMPLES),
                    );
                }
                let from = one.sent_until - one.first_kept_sample;
                let mut samples: Vec<i16> = one.audio.range(from..from + count).copied().collect();
                samples.resize(message, 0);
                self.timeline
                    .record_sent(one.number, one.sent_until, message);
                one.sent_until += count;
                return SendAction::Audio(samples);
            }
            if one.ended && one.endpoint_request.is_none() {
                one.endpoint_request = Some(EndpointRequest {
                    requested_at: now,
                    answered_at: None,
                });
                // If no audio was sent in this session, there is nothing to request.
                if self.timeline.contains_utterance(one.number) {
                    return SendAction::ForceEndpoint;
                }
            }
            if !one.ended {
                break;
            }
        }
        SendAction::Idle
    }

    /// Handles the start of speech at this millisecond of the session.
    pub(super) fn handle_speech_started(&mut self, at: f64) {
        let place = self.timeline.locate(at);
        if let Some(one) = place.and_then(|place| self.find_mut(place.utterance)) {
            one.has_open_turn = true;
        }
    }

    /// Handles a turn, ended or not.
    pub(super) fn handle_turn(&mut self, turn: &StreamingTurn, now: Instant) -> TurnUpdate {
        let mut heard = TurnUpdate::default();
        for (number, words) in self.split_turn_by_utterance(turn) {
            let key = (self.session, turn.turn_order);
            let timeline = &self.timeline;
            let Some(one) = self.utterances.iter_mut().find(|one| one.number == number) else {
                continue;
            };
            let whole = words.len() == turn.words.len();
            let text = if whole {
                turn.transcript.trim().to_owned()
            } else {
                let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                texts.join(" ")
            };
            if one.full_text().len() + text.len() > MAX_TEXT {
                heard.is_too_long = true;
                return heard;
            }
            if !turn.end_of_turn {
                // An ended turn never becomes unfinished again.
                if !one.ended_turns.contains_key(&key) {
                    one.has_open_turn = true;
                    one.partial = text;
                    heard.partials.push((number, one.full_text()));
                }
                continue;
            }
            one.has_open_turn = false;
            one.partial.clear();
            if let Some(asked) = &mut one.endpoint_request {
                asked.answered_at = Some(now);
            }
            if let Some(language) = &turn.language_code {
                one.language = Some(language.chars().take(16).collect());
            }
            let words: Vec<Word> = words
                .iter()
                .map(|word| one.to_word(word, timeline))
                .collect();
            if let Some(last) = words.last() {
                let end = last.end.as_secs_f64() * f64::from(SAMPLE_RATE);
                let end = (end as usize).clamp(one.transcribed_until, one.sent_until);
                heard.progress |= end > one.transcribed_until;
                one.transcribed_until = end;
                one.discard_audio_before(end);
            }
            if !text.is_empty() {
                one.ended_turns.insert(key, EndedTurn { text, words });
            }
            if !one.full_text().is_empty() {
                heard.partials.push((number, one.full_text()));
            }
        }
        heard
    }

    /// Groups the words of a turn by utterance. Words of utterances that were already reported go to
    /// the next utterance in the turn; if there is none, they are too late and dropped.
    fn split_turn_by_utterance(&self, turn: &StreamingTurn) -> Vec<(u64, Vec<StreamingWord>)> {
        let is_open = |number: u64| self.utterances.iter().any(|one| one.number == number);
        if turn.words.is_empty() {
            // Without times, it can only be the first utterance sent in this session.
            let first = self
                .utterances
                .iter()
                .find(|one| self.timeline.contains_utterance(one.number));
            return first
                .map(|one| (one.number, Vec::new()))
                .into_iter()
                .collect();
        }
        let mut groups: Vec<(u64, Vec<StreamingWord>)> = Vec::new();
        let mut early = Vec::new();
        for word in &turn.words {
            let place = self.timeline.locate(f64::midpoint(word.start, word.end));
            match place
                .map(|place| place.utterance)
                .filter(|number| is_open(*number))
            {
                None => match groups.last_mut() {
                    Some((_, words)) => words.push(word.clone()),
                    None => early.push(word.clone()),
                },
                Some(number) => match groups.last_mut() {
                    // Word times may be imprecise, but turns never go back to an earlier utterance.
                    Some((last, words)) if *last >= number => words.push(word.clone()),
                    _ => {
                        let mut words = std::mem::take(&mut early);
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
        let one = self.utterances.pop_front()?;
        self.timeline.forget_through(one.number);
        let number = one.number;
        Some((number, one.into_transcript(self.provider)))
    }

    /// Between sessions: the first utterance, if it has ended and no audio of it is left to send.
    pub(super) fn take_complete_without_session(&mut self) -> Option<(u64, Transcript)> {
        let first = self.utterances.front()?;
        if !first.ended || !first.audio.is_empty() {
            return None;
        }
        let one = self.utterances.pop_front()?;
        Some((one.number, one.into_transcript(self.provider)))
    }

    /// Forgets all utterances after they have failed.
    pub(super) fn clear(&mut self) {
        self.utterances.clear();
    }
}

impl TrackedUtterance {
    /// Converts a word from session time to utterance time.
    fn to_word(&self, word: &StreamingWord, timeline: &SentTimeline) -> Word {
        let at = |milliseconds: f64| {
            let place = timeline.locate(milliseconds);
            let sample = match place {
                Some(place) if place.utterance == self.number => place.sample,
                Some(place) if place.utterance < self.number => self.transcribed_until,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUTS: AnswerTimeouts = AnswerTimeouts {
        after_request: Duration::from_secs(3),
        after_answer: Duration::from_millis(700),
    };
    /// One second.
    const SECOND: usize = SAMPLE_RATE as usize;

    fn loud_samples(samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| if n % 2 == 0 { 9_000 } else { -9_000 })
            .collect()
    }

    fn turn(order: u64, end_of_turn: bool, words: &[(&str, f64, f64)]) -> StreamingTurn {
        let texts: Vec<&str> = words.iter().map(|(text, ..)| *text).collect();
        StreamingTurn {
            turn_order: order,
            end_of_turn,
            transcript: texts.join(" "),
            words: words
                .iter()
                .map(|(text, start, end)| StreamingWord {
                    text: (*text).to_owned(),
                    start: *start,
                    end: *end,
                    confidence: None,
                })
                .collect(),
            language_code: None,
        }
    }

    fn tracker() -> UtteranceTracker {
        let mut hearing = UtteranceTracker::new("somebody", TIMEOUTS);
        assert!(hearing.begin_session().is_empty());
        hearing
    }

    /// Sends everything; returns the number of samples and of forced endpoints.
    fn send_all(hearing: &mut UtteranceTracker, now: Instant) -> (usize, usize) {
        let (mut samples, mut wishes) = (0, 0);
        loop {
            match hearing.next_action(usize::MAX, now) {
                SendAction::Audio(message) => samples += message.len(),
                SendAction::ForceEndpoint => wishes += 1,
                SendAction::WaitForAllowance(_) | SendAction::Idle => return (samples, wishes),
            }
        }
    }

    fn text(told: Option<(u64, Transcript)>) -> Option<(u64, String)> {
        told.map(|(number, transcript)| (number, transcript.text))
    }

    #[test]
    fn words_go_to_the_utterance_in_whose_audio_they_are() {
        let now = Instant::now();
        let mut hearing = tracker();
        for number in [4, 9] {
            hearing.push_samples(number, loud_samples(SECOND));
            hearing.end_utterance(number);
        }
        assert_eq!(send_all(&mut hearing, now), (2 * SECOND, 2));
        // The service detected no pause between the two.
        let both = [
            ("One", 100.0, 400.0),
            ("two.", 500.0, 900.0),
            ("Three.", 1_050.0, 1_900.0),
        ];
        hearing.handle_turn(&turn(0, true, &both), now);
        let (number, first) = hearing.take_complete(now).expect("the first");
        assert_eq!((number, &*first.text), (4, "One two."));
        assert_eq!(first.words[1].end, Duration::from_millis(900));
        let (number, second) = hearing.take_complete(now).expect("the second");
        assert_eq!((number, &*second.text), (9, "Three."));
        assert_eq!(second.words[0].start, Duration::from_millis(50));
        assert!(hearing.is_empty());
        // What arrives too late belongs to no utterance.
        let late = hearing.handle_turn(&turn(1, true, &both), now);
        assert!(late.partials.is_empty() && !late.progress);
    }

    #[test]
    fn a_turn_that_ended_by_itself_is_enough_where_only_silence_follows() {
        let now = Instant::now();
        let mut hearing = tracker();
        hearing.push_samples(0, loud_samples(SECOND));
        hearing.push_samples(0, vec![0; SECOND]);
        send_all(&mut hearing, now);
        hearing.handle_turn(&turn(0, true, &[("Yes.", 0.0, 900.0)]), now);
        assert_eq!(hearing.next_deadline(), None, "the utterance goes on");
        hearing.end_utterance(0);
        send_all(&mut hearing, now);
        assert_eq!(
            text(hearing.take_complete(now)),
            Some((0, "Yes.".to_owned()))
        );
    }

    #[test]
    fn a_turn_from_before_the_end_is_not_all_where_speech_follows() {
        let now = Instant::now();
        let mut hearing = tracker();
        hearing.push_samples(0, loud_samples(SECOND));
        hearing.push_samples(0, vec![0; SECOND / 2]);
        hearing.push_samples(0, loud_samples(SECOND));
        hearing.end_utterance(0);
        send_all(&mut hearing, now);
        hearing.handle_turn(&turn(0, true, &[("One.", 0.0, 900.0)]), now);
        assert_eq!(hearing.next_deadline(), Some(now + TIMEOUTS.after_answer));
        hearing.handle_turn(&turn(1, false, &[("Two", 1_600.0, 1_900.0)]), now);
        assert_eq!(
            hearing.next_deadline(),
            Some(now + TIMEOUTS.after_request),
            "it is being said"
        );
        hearing.handle_turn(&turn(1, true, &[("Two.", 1_600.0, 2_400.0)]), now);
        let told = text(hearing.take_complete(now));
        assert_eq!(told, Some((0, "One. Two.".to_owned())));
    }

    #[test]
    fn words_that_were_only_guessed_at_count_when_nothing_better_comes() {
        let now = Instant::now();
        let mut hearing = tracker();
        hearing.push_samples(0, loud_samples(SECOND));
        hearing.end_utterance(0);
        send_all(&mut hearing, now);
        let heard = hearing.handle_turn(&turn(0, false, &[("Perhaps", 0.0, 800.0)]), now);
        assert_eq!(heard.partials, [(0, "Perhaps".to_owned())]);
        assert!(hearing.take_complete(now).is_none());
        let later = now + TIMEOUTS.after_request;
        assert_eq!(
            text(hearing.take_complete(later)),
            Some((0, "Perhaps".to_owned()))
        );
    }

    #[test]
    fn another_session_hears_what_has_no_words() {
        let now = Instant::now();
        let mut hearing = tracker();
        hearing.push_samples(0, loud_samples(2 * SECOND));
        send_all(&mut hearing, now);
        hearing.handle_turn(&turn(0, true, &[("One.", 0.0, 1_000.0)]), now);
        hearing.handle_turn(&turn(1, false, &[("Tw", 1_500.0, 1_800.0)]), now);
        hearing.end_utterance(0);
        assert!(hearing.begin_session().is_empty());
        assert_eq!(send_all(&mut hearing, now), (SECOND, 1));
        // Session time and turn numbers start again.
        hearing.handle_turn(&turn(0, true, &[("Two.", 500.0, 900.0)]), now);
        let (_, transcript) = hearing.take_complete(now).expect("all of it");
        assert_eq!(transcript.text, "One. Two.");
        assert_eq!(transcript.words[1].start, Duration::from_millis(1_500));
    }

    #[test]
    fn what_is_too_long_ago_cannot_be_sent_again() {
        let now = Instant::now();
        let mut hearing = tracker();
        for _ in 0..130 {
            hearing.push_samples(0, loud_samples(SECOND));
            send_all(&mut hearing, now);
        }
        assert!(hearing.utterances[0].audio.len() <= MAX_KEPT_SAMPLES);
        hearing.push_samples(1, loud_samples(SECOND));
        assert_eq!(hearing.begin_session(), [0]);
        assert_eq!(hearing.utterances.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum TrackerAction {
        Samples(usize),
        End,
        Send(usize),
        Turn { end: bool, start: u32, length: u32 },
        NewSession,
        EndSession,
        Wait(u64),
    }

    fn tracker_action() -> impl Strategy<Value = TrackerAction> {
        prop_oneof![
            4 => (1_usize..5_000).prop_map(TrackerAction::Samples),
            2 => Just(TrackerAction::End),
            4 => (0_usize..5_000).prop_map(TrackerAction::Send),
            3 => (any::<bool>(), 0_u32..5_000, 0_u32..2_000)
                .prop_map(|(end, start, length)| TrackerAction::Turn { end, start, length }),
            1 => Just(TrackerAction::NewSession),
            1 => Just(TrackerAction::EndSession),
            2 => (0_u64..4_000).prop_map(TrackerAction::Wait),
        ]
    }

    proptest! {
        /// Whatever the service sends, and however often sessions break: every utterance is reported once,
        /// in order, and message lengths are within the service's limits.
        #[test]
        fn every_utterance_is_told_once(acts in prop::collection::vec(tracker_action(), 0..120)) {
            let mut now = Instant::now();
            let mut hearing = tracker();
            let (mut number, mut order) = (0, 0);
            let (mut begun, mut ended, mut told) = (false, Vec::new(), Vec::new());
            for act in acts {
                match act {
                    TrackerAction::Samples(count) => {
                        hearing.push_samples(number, loud_samples(count));
                        begun = true;
                    }
                    TrackerAction::End if begun => {
                        hearing.end_utterance(number);
                        ended.push(number);
                        number += 1;
                        begun = false;
                    }
                    TrackerAction::End => {}
                    TrackerAction::Send(allowed) => {
                        if let SendAction::Audio(message) = hearing.next_action(allowed, now) {
                            prop_assert!((MIN_MESSAGE_SAMPLES..=MESSAGE_SAMPLES).contains(&message.len()));
                            prop_assert!(message.len() <= allowed);
                        }
                    }
                    TrackerAction::Turn { end, start, length } => {
                        let (start, end_at) = (f64::from(start), f64::from(start + length));
                        hearing.handle_turn(&turn(order, end, &[("word", start, end_at)]), now);
                        order += u64::from(end);
                    }
                    TrackerAction::NewSession => {
                        hearing.begin_session();
                        order = 0;
                    }
                    TrackerAction::EndSession => {
                        hearing.end_session();
                        while let Some((number, _)) = hearing.take_complete_without_session() {
                            told.push(number);
                        }
                        hearing.begin_session();
                        order = 0;
                    }
                    TrackerAction::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                }
                while let Some((number, _)) = hearing.take_complete(now) {
                    told.push(number);
                }
            }
            now += TIMEOUTS.after_request;
            send_all(&mut hearing, now);
            now += TIMEOUTS.after_request;
            while let Some((number, _)) = hearing.take_complete(now) {
                told.push(number);
            }
            prop_assert_eq!(told, ended);
        }
    }
}
