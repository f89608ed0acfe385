//! The default voice activity detector: the earshot model behind automatic gain.

use super::automatic_gain::AutomaticGain;
use super::vad::{FRAME_SAMPLES, Vad};

/// Rates the frames of one stream with the earshot model, after automatic gain. Each result also
/// depends on the frames before it.
pub struct EarshotVad {
    gain: AutomaticGain,
    detector: Box<earshot::Detector>,
}

impl EarshotVad {
    /// A detector for a new stream.
    pub fn new() -> Self {
        Self {
            gain: AutomaticGain::new(),
            detector: earshot::Detector::default_boxed(),
        }
    }

    /// The probability, 0.0..=1.0, that `frame` contains speech. Samples may be out of range or
    /// NaN.
    pub fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.detector.predict_f32(&self.gain.apply(frame))
    }
}

impl Vad for EarshotVad {
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.speech_probability(frame)
    }

    fn is_fooled_by_steady_sounds(&self) -> bool {
        true
    }
}

impl Default for EarshotVad {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for EarshotVad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EarshotVad")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_samples_are_rated() {
        for sample in [2.0, -1.000_1, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let probability = EarshotVad::new().speech_probability(&[sample; FRAME_SAMPLES]);
            assert!(
                (0.0..=1.0).contains(&probability),
                "{sample}: {probability}"
            );
        }
    }
}
