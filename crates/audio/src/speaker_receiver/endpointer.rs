//! Endpointing: finds where an utterance starts and ends.
//!
//! A pure state machine on samples that are positioned on the session timeline. In silence it keeps
//! a pre-roll, because the first sound of a word is softer than what triggers detection. In speech
//! it keeps everything, until a pause is long enough or the utterance gets too long.
//!
//! Unlike [`Segmenter`](crate::Segmenter), which cuts recordings for a recognizer, it has to be
//! fast, preserves positions, and never emits a sample twice.

use super::vad_frames::VadFrames;
use super::{SpeakerEvent, SpeakerReceiverSettings, Utterance};
use crate::pcm::{duration_to_samples, samples_to_duration};
use crate::speech::automatic_gain::energy;
use crate::speech::speech_run::{CONTINUE_THRESHOLD, ONSET_FRAMES, SPEECH_THRESHOLD, SpeechRun};
use crate::speech::vad::{FRAME_SAMPLES, Vad};

/// How far back from the maximum length a pause is searched for, in frames: 8 s.
const SPLIT_SEARCH_FRAMES: usize = 500;

/// Length of the pause at which long speech is split, in frames: 160 ms. Silence within words is
/// shorter.
const SPLIT_PAUSE_FRAMES: usize = 10;

/// Lower bound of the maximum utterance length, in frames: 1 s.
const MIN_UTTERANCE_LIMIT: usize = 62;

/// Frames dropped at a time, because moving the remaining ones costs time.
const DROP_BATCH_FRAMES: usize = 16;

/// A frame with less than this fraction of the energy of the utterance's loudest frame (46 dB
/// below) is not speech: the detector keeps reporting speech for 100 ms and more after the last
/// word.
const INAUDIBLE_ENERGY_RATIO: f32 = 1.0 / 40_000.0;

/// Where samples come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SampleOrigin {
    Decoded,
    /// The client sent silence, or nothing.
    Silence,
    /// Stand-ins for lost packets.
    Lost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EndpointState {
    /// No speech; the last `onset_frames` frames were likely speech.
    Quiet { onset_frames: usize },
    /// Speech since frame `first_frame`; the last of it ended before frame `end_frame`.
    Speech {
        first_frame: usize,
        end_frame: usize,
    },
}

pub(super) struct Endpointer<V> {
    vad: V,
    end_silence: u64,
    padding_frames: usize,
    min_speech: u64,
    max_frames: usize,
    stream_audio: bool,
    align_to_utterances: bool,
    frames: VadFrames,
    /// Whether the next frame contains anything but silence.
    frame_has_sound: bool,
    state: EndpointState,
    /// Energy of the loudest frame of the utterance.
    peak_energy: f32,
    /// The current run of consecutive frames that are likely speech.
    speech_run: SpeechRun,
    /// Frames in earlier runs that were confirmed as speech.
    confirmed_frames: u64,
    /// Position up to which samples have been streamed.
    streamed_until: u64,
}

