//! Voice activity: how likely 16 ms of samples are speech.

use super::pcm::SAMPLE_RATE;

/// Samples in one frame that [`VoiceActivity`] judges: 16 ms at 16 kHz.
pub const FRAME_SAMPLES: usize = 256;

const _: () = assert!(FRAME_SAMPLES as u32 * 1_000 / SAMPLE_RATE == 16);

/// Judges frame after frame of one stream; each judgement leans on the frames before it.
pub struct VoiceActivity(Box<earshot::Detector>);

impl VoiceActivity {
    /// A judge that has heard nothing yet.
    pub fn new() -> Self {
        Self(earshot::Detector::default_boxed())
    }

    /// The probability, 0.0..=1.0, that `frame` holds speech.
    pub fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.0.predict_f32(frame)
    }
}

impl Default for VoiceActivity {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for VoiceActivity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VoiceActivity")
    }
}
