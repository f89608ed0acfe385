//! Where somebody begins to speak and where they have finished.
//!
//! A pure state machine on samples that have their place on the session's timeline. Quiet: the
//! last moments are kept, for the first sound of a word is softer than what tells that it is
//! one. Speech: everything is kept, until a long enough pause ends it or it gets too long.
//!
//! Unlike [`Segmenter`](crate::Segmenter), which cuts a recording for a recognizer, this
//! one is in a hurry, keeps every place, and never gives a sample twice.

use super::vad_frames::VadFrames;
use super::{SpeakerEvent, SpeakerReceiverSettings, Utterance};
use crate::automatic_gain::energy;
use crate::pcm::{duration_to_samples, samples_to_duration};
use crate::segmenter::{CONTINUE_THRESHOLD, ONSET_FRAMES, Vad};
use crate::speech_run::{SPEECH_THRESHOLD, SpeechRun};
use crate::vad::FRAME_SAMPLES;

/// How far back from the longest length a pause is looked for: 8 s, in frames.
const SPLIT_SEARCH_FRAMES: usize = 500;

/// A pause in speech that is cut is this long: 160 ms. Within words it is never quiet for so
/// long.
const SPLIT_PAUSE_FRAMES: usize = 10;

/// No `longest` is shorter than this: 1 s, in frames.
const MIN_UTTERANCE_LIMIT: usize = 62;

/// Frames that are dropped together, for moving the rest costs time.
const DROP_BATCH_FRAMES: usize = 16;

/// A frame that has this part of the energy of the utterance's loudest (46 dB less) is no speech:
/// the judge goes on hearing the last word for 100 ms and more.
const INAUDIBLE_ENERGY_RATIO: f32 = 1.0 / 40_000.0;

/// What samples are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SampleOrigin {
    Decoded,
    /// Sent as silence, or nothing was sent.
    Silence,
    /// In the place of what never came.
    Lost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EndpointState {
    /// Nobody speaks; so many frames in a row sounded like speech.
    Quiet { onset_frames: usize },
    /// Somebody speaks since the frame `first`; the last speech ended with the frame before
    /// `end`.
    Speech {
        first_frame: usize,
        end_frame: usize,
    },
}

pub(super) struct Endpointer<J> {
    vad: J,
    end_silence: u64,
    padding_frames: usize,
    min_speech: u64,
    max_frames: usize,
    stream_audio: bool,
    align_to_utterances: bool,
    frames: VadFrames,
    /// Whether there is something in the next frame that is not silence.
    frame_has_sound: bool,
    state: EndpointState,
    /// The energy of the loudest frame of the speech.
    peak_energy: f32,
    /// The frames in a row that sound like speech now.
    speech_run: SpeechRun,
    /// The frames of those runs that were speech beyond doubt.
    confirmed_frames: u64,
    /// Up to here samples have been given out live.
    streamed_until: u64,
}

impl<J: Vad> Endpointer<J> {
    pub(super) fn new(settings: &SpeakerReceiverSettings, vad: J) -> Self {
        let frames = |duration| {
            usize::try_from(duration_to_samples(duration) / FRAME_SAMPLES as u64)
                .unwrap_or(usize::MAX)
        };
        Self {
            speech_run: SpeechRun::for_vad(&vad),
            vad,
            end_silence: duration_to_samples(settings.end_silence),
            padding_frames: usize::try_from(
                duration_to_samples(settings.pre_roll).div_ceil(FRAME_SAMPLES as u64),
            )
            .unwrap_or(usize::MAX)
            .min(MIN_UTTERANCE_LIMIT),
            min_speech: duration_to_samples(settings.min_speech),
            max_frames: frames(settings.max_utterance).max(2 * MIN_UTTERANCE_LIMIT),
            stream_audio: settings.stream_audio,
            align_to_utterances: settings.align_to_utterances,
            frames: VadFrames::default(),
            frame_has_sound: false,
            state: EndpointState::Quiet { onset_frames: 0 },
            peak_energy: 0.0,
            confirmed_frames: 0,
            streamed_until: 0,
        }
    }

