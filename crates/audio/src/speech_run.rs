//! Whether frames in a row that sound like speech are speech.

use super::automatic_gain::energy;
use super::segmenter::Vad;
use super::vad::FRAME_SAMPLES;

/// A frame with at least this probability is speech.
pub(super) const SPEECH_THRESHOLD: f32 = 0.5;

/// Speech has at least one frame that is this likely to be some. Steady noise begins with some
/// 200 ms of up to 0.7; speech reached 0.8 in every sample tried.
const CONFIRMED_THRESHOLD: f32 = 0.8;

/// Speech shorter than this in a row is a click or a cough: 7 frames are 112 ms.
pub(super) const MIN_RUN_FRAMES: u64 = 7;

/// Loudness is looked at over so many frames: 64 ms, some periods of mains hum.
const SMOOTHING_FRAMES: usize = 4;

/// From so many frames on, 384 ms, it counts how much the loudness moves.
const MIN_STEADY_FRAMES: u32 = 24;

/// Of these frames so many are within [`STEADY_RANGE_DB`] of the loudest if it is a steady sound:
/// 0.98 of hum and hiss; of speech, also in as much noise, 0.4 at most.
const STEADY_SHARE: f32 = 0.65;

/// In steps of loudness, 1 dB each.
const STEADY_RANGE_DB: usize = 2;

/// What is so much softer than the loudest doesn't count: 25 dB.
const AUDIBLE_RANGE_DB: usize = 25;

/// Steps of loudness that are told apart, down to -128 dBFS.
const LOUDNESS_BINS: usize = 128;

/// From so many frames on, 640 ms, it counts how much the pitch moves.
const MIN_TONE_FRAMES: u32 = 40;

/// The sign changes more or less often from frame to frame by this part of the samples, or it is
/// a tone: chords and sirens stay below 0.015, speech was never below 0.035.
const MIN_PITCH_CHANGE: f32 = 0.018;

/// Quieter than this, -100 dBFS, there are no signs to be counted.
const MIN_PITCH_ENERGY: f32 = 1e-10 * FRAME_SAMPLES as f32;

/// A run of frames with speech in them, told from clicks, from the onset of noise, and from sounds
/// that stay the same, as hum and chords do and no voice does.
#[derive(Debug)]
pub(super) struct SpeechRun {
    /// Whether what stays the same is no speech.
    reject_steady_sounds: bool,
    run: RunStats,
    /// The energy of the last frames.
    recent_energies: [f32; SMOOTHING_FRAMES],
    next_energy: usize,
}

#[derive(Debug)]
struct RunStats {
    frames: u64,
    max_probability: f32,
    /// How many frames were how loud.
    loudness_histogram: [u32; LOUDNESS_BINS],
    /// Frames whose signs were counted.
    pitched_frames: u32,
    /// How often the sign changed in the last one, as a part of its samples.
    last_zero_crossing_rate: f32,
    /// By how much that changed, in all.
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
    /// For judgements of this judge.
    pub(super) fn for_vad(judge: &impl Vad) -> Self {
        Self::new(judge.is_fooled_by_steady_sounds())
    }

    fn new(reject_steady_sounds: bool) -> Self {
        Self {
            reject_steady_sounds,
            run: RunStats::default(),
            recent_energies: [0.0; SMOOTHING_FRAMES],
            next_energy: 0,
        }
    }

    /// One that has heard nothing yet, for the same judge.
    pub(super) fn new_like(&self) -> Self {
        Self::new(self.reject_steady_sounds)
    }

    /// Takes the next frame and its probability. When a run ends with it, gives the frames it had,
    /// if it was speech.
    pub(super) fn push_frame(&mut self, probability: f32, frame: &[f32]) -> Option<u64> {
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

    /// Whether the run so far is long, sure and lively enough to be speech.
    pub(super) fn is_speech(&self) -> bool {
        self.run.frames >= MIN_RUN_FRAMES
            && self.run.max_probability >= CONFIRMED_THRESHOLD
            && !(self.reject_steady_sounds && (self.run.is_steady() || self.run.has_steady_pitch()))
    }

    /// The frames the run has so far if it is speech, else none.
    pub(super) fn speech_frames(&self) -> u64 {
        if self.is_speech() { self.run.frames } else { 0 }
    }

    /// Ends the run: the frames it had if it was speech, else none.
    pub(super) fn end_run(&mut self) -> u64 {
        if self.run.frames == 0 {
            return 0;
        }
        let frames = self.speech_frames();
        self.run = RunStats::default();
        frames
    }
}

impl RunStats {
    /// Whether it stays equally loud.
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

    /// Whether its pitch hardly moves.
    fn has_steady_pitch(&self) -> bool {
        self.pitched_frames >= MIN_TONE_FRAMES
            && self.zero_crossing_change < MIN_PITCH_CHANGE * (self.pitched_frames - 1) as f32
    }
}

/// The step of loudness of so many frames' energy.
fn loudness_bin(energy: f32) -> usize {
    let mean = energy / (SMOOTHING_FRAMES * FRAME_SAMPLES) as f32;
    let decibels = 10.0 * mean.max(1e-13).log10();
    // `as` saturates, and maps what is no number to 0.
    ((decibels + LOUDNESS_BINS as f32) as usize).min(LOUDNESS_BINS - 1)
}

/// How often the sign changes, as a part of the samples.
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

    /// Frames of a sound whose level and pitch follow `of`, in the loudness and sign changes of a
    /// frame.
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
    fn speech_moves_and_machines_do_not() {
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
    fn a_run_begins_anew() {
        let mut run = run(30, |_| (0.1, 20));
        assert_eq!(run.push_frame(0.1, &[0.0; FRAME_SAMPLES]), Some(0));
        for _ in 0..9 {
            run.push_frame(0.9, &[0.1; FRAME_SAMPLES]);
        }
        assert_eq!(run.push_frame(0.1, &[0.0; FRAME_SAMPLES]), Some(9));
        assert_eq!(run.end_run(), 0);
    }
}
