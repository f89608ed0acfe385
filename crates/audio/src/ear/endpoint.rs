//! Where somebody begins to speak and where they have finished.
//!
//! A pure state machine on samples that have their place on the session's timeline. Quiet: the
//! last moments are kept, for the first sound of a word is softer than what tells that it is
//! one. Speech: everything is kept, until a long enough pause ends it or it gets too long.
//!
//! Unlike [`Segmenter`](crate::Segmenter), which cuts a recording for a recognizer, this
//! one is in a hurry, keeps every place, and never gives a sample twice.

use super::frames::Frames;
use super::{EarEvent, EarSettings, Utterance};
use crate::gain::energy;
use crate::pcm::{duration_to_samples, samples_to_duration};
use crate::segment::{Judge, ONSET, STILL_SPEECH};
use crate::speech_run::{SPEECH, SpeechRun};
use crate::vad::FRAME_SAMPLES;

/// How far back from the longest length a pause is looked for: 8 s, in frames.
const SEARCH: usize = 500;

/// A pause in speech that is cut is this long: 160 ms. Within words it is never quiet for so
/// long.
const PAUSE: usize = 10;

/// No `longest` is shorter than this: 1 s, in frames.
const LEAST_LONGEST: usize = 62;

/// Frames that are dropped together, for moving the rest costs time.
const SPARE: usize = 16;

/// A frame that has this part of the energy of the utterance's loudest (46 dB less) is no speech:
/// the judge goes on hearing the last word for 100 ms and more.
const INAUDIBLE: f32 = 1.0 / 40_000.0;

/// What samples are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Heard,
    /// Sent as silence, or nothing was sent.
    Silence,
    /// In the place of what never came.
    Lost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nobody speaks; so many frames in a row sounded like speech.
    Quiet { onset: usize },
    /// Somebody speaks since the frame `first`; the last speech ended with the frame before
    /// `end`.
    Speech { first: usize, end: usize },
}

pub(super) struct Endpoint<J> {
    judge: J,
    end_silence: u64,
    margin: usize,
    least_speech: u64,
    longest: usize,
    live: bool,
    by_utterance: bool,
    frames: Frames,
    /// Whether there is something in the next frame that is not silence.
    sound: bool,
    state: State,
    /// The energy of the loudest frame of the speech.
    loudest: f32,
    /// The frames in a row that sound like speech now.
    run: SpeechRun,
    /// The frames of those runs that were speech beyond doubt.
    sure: u64,
    /// Up to here samples have been given out live.
    given: u64,
}

impl<J: Judge> Endpoint<J> {
    pub(super) fn new(settings: &EarSettings, judge: J) -> Self {
        let frames = |duration| {
            usize::try_from(duration_to_samples(duration) / FRAME_SAMPLES as u64)
                .unwrap_or(usize::MAX)
        };
        Self {
            run: SpeechRun::judged_by(&judge),
            judge,
            end_silence: duration_to_samples(settings.end_silence),
            margin: usize::try_from(
                duration_to_samples(settings.pre_roll).div_ceil(FRAME_SAMPLES as u64),
            )
            .unwrap_or(usize::MAX)
            .min(LEAST_LONGEST),
            least_speech: duration_to_samples(settings.least_speech),
            longest: frames(settings.longest).max(2 * LEAST_LONGEST),
            live: settings.live,
            by_utterance: settings.by_utterance,
            frames: Frames::default(),
            sound: false,
            state: State::Quiet { onset: 0 },
            loudest: 0.0,
            sure: 0,
            given: 0,
        }
    }

    /// The place of the next sample.
    pub(super) fn place(&self) -> u64 {
        self.frames.place()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.state == State::Quiet { onset: 0 }
    }

    fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speech { .. })
    }

    /// After how much more silence, in samples, the speech is over.
    pub(super) fn over_in(&self) -> Option<u64> {
        let State::Speech { end, .. } = self.state else {
            return None;
        };
        let silent = (self.frames.len() - end) * FRAME_SAMPLES;
        Some(self.end_silence.saturating_sub(silent as u64))
    }

    /// Takes the next samples.
    pub(super) fn hear(&mut self, samples: &[f32], kind: Kind, events: &mut Vec<EarEvent>) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.frames.room().min(rest.len()));
            self.frames.append(part);
            self.fill(part.len(), kind, events);
            rest = later;
        }
    }

    /// The next samples are silent.
    pub(super) fn silence(&mut self, samples: u64, kind: Kind, events: &mut Vec<EarEvent>) {
        let margin = (self.margin * FRAME_SAMPLES) as u64;
        let mut left = samples;
        while left > 0 {
            let whole = self.frames.room() == FRAME_SAMPLES;
            if whole && !self.is_speaking() && left > margin {
                // Nobody needs to listen to a silence of hours.
                self.go_on_at(self.place() + left - margin);
                left = margin;
            }
            let part = left.min(self.frames.room() as u64);
            self.frames.append_silence(part as usize);
            self.fill(part as usize, kind, events);
            left -= part;
        }
    }

    /// Packets don't come any more: what is left of the speech is over.
    pub(super) fn end(&mut self, events: &mut Vec<EarEvent>) {
        while self.is_speaking() {
            let room = self.frames.room() as u64;
            self.silence(room, Kind::Silence, events);
        }
    }

    /// Nobody listens any more: gives what there is, without silence that was not heard.
    pub(super) fn finish(&mut self, events: &mut Vec<EarEvent>) {
        let place = self.place();
        if self.frames.room() < FRAME_SAMPLES {
            let room = self.frames.room() as u64;
            self.silence(room, Kind::Silence, events);
        }
        self.conclude(Some(place), events);
        self.go_on_at(place);
    }

    /// Gives the samples that are new since the last time, if they are speech.
    pub(super) fn give(&mut self, events: &mut Vec<EarEvent>) {
        let State::Speech { end, .. } = self.state else {
            return;
        };
        let frames = if self.by_utterance {
            // What comes after may be silence, or be cut off.
            (end + self.margin).min(self.earliest_cut())
        } else {
            usize::MAX
        };
        self.give_first(frames, None, events);
    }

    /// The same with the first frames, and nothing behind the place `limit`.
    fn give_first(&mut self, frames: usize, limit: Option<u64>, events: &mut Vec<EarEvent>) {
        if !self.live || !self.is_speech() {
            return;
        }
        let frames = frames.min(self.frames.len());
        let until = self.frames.start() + (frames * FRAME_SAMPLES) as u64;
        let until = limit.map_or(until, |limit| limit.min(until));
        let (at, samples) = self.frames.since(self.given);
        let count = usize::try_from(until.saturating_sub(at)).unwrap_or(usize::MAX);
        let samples = &samples[..count.min(samples.len())];
        if !samples.is_empty() {
            self.given = at + samples.len() as u64;
            events.push(EarEvent::Audio {
                at: samples_to_duration(at),
                samples: samples.to_vec(),
            });
        }
    }

    /// Whether there has been enough speech for an utterance.
    fn is_speech(&self) -> bool {
        self.is_speaking()
            && (self.sure + self.run.speech()) * FRAME_SAMPLES as u64 >= self.least_speech.max(1)
    }

    /// So many samples have been appended, at most to the end of a frame.
    fn fill(&mut self, samples: usize, kind: Kind, events: &mut Vec<EarEvent>) {
        match kind {
            Kind::Heard => self.sound = true,
            Kind::Silence => {}
            Kind::Lost => {
                self.sound = true;
                self.frames.miss(samples);
            }
        }
        if self.frames.room() == 0 {
            self.judge_frame(events);
        }
    }

    fn judge_frame(&mut self, events: &mut Vec<EarEvent>) {
        let mut frame = [0.0; FRAME_SAMPLES];
        for (judged, sample) in frame.iter_mut().zip(self.frames.next()) {
            // Opus may overshoot, and what was made to do harm may be no number at all.
            *judged = match sample.is_nan() {
                true => 0.0,
                false => sample.clamp(-1.0, 1.0),
            };
        }
        let energy = energy(&frame);
        let judged = self.judge.judge(&frame);
        // The judge still hears the last word in the silence after it; the sender knows better.
        let probability = if self.sound { judged } else { 0.0 };
        self.frames.judge(probability);
        self.sound = false;
        match self.state {
            State::Quiet { .. } if probability < SPEECH => {
                self.state = State::Quiet { onset: 0 };
                self.run.hear(probability, &frame);
                if self.frames.len() >= self.margin + ONSET + SPARE {
                    self.frames.forget(self.margin + ONSET);
                }
            }
            State::Quiet { onset } => {
                self.run.hear(probability, &frame);
                self.loudest = if onset == 0 {
                    energy
                } else {
                    self.loudest.max(energy)
                };
                let onset = onset + 1;
                self.state = State::Quiet { onset };
                if onset >= ONSET {
                    self.start_speech(onset, events);
                }
            }
            State::Speech { first, end } => {
                self.sure += self.run.hear(probability, &frame).unwrap_or(0);
                self.loudest = self.loudest.max(energy);
                let audible = energy >= self.loudest * INAUDIBLE;
                let end = if probability >= STILL_SPEECH && audible {
                    self.frames.len()
                } else {
                    end
                };
                self.state = State::Speech { first, end };
                if self.over_in() == Some(0) {
                    self.conclude(None, events);
                } else if self.frames.len() >= self.longest {
                    self.cut(events);
                }
            }
        }
    }

    fn start_speech(&mut self, onset: usize, events: &mut Vec<EarEvent>) {
        self.frames.forget(self.margin + onset);
        let end = self.frames.len();
        let first = end - onset;
        self.state = State::Speech { first, end };
        events.push(EarEvent::SpeechStarted {
            at: self.frames.time_of(first),
        });
    }

    /// The speech is over: gives it, if it was any, or says that it was none. No sample behind
    /// `limit` is given.
    fn conclude(&mut self, limit: Option<u64>, events: &mut Vec<EarEvent>) {
        let State::Speech { first, end } = self.state else {
            return;
        };
        let frames = (end + self.margin).min(self.frames.len());
        if self.by_utterance {
            self.give_first(frames, limit, events);
        } else {
            self.give(events);
        }
        if self.is_speech() {
            self.sure += self.run.end();
            let utterance = self.utterance(frames, limit, self.sure, false);
            events.push(EarEvent::Utterance(utterance));
        } else {
            let at = self.frames.time_of(first);
            self.frames.drop_front(frames);
            events.push(EarEvent::Dismissed { at });
        }
        self.run.end();
        self.sure = 0;
        self.state = State::Quiet { onset: 0 };
    }

    /// Takes the first frames out as an utterance, without what is behind the place `limit`.
    fn utterance(&mut self, frames: usize, limit: Option<u64>, sure: u64, cut: bool) -> Utterance {
        let start = self.frames.start();
        let spoken = match self.state {
            State::Speech { end, .. } => end.min(frames),
            State::Quiet { .. } => frames,
        };
        let (mut samples, lost) = self.frames.take(frames);
        if let Some(limit) = limit {
            samples.truncate(usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX));
        }
        samples.shrink_to_fit();
        let tail = samples.len().saturating_sub(spoken * FRAME_SAMPLES);
        Utterance {
            start: samples_to_duration(start),
            samples,
            speech: samples_to_duration(sure * FRAME_SAMPLES as u64),
            lost: samples_to_duration(lost),
            tail: samples_to_duration(tail as u64),
            cut,
        }
    }

    /// It is getting too long: it is cut in the middle of its quietest pause near the end.
    fn cut(&mut self, events: &mut Vec<EarEvent>) {
        let State::Speech { end, .. } = self.state else {
            return;
        };
        let latest = self.frames.len() - PAUSE;
        let earliest = earliest_cut(latest);
        let quietest = (earliest..latest)
            .map(|at| (at, self.frames.loudness(at, PAUSE)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map_or(latest, |(at, _)| at);
        let place = quietest + PAUSE / 2;
        if place >= end || !self.is_speech() {
            // What would go on is silence, or noise.
            self.conclude(None, events);
            return;
        }
        if self.by_utterance {
            self.give_first(place, None, events);
        } else {
            self.give(events);
        }
        let (_, sure) = count_sure(self.run.anew(), self.frames.between(0, place), true);
        let (run, rest) = count_sure(
            self.run.anew(),
            self.frames.between(place, self.frames.len()),
            false,
        );
        let utterance = self.utterance(place, None, sure, true);
        events.push(EarEvent::Utterance(utterance));
        (self.run, self.sure) = (run, rest);
        self.state = State::Speech {
            first: 0,
            end: end - place,
        };
    }

    /// No utterance that is too long is cut before this frame.
    fn earliest_cut(&self) -> usize {
        earliest_cut(self.longest - PAUSE)
    }

    /// Goes on elsewhere, without what was kept.
    fn go_on_at(&mut self, place: u64) {
        self.frames.go_on_at(place);
        self.state = State::Quiet { onset: 0 };
        self.run.end();
        self.sound = false;
    }

    /// The bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.frames.held()
    }
}

/// Where the search for a pause begins that ends at `latest`.
fn earliest_cut(latest: usize) -> usize {
    latest.saturating_sub(SEARCH).max(latest / 2)
}

/// How many of these frames are speech beyond doubt, and the run at their end, unless it `ends`
/// there and is counted too.
fn count_sure<'a>(
    mut run: SpeechRun,
    frames: impl Iterator<Item = (f32, &'a [f32])>,
    ends: bool,
) -> (SpeechRun, u64) {
    let mut sure = 0;
    for (probability, samples) in frames {
        sure += run.hear(probability, samples).unwrap_or(0);
    }
    if ends {
        sure += run.end();
    }
    (run, sure)
}
