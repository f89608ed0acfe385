//! Decides whether a run of frames rated as likely speech really is speech.

use super::automatic_gain::energy;
use super::vad::{FRAME_SAMPLES, Vad};

/// Minimum probability of a speech frame.
pub(crate) const SPEECH_THRESHOLD: f32 = 0.5;

/// Within speech, frames with at least this probability continue it.
pub(crate) const CONTINUE_THRESHOLD: f32 = 0.35;

/// Consecutive frames that start speech: 32 ms.
pub(crate) const ONSET_FRAMES: usize = 2;

/// A run needs at least one frame with this probability. Steady noise starts with about 200 ms of
/// up to 0.7; speech reached 0.8 in every sample tested.
const CONFIRMED_THRESHOLD: f32 = 0.8;

/// Minimum length of a run in frames: 7 frames are 112 ms. Anything shorter is a click or a cough.
pub(crate) const MIN_RUN_FRAMES: u64 = 7;

/// Frames over which loudness is smoothed: 64 ms, several periods of mains hum.
const SMOOTHING_FRAMES: usize = 4;

/// Minimum length of a run, in frames, before its change in loudness is checked: 384 ms.
const MIN_STEADY_FRAMES: u32 = 24;

/// A run is steady if more than this share of its audible frames is within [`STEADY_RANGE_DB`] of
/// the loudest. Hum and hiss have 0.98; speech has 0.4 at most, even in noise of the same level.
const STEADY_SHARE: f32 = 0.65;

/// In histogram bins of 1 dB each.
const STEADY_RANGE_DB: usize = 2;

/// Frames this far below the loudest one are ignored; in histogram bins of 1 dB each.
const AUDIBLE_RANGE_DB: usize = 25;

/// Bins of the loudness histogram, 1 dB each, down to -128 dBFS.
const LOUDNESS_BINS: usize = 128;

/// Minimum length of a run, in frames, before its change in pitch is checked: 640 ms.
const MIN_TONE_FRAMES: u32 = 40;

/// Minimum average change of the zero-crossing rate from frame to frame, as a fraction of the
/// samples; below it the run is a tone. Chords and sirens stay below 0.015, speech was never below
/// 0.035.
const MIN_PITCH_CHANGE: f32 = 0.018;

/// Energy below which the zero crossings of a frame are not counted: -100 dBFS.
const MIN_PITCH_ENERGY: f32 = 1e-10 * FRAME_SAMPLES as f32;

/// A run of consecutive frames rated as likely speech. It tells speech from clicks, from the onset
/// of noise, and from steady sounds such as hum and chords, which no voice produces.
#[derive(Debug)]
pub(crate) struct SpeechRun {
    /// Whether steady sounds are rejected.
    reject_steady_sounds: bool,
    run: RunStats,
    /// Energy of the last frames, as a ring buffer.
    recent_energies: [f32; SMOOTHING_FRAMES],
    next_energy: usize,
}

#[derive(Debug)]
struct RunStats {
    frames: u64,
    max_probability: f32,
    /// Number of frames per loudness bin.
    loudness_histogram: [u32; LOUDNESS_BINS],
    /// Frames whose zero crossings were counted.
    pitched_frames: u32,
    /// Zero-crossing rate of the last of them, as a fraction of its samples.
    last_zero_crossing_rate: f32,
    /// Sum of the changes of that rate.
    zero_crossing_change: f32,
}

impl Default for RunStats {
    fn default() -> Self {
        Self {
            frames: 0,
            max_probability: 0.0,
            loudness_histogram: [0; LOUDNESS_BINS],
            pitched_frames: 0,
            last_zero_crossing_rate: 0.0,
            zero_crossing_change: 0.0,
        }
    }
}

impl SpeechRun {
    /// A run for frames rated by `vad`.
    pub(crate) fn for_vad(vad: &impl Vad) -> Self {
        Self::new(vad.is_fooled_by_steady_sounds())
    }

    fn new(reject_steady_sounds: bool) -> Self {
        Self {
            reject_steady_sounds,
            run: RunStats::default(),
            recent_energies: [0.0; SMOOTHING_FRAMES],
            next_energy: 0,
        }
    }

    /// A new run with the same settings.
    pub(crate) fn new_like(&self) -> Self {
        Self::new(self.reject_steady_sounds)
    }

    /// Adds the next frame with its probability. If it ends the run, returns the length of the run
    /// in frames, or 0 if that was not speech.
    pub(crate) fn push_frame(&mut self, probability: f32, frame: &[f32]) -> Option<u64> {
        let energy = energy(frame);
        self.recent_energies[self.next_energy] = energy;
        self.next_energy = (self.next_energy + 1) % SMOOTHING_FRAMES;
        if probability < SPEECH_THRESHOLD {
            return Some(self.end_run());
        }
        let smoothed = self.recent_energies.iter().sum::<f32>();
        self.run.frames += 1;
        self.run.max_probability = self.run.max_probability.max(probability);
        self.run.loudness_histogram[loudness_bin(smoothed)] += 1;
        if energy > MIN_PITCH_ENERGY {
            let crossings = zero_crossing_rate(frame);
            if self.run.pitched_frames > 0 {
                self.run.zero_crossing_change +=
                    (crossings - self.run.last_zero_crossing_rate).abs();
            }
            self.run.last_zero_crossing_rate = crossings;
            self.run.pitched_frames += 1;
        }
        None
    }

