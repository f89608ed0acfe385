//! What of each utterance has been sent and what has been heard: a state machine without a clock
//! of its own and without a socket.
//!
//! ```text
//!             samples            all sent                 its words have come, or
//!   (nothing) ──────► spoken ──► ended ──► asked for ──── the wait for them is over ──► told
//!                        ▲                    │
//!                        └── a new session ◄──┘  sends again what has no words of ended turns
//! ```
//!
//! The service counts time in the audio that it was sent in one session. A [`Timeline`] leads
//! from there to utterances. Turns end where the service hears a pause, or where we ask for it;
//! an utterance may have several. Words of ended turns are kept for good, so audio before them
//! is let go.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::loudness::{goes_on, loudest};
use super::timeline::Timeline;
use super::wire::{Turn, TurnWord};
use crate::speech::{Segment, Transcript, Word};
use audio::{SAMPLE_RATE, samples_to_duration};

/// The shortest message the service takes: 50 ms.
pub(super) const SHORTEST: usize = SAMPLE_RATE as usize / 20;
/// The length of a message: 100 ms. The service takes up to 1000 ms, but then words come later.
pub(super) const USUAL: usize = SHORTEST * 2;
/// How much audio without words is kept for another session: 120 s, the longest that another
/// provider takes in one request.
const KEPT: usize = SAMPLE_RATE as usize * 120;
/// The most characters of one utterance's words: some hours of speech.
const MAX_TEXT: usize = 256 * 1024;

/// What is to be sent next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// These samples.
    Audio(Vec<i16>),
    /// The wish for the words so far.
    ForceEndpoint,
    /// Samples, as soon as so many may be sent.
    Later(usize),
    /// Nothing.
    Nothing,
}

/// What a message of the service has changed.
#[derive(Default)]
pub(super) struct Heard {
    /// Utterances and all their words so far.
    pub(super) partials: Vec<(u64, String)>,
    /// Whether a turn with words ended.
    pub(super) progress: bool,
    /// Whether it was more than anybody can say.
    pub(super) too_much: bool,
}

/// How long words are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// After they were asked for.
    pub(super) asked: Duration,
    /// After the answer, if there seem to be more.
    pub(super) more: Duration,
}

pub(super) struct Hearing {
    provider: &'static str,
    waits: Waits,
    /// Those that are not told, in their order.
    utterances: VecDeque<Utterance>,
    timeline: Timeline,
    /// Sessions so far: turns are numbered anew in each.
    session: u64,
}

struct Utterance {
    number: u64,
    /// Kept samples; the first one is the sample `first` of the utterance.
    audio: VecDeque<i16>,
    first: usize,
    /// All before this sample is with the service.
    sent: usize,
    /// Words of ended turns reach to this sample.
    heard: usize,
    loudest: f32,
    ended: bool,
    asked: Option<Asked>,
    /// A turn has begun that has not ended.
    open_turn: bool,
    /// Ended turns by session and number.
    turns: BTreeMap<(u64, u64), Piece>,
    partial: String,
    language: Option<String>,
}

#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    answered: Option<Instant>,
}

#[derive(Default)]
struct Piece {
    text: String,
    words: Vec<Word>,
}

impl Utterance {
    fn new(number: u64) -> Self {
        Self {
            number,
            audio: VecDeque::new(),
            first: 0,
            sent: 0,
            heard: 0,
            loudest: 0.0,
            ended: false,
            asked: None,
            open_turn: false,
            turns: BTreeMap::new(),
            partial: String::new(),
            language: None,
        }
    }

    fn length(&self) -> usize {
        self.first + self.audio.len()
    }

    fn let_go_until(&mut self, sample: usize) {
        let count = sample.saturating_sub(self.first).min(self.audio.len());
        self.audio.drain(..count);
        self.first += count;
    }

    fn text(&self) -> String {
        let ended = self.turns.values().map(|piece| piece.text.as_str());
        let all = ended.chain([self.partial.as_str()]);
        let all: Vec<&str> = all.filter(|text| !text.is_empty()).collect();
        all.join(" ")
    }

    /// When its words are complete, as far as is known now. `None`: they are not asked for.
    fn complete_at(&self, waits: Waits) -> Option<Instant> {
        let asked = self.asked?;
        let last = asked.at + waits.asked;
        let any = !self.turns.is_empty();
        let after = self.heard.saturating_sub(self.first);
        if self.audio.is_empty() {
            return Some(asked.at);
        }
        if self.open_turn || !any {
            return Some(last);
        }
        let rest = self.audio.range(after.min(self.audio.len())..).copied();
        if !goes_on(rest, self.loudest) {
            return Some(asked.at);
        }
        let more = asked.answered.map(|at| at + waits.more);
        Some(more.map_or(last, |more| more.min(last)))
    }

