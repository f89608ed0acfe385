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

    /// The probability, 0.0..=1.0, that `frame` holds speech. Samples beyond ±1, as loud speech has
    /// after lossy coding, are judged as ±1, and what is no number as silence.
    pub fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        let judged = frame.map(|sample| match sample.is_nan() {
            true => 0.0,
            false => sample.clamp(-1.0, 1.0),
        });
        self.0.predict_f32(&judged)
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

/// A frame with at least this probability is speech.
pub(super) const SPEECH: f32 = 0.5;

/// Speech has at least one frame that is this likely to be some. Steady noise begins with some
/// 200 ms of up to 0.7; speech reached 0.8 in every sample tried, played down to a fiftieth.
const SURE: f32 = 0.8;

/// Speech shorter than this in a row is a click or a cough: 7 frames are 112 ms.
pub(super) const LEAST_RUN: u64 = 7;

/// A run of frames with speech in them, told from clicks and from the onset of noise.
#[derive(Debug, Default)]
pub(super) struct SpeechRun {
    frames: u64,
    surest: f32,
}

impl SpeechRun {
    /// Takes the next frame's probability. When a run ends with it, gives the frames it had, if
    /// it was speech.
    pub(super) fn hear(&mut self, probability: f32) -> Option<u64> {
        if probability >= SPEECH {
            self.frames += 1;
            self.surest = self.surest.max(probability);
            return None;
        }
        Some(self.end())
    }

    /// Whether the run so far is long and sure enough to be speech.
    pub(super) fn is_speech(&self) -> bool {
        self.frames >= LEAST_RUN && self.surest >= SURE
    }

    /// The frames the run has so far if it is speech, else none.
    pub(super) fn speech(&self) -> u64 {
        if self.is_speech() { self.frames } else { 0 }
    }

    /// Ends the run: the frames it had if it was speech, else none.
    pub(super) fn end(&mut self) -> u64 {
        let frames = self.speech();
        *self = Self::default();
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_decoder_gives_is_judged() {
        for sample in [2.0, -1.000_1, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let probability = VoiceActivity::new().speech_probability(&[sample; FRAME_SAMPLES]);
            assert!(
                (0.0..=1.0).contains(&probability),
                "{sample}: {probability}"
            );
        }
    }
}