    /// Whether the run so far is long, confident and varied enough to be speech.
    pub(crate) fn is_speech(&self) -> bool {
        self.run.frames >= MIN_RUN_FRAMES
            && self.run.max_probability >= CONFIRMED_THRESHOLD
            && !(self.reject_steady_sounds && (self.run.is_steady() || self.run.has_steady_pitch()))
    }

    /// Length of the run in frames if it is speech, otherwise 0.
    pub(crate) fn speech_frames(&self) -> u64 {
        if self.is_speech() { self.run.frames } else { 0 }
    }

    /// Ends the run; returns its length in frames if it was speech, otherwise 0.
    pub(crate) fn end_run(&mut self) -> u64 {
        if self.run.frames == 0 {
            return 0;
        }
        let frames = self.speech_frames();
        self.run = RunStats::default();
        frames
    }
}

impl RunStats {
    /// Whether the loudness hardly changes.
    fn is_steady(&self) -> bool {
        let Some(loudest) = self
            .loudness_histogram
            .iter()
            .rposition(|frames| *frames > 0)
        else {
            return false;
        };
        let within = |steps: usize| -> u32 {
            let from = loudest.saturating_sub(steps);
            self.loudness_histogram[from..=loudest].iter().sum()
        };
        let audible = within(AUDIBLE_RANGE_DB);
        audible >= MIN_STEADY_FRAMES
            && within(STEADY_RANGE_DB) as f32 > STEADY_SHARE * audible as f32
    }

    /// Whether the pitch hardly changes.
    fn has_steady_pitch(&self) -> bool {
        self.pitched_frames >= MIN_TONE_FRAMES
            && self.zero_crossing_change < MIN_PITCH_CHANGE * (self.pitched_frames - 1) as f32
    }
}

/// Histogram bin for the summed energy of [`SMOOTHING_FRAMES`] frames.
fn loudness_bin(energy: f32) -> usize {
    let mean = energy / (SMOOTHING_FRAMES * FRAME_SAMPLES) as f32;
    let decibels = 10.0 * mean.max(1e-13).log10();
    // `as` saturates and maps NaN to 0.
    ((decibels + LOUDNESS_BINS as f32) as usize).min(LOUDNESS_BINS - 1)
}

/// Number of sign changes as a fraction of the samples.
fn zero_crossing_rate(frame: &[f32]) -> f32 {
    let negative = |sample: f32| u32::from(sample < 0.0);
    let later = frame.get(1..).unwrap_or_default();
    let changes = frame.iter().zip(later);
    let changes: u32 = changes.map(|(a, b)| negative(*a) ^ negative(*b)).sum();
    changes as f32 / FRAME_SAMPLES as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run over `frames` frames of a square wave; `of` returns level and half period of each.
    fn run(frames: u32, of: impl Fn(u32) -> (f32, usize)) -> SpeechRun {
        let mut run = SpeechRun::new(true);
        for number in 0..frames {
            let (level, every) = of(number);
            let sign = |at: usize| {
                if (at / every).is_multiple_of(2) {
                    1.0
                } else {
                    -1.0
                }
            };
            let frame: Vec<f32> = (0..FRAME_SAMPLES).map(|at| sign(at) * level).collect();
            assert!(run.push_frame(0.9, &frame).is_none());
        }
        run
    }

    #[test]
    fn varied_sound_is_speech_and_steady_sound_is_not() {
        let said = |number: u32| match number % 12 {
            0..=6 => (0.1, 20),
            7..=9 => (0.01, 4),
            _ => (0.001, 30),
        };
        for frames in [7, 24, 40, 400] {
            assert!(run(frames, said).is_speech(), "{frames} frames");
        }
        assert!(!run(6, said).is_speech(), "a click");
        assert!(!run(24, |_| (0.1, 20)).is_speech(), "a steady sound");
        let chords = |number: u32| (0.1 * 0.95_f32.powi((number % 50) as i32), 20);
        assert!(!run(400, chords).is_speech(), "tones that fade");
        let vowel = |number: u32| (0.1 * (number as f32 / 16.0 * 3.1).sin().abs(), 16);
        assert!(run(16, vowel).is_speech(), "a short word is one tone");
    }

    #[test]
    fn an_ended_run_starts_over() {
        let mut run = run(30, |_| (0.1, 20));
        assert_eq!(run.push_frame(0.1, &[0.0; FRAME_SAMPLES]), Some(0));
        for _ in 0..9 {
            run.push_frame(0.9, &[0.1; FRAME_SAMPLES]);
        }
        assert_eq!(run.push_frame(0.1, &[0.0; FRAME_SAMPLES]), Some(9));
        assert_eq!(run.end_run(), 0);
    }
}