    fn into_transcript(self, provider: &'static str) -> Transcript {
        let text = self.text();
        let length = samples_to_duration(self.length() as u64);
        let mut segments: Vec<Segment> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let partial = Piece {
            text: self.partial,
            words: Vec::new(),
        };
        for piece in self.turns.into_values().chain([partial]) {
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

impl Hearing {
    pub(super) fn new(provider: &'static str, waits: Waits) -> Self {
        Self {
            provider,
            waits,
            utterances: VecDeque::new(),
            timeline: Timeline::default(),
            session: 0,
        }
    }

    /// Whether every utterance so far is told.
    pub(super) fn is_empty(&self) -> bool {
        self.utterances.is_empty()
    }

    /// Whether something waits to be sent.
    pub(super) fn has_backlog(&self) -> bool {
        self.unsent() >= SHORTEST
            || self
                .utterances
                .iter()
                .any(|one| one.ended && one.asked.is_none())
    }

    fn unsent(&self) -> usize {
        self.utterances
            .iter()
            .map(|one| one.length() - one.sent)
            .sum()
    }

    fn utterance(&mut self, number: u64) -> &mut Utterance {
        let place = self.utterances.iter().position(|one| one.number == number);
        let place = place.unwrap_or_else(|| {
            self.utterances.push_back(Utterance::new(number));
            self.utterances.len() - 1
        });
        &mut self.utterances[place]
    }

    fn find(&mut self, number: u64) -> Option<&mut Utterance> {
        self.utterances.iter_mut().find(|one| one.number == number)
    }

    /// More of an utterance.
    pub(super) fn samples(&mut self, number: u64, samples: impl IntoIterator<Item = i16>) {
        let utterance = self.utterance(number);
        let before = utterance.audio.len();
        utterance.audio.extend(samples);
        let new = utterance.audio.range(before..).copied().collect::<Vec<_>>();
        utterance.loudest = utterance.loudest.max(loudest(&new));
        let over = utterance.audio.len().saturating_sub(KEPT);
        // What has not been sent is kept in any case; there is never much of it.
        utterance.let_go_until((utterance.first + over).min(utterance.sent));
    }

    /// An utterance is over.
    pub(super) fn end(&mut self, number: u64) {
        self.utterance(number).ended = true;
    }

    /// A session begins. What has no words of ended turns is to be sent (again).
    ///
    /// Gives the utterances whose beginning is not kept any more. They are forgotten.
    pub(super) fn session_begins(&mut self) -> Vec<u64> {
        self.session += 1;
        self.timeline = Timeline::default();
        let mut lost = Vec::new();
        self.utterances.retain_mut(|one| {
            let whole = one.first <= one.heard;
            if !whole {
                lost.push(one.number);
            }
            one.let_go_until(one.heard);
            one.sent = one.first;
            one.asked = None;
            one.open_turn = false;
            one.partial.clear();
            whole
        });
        lost
    }

    /// The session has ended as it should: all words have come of what was sent.
    pub(super) fn session_ends(&mut self) {
        for one in &mut self.utterances {
            one.heard = one.sent;
            one.let_go_until(one.sent);
            if !one.partial.is_empty() {
                let text = std::mem::take(&mut one.partial);
                let piece = Piece {
                    text,
                    words: Vec::new(),
                };
                one.turns.insert((self.session, u64::MAX), piece);
            }
            one.open_turn = false;
        }
    }

    /// What is to be sent if `allowed` samples may be. It counts as sent.
    pub(super) fn next(&mut self, allowed: usize, now: Instant) -> Next {
        for one in &mut self.utterances {
            let rest = one.length() - one.sent;
            if rest >= SHORTEST || rest > 0 && one.ended {
                let count = rest.min(USUAL).min(allowed);
                // The end may be shorter than what the service takes.
                let message = count.max(SHORTEST);
                if message > allowed {
                    return Next::Later(rest.clamp(SHORTEST, USUAL));
                }
                let from = one.sent - one.first;
                let mut samples: Vec<i16> = one.audio.range(from..from + count).copied().collect();
                samples.resize(message, 0);
                self.timeline.sent(one.number, one.sent, message);
                one.sent += count;
                return Next::Audio(samples);
            }
            if one.ended && one.asked.is_none() {
                one.asked = Some(Asked {
                    at: now,
                    answered: None,
                });
                // Without audio in this session there is nothing to ask for.
                if self.timeline.knows(one.number) {
                    return Next::ForceEndpoint;
                }
            }
            if !one.ended {
                break;
            }
        }
        Next::Nothing
    }

    /// Somebody began to speak at this millisecond of the session.
    pub(super) fn speech_started(&mut self, at: f64) {
        let place = self.timeline.place(at);
        if let Some(one) = place.and_then(|place| self.find(place.utterance)) {
            one.open_turn = true;
        }
    }

    /// A turn, ended or not.
    pub(super) fn turn(&mut self, turn: &Turn, now: Instant) -> Heard {
        let mut heard = Heard::default();
        for (number, words) in self.by_utterance(turn) {
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
            if one.text().len() + text.len() > MAX_TEXT {
                heard.too_much = true;
                return heard;
            }
            if !turn.end_of_turn {
                // A turn that has ended does not become unfinished again.
                if !one.turns.contains_key(&key) {
                    one.open_turn = true;
                    one.partial = text;
                    heard.partials.push((number, one.text()));
                }
                continue;
            }
            one.open_turn = false;
            one.partial.clear();
            if let Some(asked) = &mut one.asked {
                asked.answered = Some(now);
            }
            if let Some(language) = &turn.language_code {
                one.language = Some(language.chars().take(16).collect());
            }
            let words: Vec<Word> = words.iter().map(|word| one.word(word, timeline)).collect();
            if let Some(last) = words.last() {
                let end = last.end.as_secs_f64() * f64::from(SAMPLE_RATE);
                let end = (end as usize).clamp(one.heard, one.sent);
                heard.progress |= end > one.heard;
                one.heard = end;
                one.let_go_until(end);
            }
            if !text.is_empty() {
                one.turns.insert(key, Piece { text, words });
            }
            if !one.text().is_empty() {
                heard.partials.push((number, one.text()));
            }
        }
        heard
    }

    /// The words of a turn by the utterances they belong to. Words of utterances that are told
    /// already go to the next one in the turn; if there is none they come too late.
    fn by_utterance(&self, turn: &Turn) -> Vec<(u64, Vec<TurnWord>)> {
        let is_open = |number: u64| self.utterances.iter().any(|one| one.number == number);
        if turn.words.is_empty() {
            // No times: it can only be the one whose words are due next.
            let first = self
                .utterances
                .iter()
                .find(|one| self.timeline.knows(one.number));
            return first
                .map(|one| (one.number, Vec::new()))
                .into_iter()
                .collect();
        }
        let mut groups: Vec<(u64, Vec<TurnWord>)> = Vec::new();
        let mut early = Vec::new();
        for word in &turn.words {
            let place = self.timeline.place(f64::midpoint(word.start, word.end));
            match place
                .map(|place| place.utterance)
                .filter(|number| is_open(*number))
            {
                None => match groups.last_mut() {
                    Some((_, words)) => words.push(word.clone()),
                    None => early.push(word.clone()),
                },
                Some(number) => match groups.last_mut() {
                    // Times may be rough, but nobody goes back to an utterance.
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

    /// When something is due though nothing happens: the words of the first utterance are
    /// complete, or have been waited for long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.utterances.front()?.complete_at(self.waits)
    }

    /// When the words of the first utterance were asked for.
    pub(super) fn asked_at(&self) -> Option<Instant> {
        Some(self.utterances.front()?.asked?.at)
    }

    /// The first utterance, if its words are complete.
    pub(super) fn complete(&mut self, now: Instant) -> Option<(u64, Transcript)> {
        if self.due()? > now {
            return None;
        }
        let one = self.utterances.pop_front()?;
        self.timeline.forget_until(one.number);
        let number = one.number;
        Some((number, one.into_transcript(self.provider)))
    }

    /// Between sessions: the first utterance, if it is over and nothing of it is left to send.
    pub(super) fn complete_without_session(&mut self) -> Option<(u64, Transcript)> {
        let first = self.utterances.front()?;
        if !first.ended || !first.audio.is_empty() {
            return None;
        }
        let one = self.utterances.pop_front()?;
        Some((one.number, one.into_transcript(self.provider)))
    }

    /// All utterances have failed.
    pub(super) fn forget_all(&mut self) {
        self.utterances.clear();
    }
}

impl Utterance {
    /// A word with the times of the utterance.
    fn word(&self, word: &TurnWord, timeline: &Timeline) -> Word {
        let at = |milliseconds: f64| {
            let place = timeline.place(milliseconds);
            let sample = match place {
                Some(place) if place.utterance == self.number => place.sample,
                Some(place) if place.utterance < self.number => self.heard,
                Some(_) | None => self.sent,
            };
            samples_to_duration(sample.min(self.sent) as u64)
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

    const WAITS: Waits = Waits {
        asked: Duration::from_secs(3),
        more: Duration::from_millis(700),
    };
    /// A second.
    const SECOND: usize = SAMPLE_RATE as usize;

    fn loud(samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| if n % 2 == 0 { 9_000 } else { -9_000 })
            .collect()
    }

    fn turn(order: u64, end_of_turn: bool, words: &[(&str, f64, f64)]) -> Turn {
        let texts: Vec<&str> = words.iter().map(|(text, ..)| *text).collect();
        Turn {
            turn_order: order,
            end_of_turn,
            transcript: texts.join(" "),
            words: words
                .iter()
                .map(|(text, start, end)| TurnWord {
                    text: (*text).to_owned(),
                    start: *start,
                    end: *end,
                    confidence: None,
                })
                .collect(),
            language_code: None,
        }
    }

    fn hearing() -> Hearing {
        let mut hearing = Hearing::new("somebody", WAITS);
        assert!(hearing.session_begins().is_empty());
        hearing
    }

    /// Sends everything; gives how many samples and how many wishes that were.
    fn send_all(hearing: &mut Hearing, now: Instant) -> (usize, usize) {
        let (mut samples, mut wishes) = (0, 0);
        loop {
            match hearing.next(usize::MAX, now) {
                Next::Audio(message) => samples += message.len(),
                Next::ForceEndpoint => wishes += 1,
                Next::Later(_) | Next::Nothing => return (samples, wishes),
            }
        }
    }

    fn text(told: Option<(u64, Transcript)>) -> Option<(u64, String)> {
        told.map(|(number, transcript)| (number, transcript.text))
    }

    #[test]
    fn words_go_to_the_utterance_in_whose_audio_they_are() {
        let now = Instant::now();
        let mut hearing = hearing();
        for number in [4, 9] {
            hearing.samples(number, loud(SECOND));
            hearing.end(number);
        }
        assert_eq!(send_all(&mut hearing, now), (2 * SECOND, 2));
        // The service has heard no pause between the two.
        let both = [
            ("One", 100.0, 400.0),
            ("two.", 500.0, 900.0),
            ("Three.", 1_050.0, 1_900.0),
        ];
        hearing.turn(&turn(0, true, &both), now);
        let (number, first) = hearing.complete(now).expect("the first");
        assert_eq!((number, &*first.text), (4, "One two."));
        assert_eq!(first.words[1].end, Duration::from_millis(900));
        let (number, second) = hearing.complete(now).expect("the second");
        assert_eq!((number, &*second.text), (9, "Three."));
        assert_eq!(second.words[0].start, Duration::from_millis(50));
        assert!(hearing.is_empty());
        // What comes too late is nobody's.
        let late = hearing.turn(&turn(1, true, &both), now);
        assert!(late.partials.is_empty() && !late.progress);
    }

    #[test]
    fn a_turn_that_ended_by_itself_is_enough_where_only_silence_follows() {
        let now = Instant::now();
        let mut hearing = hearing();
        hearing.samples(0, loud(SECOND));
        hearing.samples(0, vec![0; SECOND]);
        send_all(&mut hearing, now);
        hearing.turn(&turn(0, true, &[("Yes.", 0.0, 900.0)]), now);
        assert_eq!(hearing.due(), None, "the utterance goes on");
        hearing.end(0);
        send_all(&mut hearing, now);
        assert_eq!(text(hearing.complete(now)), Some((0, "Yes.".to_owned())));
    }

    #[test]
    fn a_turn_from_before_the_end_is_not_all_where_speech_follows() {
        let now = Instant::now();
        let mut hearing = hearing();
        hearing.samples(0, loud(SECOND));
        hearing.samples(0, vec![0; SECOND / 2]);
        hearing.samples(0, loud(SECOND));
        hearing.end(0);
        send_all(&mut hearing, now);
        hearing.turn(&turn(0, true, &[("One.", 0.0, 900.0)]), now);
        assert_eq!(hearing.due(), Some(now + WAITS.more));
        hearing.turn(&turn(1, false, &[("Two", 1_600.0, 1_900.0)]), now);
        assert_eq!(hearing.due(), Some(now + WAITS.asked), "it is being said");
        hearing.turn(&turn(1, true, &[("Two.", 1_600.0, 2_400.0)]), now);
        let told = text(hearing.complete(now));
        assert_eq!(told, Some((0, "One. Two.".to_owned())));
    }

    #[test]
    fn words_that_were_only_guessed_at_count_when_nothing_better_comes() {
        let now = Instant::now();
        let mut hearing = hearing();
        hearing.samples(0, loud(SECOND));
        hearing.end(0);
        send_all(&mut hearing, now);
        let heard = hearing.turn(&turn(0, false, &[("Perhaps", 0.0, 800.0)]), now);
        assert_eq!(heard.partials, [(0, "Perhaps".to_owned())]);
        assert!(hearing.complete(now).is_none());
        let later = now + WAITS.asked;
        assert_eq!(
            text(hearing.complete(later)),
            Some((0, "Perhaps".to_owned()))
        );
    }

    #[test]
    fn another_session_hears_what_has_no_words() {
        let now = Instant::now();
        let mut hearing = hearing();
        hearing.samples(0, loud(2 * SECOND));
        send_all(&mut hearing, now);
        hearing.turn(&turn(0, true, &[("One.", 0.0, 1_000.0)]), now);
        hearing.turn(&turn(1, false, &[("Tw", 1_500.0, 1_800.0)]), now);
        hearing.end(0);
        assert!(hearing.session_begins().is_empty());
        assert_eq!(send_all(&mut hearing, now), (SECOND, 1));
        // Time begins anew, and so do the numbers of turns.
        hearing.turn(&turn(0, true, &[("Two.", 500.0, 900.0)]), now);
        let (_, transcript) = hearing.complete(now).expect("all of it");
        assert_eq!(transcript.text, "One. Two.");
        assert_eq!(transcript.words[1].start, Duration::from_millis(1_500));
    }

    #[test]
    fn what_is_too_long_ago_cannot_be_sent_again() {
        let now = Instant::now();
        let mut hearing = hearing();
        for _ in 0..130 {
            hearing.samples(0, loud(SECOND));
            send_all(&mut hearing, now);
        }
        assert!(hearing.utterances[0].audio.len() <= KEPT);
        hearing.samples(1, loud(SECOND));
        assert_eq!(hearing.session_begins(), [0]);
        assert_eq!(hearing.utterances.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Samples(usize),
        End,
        Send(usize),
        Turn { end: bool, start: u32, length: u32 },
        NewSession,
        EndSession,
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (1_usize..5_000).prop_map(Act::Samples),
            2 => Just(Act::End),
            4 => (0_usize..5_000).prop_map(Act::Send),
            3 => (any::<bool>(), 0_u32..5_000, 0_u32..2_000)
                .prop_map(|(end, start, length)| Act::Turn { end, start, length }),
            1 => Just(Act::NewSession),
            1 => Just(Act::EndSession),
            2 => (0_u64..4_000).prop_map(Act::Wait),
        ]
    }

    proptest! {
        /// Whatever the service says, and however often sessions break: every utterance is told
        /// once, in order, and messages have the lengths that the service takes.
        #[test]
        fn every_utterance_is_told_once(acts in prop::collection::vec(act(), 0..120)) {
            let mut now = Instant::now();
            let mut hearing = hearing();
            let (mut number, mut order) = (0, 0);
            let (mut begun, mut ended, mut told) = (false, Vec::new(), Vec::new());
            for act in acts {
                match act {
                    Act::Samples(count) => {
                        hearing.samples(number, loud(count));
                        begun = true;
                    }
                    Act::End if begun => {
                        hearing.end(number);
                        ended.push(number);
                        number += 1;
                        begun = false;
                    }
                    Act::End => {}
                    Act::Send(allowed) => {
                        if let Next::Audio(message) = hearing.next(allowed, now) {
                            prop_assert!((SHORTEST..=USUAL).contains(&message.len()));
                            prop_assert!(message.len() <= allowed);
                        }
                    }
                    Act::Turn { end, start, length } => {
                        let (start, end_at) = (f64::from(start), f64::from(start + length));
                        hearing.turn(&turn(order, end, &[("word", start, end_at)]), now);
                        order += u64::from(end);
                    }
                    Act::NewSession => {
                        hearing.session_begins();
                        order = 0;
                    }
                    Act::EndSession => {
                        hearing.session_ends();
                        while let Some((number, _)) = hearing.complete_without_session() {
                            told.push(number);
                        }
                        hearing.session_begins();
                        order = 0;
                    }
                    Act::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                }
                while let Some((number, _)) = hearing.complete(now) {
                    told.push(number);
                }
            }
            now += WAITS.asked;
            send_all(&mut hearing, now);
            now += WAITS.asked;
            while let Some((number, _)) = hearing.complete(now) {
                told.push(number);
            }
            prop_assert_eq!(told, ended);
        }
    }
}