impl<V: Vad> Endpointer<V> {
    pub(super) fn new(settings: &SpeakerReceiverSettings, vad: V) -> Self {
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

    /// Position of the next sample.
    pub(super) fn next_position(&self) -> u64 {
        self.frames.next_position()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.state == EndpointState::Quiet { onset_frames: 0 }
    }

    fn is_speaking(&self) -> bool {
        matches!(self.state, EndpointState::Speech { .. })
    }

    /// Length of further silence after which the utterance ends, in samples.
    pub(super) fn remaining_silence(&self) -> Option<u64> {
        let EndpointState::Speech { end_frame, .. } = self.state else {
            return None;
        };
        let silent = (self.frames.len() - end_frame) * FRAME_SAMPLES;
        Some(self.end_silence.saturating_sub(silent as u64))
    }

    /// Appends samples.
    pub(super) fn push_samples(
        &mut self,
        samples: &[f32],
        origin: SampleOrigin,
        events: &mut Vec<SpeakerEvent>,
    ) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.frames.remaining_samples().min(rest.len()));
            self.frames.push_samples(part);
            self.advance_frame(part.len(), origin, events);
            rest = later;
        }
    }

    /// Appends silence.
    pub(super) fn push_silence(
        &mut self,
        samples: u64,
        origin: SampleOrigin,
        events: &mut Vec<SpeakerEvent>,
    ) {
        let pre_roll = (self.padding_frames * FRAME_SAMPLES) as u64;
        let mut left = samples;
        while left > 0 {
            let whole = self.frames.remaining_samples() == FRAME_SAMPLES;
            if whole && !self.is_speaking() && left > pre_roll {
                // Skip silence that may be hours long; only the pre-roll is kept.
                self.restart_at(self.next_position() + left - pre_roll);
                left = pre_roll;
            }
            let part = left.min(self.frames.remaining_samples() as u64);
            self.frames.push_silence(part as usize);
            self.advance_frame(part as usize, origin, events);
            left -= part;
        }
    }

    /// No more packets arrive: ends the current utterance.
    pub(super) fn end_speech(&mut self, events: &mut Vec<SpeakerEvent>) {
        while self.is_speaking() {
            let missing = self.frames.remaining_samples() as u64;
            self.push_silence(missing, SampleOrigin::Silence, events);
        }
    }

    /// Ends the stream: emits what is left, without the silence added to complete the last frame.
    pub(super) fn finish(&mut self, events: &mut Vec<SpeakerEvent>) {
        let position = self.next_position();
        if self.frames.remaining_samples() < FRAME_SAMPLES {
            let missing = self.frames.remaining_samples() as u64;
            self.push_silence(missing, SampleOrigin::Silence, events);
        }
        self.finish_utterance(Some(position), events);
        self.restart_at(position);
    }

    /// Streams new samples if they belong to an utterance.
    pub(super) fn emit_audio(&mut self, events: &mut Vec<SpeakerEvent>) {
        let EndpointState::Speech { end_frame, .. } = self.state else {
            return;
        };
        let frames = if self.align_to_utterances {
            // Later frames may turn out to be silence, or belong to the next part after a split.
            (end_frame + self.padding_frames).min(self.earliest_split())
        } else {
            usize::MAX
        };
        self.emit_audio_until(frames, None, events);
    }

    /// Streams new samples up to frame `frames`, but none beyond position `limit`.
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

    /// Whether there is enough confirmed speech for an utterance.
    fn has_enough_speech(&self) -> bool {
        self.is_speaking()
            && (self.confirmed_frames + self.speech_run.speech_frames()) * FRAME_SAMPLES as u64
                >= self.min_speech.max(1)
    }

    /// Accounts for `samples` appended samples, which reach at most to the end of a frame.
    fn advance_frame(
        &mut self,
        samples: usize,
        origin: SampleOrigin,
        events: &mut Vec<SpeakerEvent>,
    ) {
        match origin {
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
        for (clean, sample) in frame.iter_mut().zip(self.frames.next_frame()) {
            // Opus may exceed ±1, and malicious packets may decode to NaN.
            *clean = match sample.is_nan() {
                true => 0.0,
                false => sample.clamp(-1.0, 1.0),
            };
        }
        let energy = energy(&frame);
        let rated = self.vad.speech_probability(&frame);
        // The detector still reports speech in the silence after a word; the sender knows better.
        let probability = if self.frame_has_sound { rated } else { 0.0 };
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
            EndpointState::Quiet { onset_frames } => {
                self.speech_run.push_frame(probability, &frame);
                self.peak_energy = if onset_frames == 0 {
                    energy
                } else {
                    self.peak_energy.max(energy)
                };
                let onset_frames = onset_frames + 1;
                self.state = EndpointState::Quiet { onset_frames };
                if onset_frames >= ONSET_FRAMES {
                    self.start_speech(onset_frames, events);
                }
            }
            EndpointState::Speech {
                first_frame,
                end_frame,
            } => {
                self.confirmed_frames +=
                    self.speech_run.push_frame(probability, &frame).unwrap_or(0);
                self.peak_energy = self.peak_energy.max(energy);
                let audible = energy >= self.peak_energy * INAUDIBLE_ENERGY_RATIO;
                let end_frame = if probability >= CONTINUE_THRESHOLD && audible {
                    self.frames.len()
                } else {
                    end_frame
                };
                self.state = EndpointState::Speech {
                    first_frame,
                    end_frame,
                };
                if self.remaining_silence() == Some(0) {
                    self.finish_utterance(None, events);
                } else if self.frames.len() >= self.max_frames {
                    self.split_utterance(events);
                }
            }
        }
    }

    fn start_speech(&mut self, onset_frames: usize, events: &mut Vec<SpeakerEvent>) {
        self.frames.keep_last(self.padding_frames + onset_frames);
        let end_frame = self.frames.len();
        let first_frame = end_frame - onset_frames;
        self.state = EndpointState::Speech {
            first_frame,
            end_frame,
        };
        events.push(SpeakerEvent::SpeechStarted {
            at: self.frames.frame_time(first_frame),
        });
    }

    /// Ends the utterance: emits it, or dismisses it if it has too little speech. Samples beyond
    /// position `limit` are left out.
    fn finish_utterance(&mut self, limit: Option<u64>, events: &mut Vec<SpeakerEvent>) {
        let EndpointState::Speech {
            first_frame,
            end_frame,
        } = self.state
        else {
            return;
        };
        let frames = (end_frame + self.padding_frames).min(self.frames.len());
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
            let at = self.frames.frame_time(first_frame);
            self.frames.drop_front(frames);
            events.push(SpeakerEvent::Dismissed { at });
        }
        self.speech_run.end_run();
        self.confirmed_frames = 0;
        self.state = EndpointState::Quiet { onset_frames: 0 };
    }

    /// Removes the first `frames` frames and returns them as an utterance, without samples beyond
    /// position `limit`.
    fn take_utterance(
        &mut self,
        frames: usize,
        limit: Option<u64>,
        confirmed: u64,
        cut: bool,
    ) -> Utterance {
        let start = self.frames.start_position();
        let spoken = match self.state {
            EndpointState::Speech { end_frame, .. } => end_frame.min(frames),
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
            speech: samples_to_duration(confirmed * FRAME_SAMPLES as u64),
            lost: samples_to_duration(lost),
            tail: samples_to_duration(tail as u64),
            is_cut: cut,
        }
    }

    /// The utterance is too long: splits it in the middle of its quietest pause near the end.
    fn split_utterance(&mut self, events: &mut Vec<SpeakerEvent>) {
        let EndpointState::Speech { end_frame, .. } = self.state else {
            return;
        };
        let latest = self.frames.len() - SPLIT_PAUSE_FRAMES;
        let earliest = earliest_split_before(latest);
        let quietest = (earliest..latest)
            .map(|at| (at, self.frames.window_energy(at, SPLIT_PAUSE_FRAMES)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map_or(latest, |(at, _)| at);
        let position = quietest + SPLIT_PAUSE_FRAMES / 2;
        if position >= end_frame || !self.has_enough_speech() {
            // Only silence or noise would remain after the split.
            self.finish_utterance(None, events);
            return;
        }
        if self.align_to_utterances {
            self.emit_audio_until(position, None, events);
        } else {
            self.emit_audio(events);
        }
        let (_, confirmed) = count_confirmed(
            self.speech_run.new_like(),
            self.frames.frames_between(0, position),
            true,
        );
        let (run, rest) = count_confirmed(
            self.speech_run.new_like(),
            self.frames.frames_between(position, self.frames.len()),
            false,
        );
        let utterance = self.take_utterance(position, None, confirmed, true);
        events.push(SpeakerEvent::Utterance(utterance));
        (self.speech_run, self.confirmed_frames) = (run, rest);
        self.state = EndpointState::Speech {
            first_frame: 0,
            end_frame: end_frame - position,
        };
    }

    /// First frame at which a too long utterance may be split.
    fn earliest_split(&self) -> usize {
        earliest_split_before(self.max_frames - SPLIT_PAUSE_FRAMES)
    }

    /// Drops all samples and continues at another position.
    fn restart_at(&mut self, position: u64) {
        self.frames.restart_at(position);
        self.state = EndpointState::Quiet { onset_frames: 0 };
        self.speech_run.end_run();
        self.frame_has_sound = false;
    }

    /// Heap memory in bytes.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.frames.memory_bytes()
    }
}

/// Start of the search for a pause that ends at frame `latest`.
fn earliest_split_before(latest: usize) -> usize {
    latest.saturating_sub(SPLIT_SEARCH_FRAMES).max(latest / 2)
}

/// Counts the frames confirmed as speech. The last run is counted if `ends`, otherwise it is
/// returned to be continued.
fn count_confirmed<'a>(
    mut run: SpeechRun,
    frames: impl Iterator<Item = (f32, &'a [f32])>,
    ends: bool,
) -> (SpeechRun, u64) {
    let mut confirmed = 0;
    for (probability, samples) in frames {
        confirmed += run.push_frame(probability, samples).unwrap_or(0);
    }
    if ends {
        confirmed += run.end_run();
    }
    (run, confirmed)
}
