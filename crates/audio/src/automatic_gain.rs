//! Automatic gain: the judge of speech hears everything equally loud.
//!
//! What it says depends on the level it was trained at: below about -45 dBFS it took speech for
//! silence, and above -15 dBFS hiss for speech. Only the judge hears through this; what is kept,
//! shown or sent stays as it was.

use super::vad::FRAME_SAMPLES;

/// The loudest frames reach the judge at this level: 20 dB below full scale. Down to 0 dB of noise
/// speech is told best here, and no steady noise passes for it.
const TARGET_LEVEL: f32 = 0.1;

/// Nothing counts as quieter than this: -84 dBFS, 20 dB below the quietest speech that recognizers
/// understand, above the dither of 16-bit files.
const MIN_LEVEL: f32 = 6.3e-5;

/// What the level falls by in a frame after which nothing louder came: 15 dB a second. Whoever
/// speaks up to 30 dB more softly than the one before is heard within a second or two; between
/// words the gain hardly moves.
const LEVEL_DECAY: f32 = 0.972_7;

/// The noise under everything that is judged, 66 dB below full scale, as in a quiet room. Behind
/// perfect silence, which noise gates and pauses make, the judge would take any noise for speech,
/// for seconds.
const NOISE_FLOOR_LEVEL: f32 = 0.000_87;

/// How much of that noise there is before it comes again: no multiple of a frame.
const NOISE_SAMPLES: usize = 2_039;

static NOISE: [f32; NOISE_SAMPLES] = generate_noise();

/// Follows how loud one stream is, and brings its frames to one level.
#[derive(Clone, Debug)]
pub(super) struct AutomaticGain {
    /// The root mean square of the loudest frame of late.
    level: f32,
    /// Where the noise goes on.
    noise_position: usize,
}

impl AutomaticGain {
    pub(super) fn new() -> Self {
        Self {
            level: MIN_LEVEL,
            noise_position: 0,
        }
    }

    /// The frame as it would be if the loudest of late were at one level. What is no number is
    /// silence, and what lies beyond ±1, as loud speech does after lossy coding, is ±1.
    pub(super) fn apply(&mut self, frame: &[f32; FRAME_SAMPLES]) -> [f32; FRAME_SAMPLES] {
        let sane = frame.map(|sample| match sample.is_nan() {
            true => 0.0,
            false => sample.clamp(-1.0, 1.0),
        });
        let level = (energy(&sane) / FRAME_SAMPLES as f32).sqrt();
        self.level = (self.level * LEVEL_DECAY).max(level).max(MIN_LEVEL);
        let gain = TARGET_LEVEL / self.level;
        self.noise_position = (self.noise_position + FRAME_SAMPLES) % NOISE_SAMPLES;
        let (later, first) = NOISE.split_at(self.noise_position);
        let mut judged = sane;
        for (sample, noise) in judged.iter_mut().zip(first.iter().chain(later)) {
            *sample = (*sample * gain + noise).clamp(-1.0, 1.0);
        }
        judged
    }
}

/// The sum of the squares, in lanes that the compiler can take at once.
pub(super) fn energy(samples: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    let chunks = samples.chunks_exact(8);
    let rest: f32 = chunks
        .remainder()
        .iter()
        .map(|sample| sample * sample)
        .sum();
    for chunk in chunks {
        for (lane, sample) in lanes.iter_mut().zip(chunk) {
            *lane += sample * sample;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Noise that is always the same.
const fn generate_noise() -> [f32; NOISE_SAMPLES] {
    let mut noise = [0.0; NOISE_SAMPLES];
    let mut state: u32 = 1;
    let mut at = 0;
    while at < NOISE_SAMPLES {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The upper half is random enough.
        noise[at] = ((state >> 16) as f32 / 32_768.0 - 1.0) * NOISE_FLOOR_LEVEL;
        at += 1;
    }
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(frame: &[f32]) -> f32 {
        (energy(frame) / frame.len() as f32).sqrt()
    }

    #[test]
    fn loudest_frames_reach_the_target_level() {
        for loud in [1.0, 0.1, 0.001, 0.000_1] {
            let mut gain = AutomaticGain::new();
            let judged = gain.apply(&[loud; FRAME_SAMPLES]);
            assert!((level(&judged) / TARGET_LEVEL - 1.0).abs() < 0.05, "{loud}");
        }
        let mut gain = AutomaticGain::new();
        let silence = gain.apply(&[0.0; FRAME_SAMPLES]);
        assert!(level(&silence) < 0.001, "silence is never made loud");
    }

    #[test]
    fn level_decays_slowly_and_rises_at_once() {
        let mut gain = AutomaticGain::new();
        gain.apply(&[0.5; FRAME_SAMPLES]);
        let soft = |gain: &mut AutomaticGain| level(&gain.apply(&[0.01; FRAME_SAMPLES]));
        assert!(
            soft(&mut gain) < TARGET_LEVEL / 40.0,
            "the next word is as soft"
        );
        for _ in 0..150 {
            soft(&mut gain);
        }
        assert!(
            soft(&mut gain) > TARGET_LEVEL * 0.95,
            "after 2.4 s it is not"
        );
        let loud = level(&gain.apply(&[0.5; FRAME_SAMPLES]));
        assert!((loud / TARGET_LEVEL - 1.0).abs() < 0.05);
    }
}
