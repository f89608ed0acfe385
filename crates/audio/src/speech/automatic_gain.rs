//! Automatic gain in front of the voice activity detector.
//!
//! The detector depends on the level it was trained at: below about -45 dBFS it missed speech, and
//! above -15 dBFS it took hiss for speech. The gain applies only to what the detector sees; samples
//! that are kept, shown or sent are unchanged.

use super::vad::FRAME_SAMPLES;

/// Target RMS of the loudest frames: 20 dB below full scale. At this level the detector works best
/// down to a signal-to-noise ratio of 0 dB, and no steady noise passes for speech.
const TARGET_LEVEL: f32 = 0.1;

/// Lower bound of the tracked level: -84 dBFS. That is 20 dB below the quietest speech that
/// recognizers understand, and above the dither of 16-bit files.
const MIN_LEVEL: f32 = 6.3e-5;

/// Decay of the tracked level per frame: 15 dB per second. A speaker up to 30 dB softer than the
/// one before is detected within one to two seconds, while the gain hardly changes between words.
const LEVEL_DECAY: f32 = 0.972_7;

/// RMS of the noise added under every frame: 66 dB below full scale, as in a quiet room. After
/// digital silence, which noise gates and pauses produce, the detector would otherwise take any
/// noise for speech for seconds.
const NOISE_FLOOR_LEVEL: f32 = 0.000_87;

/// Period of the added noise; not a multiple of the frame length.
const NOISE_SAMPLES: usize = 2_039;

static NOISE: [f32; NOISE_SAMPLES] = generate_noise();

/// Tracks the level of one stream and normalizes its frames.
#[derive(Clone, Debug)]
pub(crate) struct AutomaticGain {
    /// RMS of the loudest recent frame.
    level: f32,
    /// Where the added noise continues.
    noise_position: usize,
}

impl AutomaticGain {
    pub(crate) fn new() -> Self {
        Self {
            level: MIN_LEVEL,
            noise_position: 0,
        }
    }

    /// Normalizes the frame to the target level and adds the noise floor. NaN becomes silence, and
    /// values beyond ±1, as loud speech has after lossy coding, are clipped.
    pub(crate) fn apply(&mut self, frame: &[f32; FRAME_SAMPLES]) -> [f32; FRAME_SAMPLES] {
        let clean = frame.map(|sample| match sample.is_nan() {
            true => 0.0,
            false => sample.clamp(-1.0, 1.0),
        });
        let level = (energy(&clean) / FRAME_SAMPLES as f32).sqrt();
        self.level = (self.level * LEVEL_DECAY).max(level).max(MIN_LEVEL);
        let gain = TARGET_LEVEL / self.level;
        self.noise_position = (self.noise_position + FRAME_SAMPLES) % NOISE_SAMPLES;
        let (later, first) = NOISE.split_at(self.noise_position);
        let mut normalized = clean;
        for (sample, noise) in normalized.iter_mut().zip(first.iter().chain(later)) {
            *sample = (*sample * gain + noise).clamp(-1.0, 1.0);
        }
        normalized
    }
}

/// Sum of squares, in lanes that the compiler can vectorize.
pub(crate) fn energy(samples: &[f32]) -> f32 {
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

/// Deterministic white noise.
const fn generate_noise() -> [f32; NOISE_SAMPLES] {
    let mut noise = [0.0; NOISE_SAMPLES];
    let mut state: u32 = 1;
    let mut at = 0;
    while at < NOISE_SAMPLES {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The upper 16 bits are random enough.
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
            let normalized = gain.apply(&[loud; FRAME_SAMPLES]);
            assert!(
                (level(&normalized) / TARGET_LEVEL - 1.0).abs() < 0.05,
                "{loud}"
            );
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