    /// The place of the next sample.
    pub(super) fn next_position(&self) -> u64 {
        self.frames.next_position()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.state == EndpointState::Quiet { onset_frames: 0 }
    }

    fn is_speaking(&self) -> bool {
        matches!(self.state, EndpointState::Speech { .. })
    }

    /// After how much more silence, in samples, the speech is over.
    pub(super) fn remaining_silence(&self) -> Option<u64> {
        let EndpointState::Speech { end_frame: end, .. } = self.state else {
            return None;
        };
        let silent = (self.frames.len() - end) * FRAME_SAMPLES;
        Some(self.end_silence.saturating_sub(silent as u64))
    }

    /// Takes the next samples.
    pub(super) fn push_samples(
        &mut self,
        samples: &[f32],
        kind: SampleOrigin,
        events: &mut Vec<SpeakerEvent>,
    ) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.frames.remaining_samples().min(rest.len()));
            self.frames.push_samples(part);
            self.advance_frame(part.len(), kind, events);
            rest = later;
        }
    }

    /// The next samples are silent.
    pub(super) fn push_silence(
        &mut self,
        samples: u64,
        kind: SampleOrigin,
        events: &mut Vec<SpeakerEvent>,
    ) {
        let margin = (self.padding_frames * FRAME_SAMPLES) as u64;
        let mut left = samples;
        while left > 0 {
            let whole = self.frames.remaining_samples() == FRAME_SAMPLES;
            if whole && !self.is_speaking() && left > margin {
                // Nobody needs to listen to a silence of hours.
                self.restart_at(self.next_position() + left - margin);
                left = margin;
            }
            let part = left.min(self.frames.remaining_samples() as u64);
            self.frames.push_silence(part as usize);
            self.advance_frame(part as usize, kind, events);
            left -= part;
        }
    }

    /// Packets don't come any more: what is left of the speech is over.
    pub(super) fn end_speech(&mut self, events: &mut Vec<SpeakerEvent>) {
        while self.is_speaking() {
            let room = self.frames.remaining_samples() as u64;
            self.push_silence(room, SampleOrigin::Silence, events);
        }
    }

    /// Nobody listens any more: gives what there is, without silence that was not heard.
    pub(super) fn finish(&mut self, events: &mut Vec<SpeakerEvent>) {
        let place = self.next_position();
        if self.frames.remaining_samples() < FRAME_SAMPLES {
            let room = self.frames.remaining_samples() as u64;
            self.push_silence(room, SampleOrigin::Silence, events);
        }
        self.finish_utterance(Some(place), events);
        self.restart_at(place);
    }

    /// Gives the samples that are new since the last time, if they are speech.
    pub(super) fn emit_audio(&mut self, events: &mut Vec<SpeakerEvent>) {
        let EndpointState::Speech { end_frame: end, .. } = self.state else {
            return;
        };
        let frames = if self.align_to_utterances {
            // What comes after may be silence, or be cut off.
            (end + self.padding_frames).min(self.earliest_split())
        } else {
            usize::MAX
        };
        self.emit_audio_until(frames, None, events);
    }

    /// The same with the first frames, and nothing behind the place `limit`.
    fn emit_audio_until(
        &mut self,
        frames: usize,
        limit: Option<u64>,
        events: &mut Vec<SpeakerEvent>,
    ) {
        if !self.stream_audio || !self.has_enough_speech() {
            return;
        }
        let frames = frames.min(self.frames.len());
        let until = self.frames.start_position() + (frames * FRAME_SAMPLES) as u64;
        let until = limit.map_or(until, |limit| limit.min(until));
        let (at, samples) = self.frames.samples_since(self.streamed_until);
        let count = usize::try_from(until.saturating_sub(at)).unwrap_or(usize::MAX);
        let samples = &samples[..count.min(samples.len())];
        if !samples.is_empty() {
            self.streamed_until = at + samples.len() as u64;
            events.push(SpeakerEvent::Audio {
                at: samples_to_duration(at),
                samples: samples.to_vec(),
            });
        }
    }

    /// Whether there has been enough speech for an utterance.
    fn has_enough_speech(&self) -> bool {
        self.is_speaking()
            && (self.confirmed_frames + self.speech_run.speech_frames()) * FRAME_SAMPLES as u64
                >= self.min_speech.max(1)
    }

    /// So many samples have been appended, at most to the end of a frame.
    fn advance_frame(
        &mut self,
        samples: usize,
        kind: SampleOrigin,
        events: &mut Vec<SpeakerEvent>,
    ) {
        match kind {
            SampleOrigin::Decoded => self.frame_has_sound = true,
            SampleOrigin::Silence => {}
            SampleOrigin::Lost => {
                self.frame_has_sound = true;
                self.frames.mark_lost(samples);
            }
        }
        if self.frames.remaining_samples() == 0 {
            self.score_frame(events);
        }
    }

    fn score_frame(&mut self, events: &mut Vec<SpeakerEvent>) {
        let mut frame = [0.0; FRAME_SAMPLES];
        for (judged, sample) in frame.iter_mut().zip(self.frames.next_frame()) {
            // Opus may overshoot, and what was made to do harm may be no number at all.
            *judged = match sample.is_nan() {
                true => 0.0,
                false => sample.clamp(-1.0, 1.0),
            };
        }
        let energy = energy(&frame);
        let judged = self.vad.speech_probability(&frame);
        // The judge still hears the last word in the silence after it; the sender knows better.
        let probability = if self.frame_has_sound { judged } else { 0.0 };
        self.frames.push_probability(probability);
        self.frame_has_sound = false;
        match self.state {
            EndpointState::Quiet { .. } if probability < SPEECH_THRESHOLD => {
                self.state = EndpointState::Quiet { onset_frames: 0 };
                self.speech_run.push_frame(probability, &frame);
                if self.frames.len() >= self.padding_frames + ONSET_FRAMES + DROP_BATCH_FRAMES {
                    self.frames.keep_last(self.padding_frames + ONSET_FRAMES);
                }
            }
            EndpointState::Quiet {
                onset_frames: onset,
            } => {
                self.speech_run.push_frame(probability, &frame);
                self.peak_energy = if onset == 0 {
                    energy
                } else {
                    self.peak_energy.max(energy)
                };
                let onset = onset + 1;
                self.state = EndpointState::Quiet {
                    onset_frames: onset,
                };
                if onset >= ONSET_FRAMES {
                    self.start_speech(onset, events);
                }
            }
            EndpointState::Speech {
                first_frame: first,
                end_frame: end,
            } => {
                self.confirmed_frames +=
                    self.speech_run.push_frame(probability, &frame).unwrap_or(0);
                self.peak_energy = self.peak_energy.max(energy);
                let audible = energy >= self.peak_energy * INAUDIBLE_ENERGY_RATIO;
                let end = if probability >= CONTINUE_THRESHOLD && audible {
                    self.frames.len()
                } else {
                    end
                };
                self.state = EndpointState::Speech {
                    first_frame: first,
                    end_frame: end,
                };
                if self.remaining_silence() == Some(0) {
                    self.finish_utterance(None, events);
                } else if self.frames.len() >= self.max_frames {
                    self.split_utterance(events);
                }
            }
        }
    }

    fn start_speech(&mut self, onset: usize, events: &mut Vec<SpeakerEvent>) {
        self.frames.keep_last(self.padding_frames + onset);
        let end = self.frames.len();
        let first = end - onset;
        self.state = EndpointState::Speech {
            first_frame: first,
            end_frame: end,
        };
        events.push(SpeakerEvent::SpeechStarted {
            at: self.frames.frame_time(first),
        });
    }

    /// The speech is over: gives it, if it was any, or says that it was none. No sample behind
    /// `limit` is given.
    fn finish_utterance(&mut self, limit: Option<u64>, events: &mut Vec<SpeakerEvent>) {
        let EndpointState::Speech {
            first_frame: first,
            end_frame: end,
        } = self.state
        else {
            return;
        };
        let frames = (end + self.padding_frames).min(self.frames.len());
        if self.align_to_utterances {
            self.emit_audio_until(frames, limit, events);
        } else {
            self.emit_audio(events);
        }
        if self.has_enough_speech() {
            self.confirmed_frames += self.speech_run.end_run();
            let utterance = self.take_utterance(frames, limit, self.confirmed_frames, false);
            events.push(SpeakerEvent::Utterance(utterance));
        } else {
            let at = self.frames.frame_time(first);
            self.frames.drop_front(frames);
            events.push(SpeakerEvent::Dismissed { at });
        }
        self.speech_run.end_run();
        self.confirmed_frames = 0;
        self.state = EndpointState::Quiet { onset_frames: 0 };
    }

    /// Takes the first frames out as an utterance, without what is behind the place `limit`.
    fn take_utterance(
        &mut self,
        frames: usize,
        limit: Option<u64>,
        sure: u64,
        cut: bool,
    ) -> Utterance {
        let start = self.frames.start_position();
        let spoken = match self.state {
            EndpointState::Speech { end_frame: end, .. } => end.min(frames),
            EndpointState::Quiet { .. } => frames,
        };
        let (mut samples, lost) = self.frames.take_front(frames);
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
            is_cut: cut,
        }
    }

    /// It is getting too long: it is cut in the middle of its quietest pause near the end.
    fn split_utterance(&mut self, events: &mut Vec<SpeakerEvent>) {
        let EndpointState::Speech { end_frame: end, .. } = self.state else {
            return;
        };
        let latest = self.frames.len() - SPLIT_PAUSE_FRAMES;
        let earliest = earliest_split_before(latest);
        let quietest = (earliest..latest)
            .map(|at| (at, self.frames.window_energy(at, SPLIT_PAUSE_FRAMES)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map_or(latest, |(at, _)| at);
        let place = quietest + SPLIT_PAUSE_FRAMES / 2;
        if place >= end || !self.has_enough_speech() {
            // What would go on is silence, or noise.
            self.finish_utterance(None, events);
            return;
        }
        if self.align_to_utterances {
            self.emit_audio_until(place, None, events);
        } else {
            self.emit_audio(events);
        }
        let (_, sure) = count_confirmed(
            self.speech_run.new_like(),
            self.frames.frames_between(0, place),
            true,
        );
        let (run, rest) = count_confirmed(
            self.speech_run.new_like(),
            self.frames.frames_between(place, self.frames.len()),
            false,
        );
        let utterance = self.take_utterance(place, None, sure, true);
        events.push(SpeakerEvent::Utterance(utterance));
        (self.speech_run, self.confirmed_frames) = (run, rest);
        self.state = EndpointState::Speech {
            first_frame: 0,
            end_frame: end - place,
        };
    }

    /// No utterance that is too long is cut before this frame.
    fn earliest_split(&self) -> usize {
        earliest_split_before(self.max_frames - SPLIT_PAUSE_FRAMES)
    }

    /// Goes on elsewhere, without what was kept.
    fn restart_at(&mut self, place: u64) {
        self.frames.restart_at(place);
        self.state = EndpointState::Quiet { onset_frames: 0 };
        self.speech_run.end_run();
        self.frame_has_sound = false;
    }

    /// The bytes it holds.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.frames.memory_bytes()
    }
}

/// Where the search for a pause begins that ends at `latest`.
fn earliest_split_before(latest: usize) -> usize {
    latest.saturating_sub(SPLIT_SEARCH_FRAMES).max(latest / 2)
}

/// How many of these frames are speech beyond doubt, and the run at their end, unless it `ends`
/// there and is counted too.
fn count_confirmed<'a>(
    mut run: SpeechRun,
    frames: impl Iterator<Item = (f32, &'a [f32])>,
    ends: bool,
) -> (SpeechRun, u64) {
    let mut sure = 0;
    for (probability, samples) in frames {
        sure += run.push_frame(probability, samples).unwrap_or(0);
    }
    if ends {
        sure += run.end_run();
    }
    (run, sure)
}
