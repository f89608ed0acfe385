//! Collects the speech of a recording while it is decoded.

use super::speech_times::SpeechTimes;
use crate::speech::earshot_vad::EarshotVad;
use crate::speech::speech_run::SpeechRun;
use crate::speech::vad::FRAME_SAMPLES;

/// Collects the time ranges that contain speech. Runs too short to be a word are left out.
pub(super) struct SpeechTracker {
    vad: EarshotVad,
    frame: [f32; FRAME_SAMPLES],
    filled: usize,
    speech_run: SpeechRun,
    /// Number of frames rated so far.
    scored_frames: u64,
    speech_times: SpeechTimes,
}

impl SpeechTracker {
    pub(super) fn new() -> Self {
        let vad = EarshotVad::new();
        Self {
            speech_run: SpeechRun::for_vad(&vad),
            vad,
            frame: [0.0; FRAME_SAMPLES],
            filled: 0,
            scored_frames: 0,
            speech_times: SpeechTimes::default(),
        }
    }

    pub(super) fn push_samples(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let take = (FRAME_SAMPLES - self.filled).min(samples.len());
            let (now, later) = samples.split_at(take);
            self.frame[self.filled..self.filled + take].copy_from_slice(now);
            self.filled += take;
            samples = later;
            if self.filled == FRAME_SAMPLES {
                self.filled = 0;
                self.score_frame();
            }
        }
    }

    /// Whether any speech was found so far.
    pub(super) fn has_speech(&self) -> bool {
        !self.speech_times.is_empty() || self.speech_run.is_speech()
    }

    fn score_frame(&mut self) {
        let probability = self.vad.speech_probability(&self.frame);
        if let Some(frames) = self.speech_run.push_frame(probability, &self.frame) {
            self.speech_times.add(self.scored_frames - frames, frames);
        }
        self.scored_frames += 1;
    }

    pub(super) fn finish(mut self) -> SpeechTimes {
        // Pad and rate the last partial frame: a word cut off at the end counts too.
        self.frame[self.filled..].fill(0.0);
        self.score_frame();
        let frames = self.speech_run.end_run();
        self.speech_times.add(self.scored_frames - frames, frames);
        self.speech_times
    }
}
