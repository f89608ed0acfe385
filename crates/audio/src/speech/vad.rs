//! Voice activity detection: the probability that a frame of 16 ms contains speech.

use crate::pcm::SAMPLE_RATE;

/// Samples per frame of a [`Vad`]: 16 ms at 16 kHz.
pub const FRAME_SAMPLES: usize = 256;

const _: () = assert!(FRAME_SAMPLES as u32 * 1_000 / SAMPLE_RATE == 16);

/// A voice activity detector.
pub trait Vad {
    /// The probability, 0.0..=1.0, that the frame contains speech.
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32;

    /// Whether the detector may mistake steady sounds, such as hum and chords, for speech, so that
    /// runs also need a check for changes in loudness and pitch. Default: no.
    fn is_fooled_by_steady_sounds(&self) -> bool {
        false
    }
}
