//! Buffered samples, divided into frames for voice activity detection, with their position on the
//! timeline.

use std::time::Duration;

use crate::pcm::samples_to_duration;
use crate::speech::vad::FRAME_SAMPLES;

#[derive(Clone, Copy)]
struct VadFrame {
    probability: f32,
    /// Samples in the frame that were lost.
    lost_samples: u16,
}

/// Rated frames, and the start of the next one.
#[derive(Default)]
pub(super) struct VadFrames {
    /// Position of the first sample.
    start_position: u64,
    samples: Vec<f32>,
    scored: Vec<VadFrame>,
    /// Samples in the next frame that were lost.
    pending_lost_samples: u16,
}

impl VadFrames {
    /// Number of rated frames.
    pub(super) fn len(&self) -> usize {
        self.scored.len()
    }

    /// Position of the next sample.
    pub(super) fn next_position(&self) -> u64 {
        self.start_position + self.samples.len() as u64
    }

    /// Position of the first buffered sample.
    pub(super) fn start_position(&self) -> u64 {
        self.start_position
    }

    /// Start time of a frame.
    pub(super) fn frame_time(&self, frame: usize) -> Duration {
        samples_to_duration(self.start_position + (frame * FRAME_SAMPLES) as u64)
    }

    /// Samples missing to complete the next frame.
    pub(super) fn remaining_samples(&self) -> usize {
        (self.len() + 1) * FRAME_SAMPLES - self.samples.len()
    }

    /// Appends samples to the next frame, at most to its end.
    pub(super) fn push_samples(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    /// Appends silence to the next frame, at most to its end.
    pub(super) fn push_silence(&mut self, samples: usize) {
        self.samples.resize(self.samples.len() + samples, 0.0);
    }

    /// Marks `samples` appended samples as lost.
    pub(super) fn mark_lost(&mut self, samples: usize) {
        let samples = u16::try_from(samples).unwrap_or(u16::MAX);
        self.pending_lost_samples = self.pending_lost_samples.saturating_add(samples);
    }

    /// The samples of the next frame.
    pub(super) fn next_frame(&self) -> &[f32] {
        self.samples
            .get(self.len() * FRAME_SAMPLES..)
            .unwrap_or(&[])
    }

    /// Stores the probability of the next frame, which must be complete.
    pub(super) fn push_probability(&mut self, probability: f32) {
        self.scored.push(VadFrame {
            probability,
            lost_samples: std::mem::take(&mut self.pending_lost_samples),
        });
    }

    /// The frames from `from` up to but excluding `to`, each with its probability.
    pub(super) fn frames_between(
        &self,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = (f32, &[f32])> {
        let frames = self.scored.get(from..to).unwrap_or(&[]);
        let samples = self.samples.get(from * FRAME_SAMPLES..).unwrap_or(&[]);
        frames
            .iter()
            .map(|frame| frame.probability)
            .zip(samples.chunks_exact(FRAME_SAMPLES))
    }

    /// Energy of `frames` frames from `from` on.
    pub(super) fn window_energy(&self, from: usize, frames: usize) -> f32 {
        let end = ((from + frames) * FRAME_SAMPLES).min(self.samples.len());
        let part = self.samples.get(from * FRAME_SAMPLES..end).unwrap_or(&[]);
        part.iter().map(|sample| sample * sample).sum()
    }

    /// The rated samples from `position` on, and the position of the first one, which is
    /// later if earlier ones have been dropped.
    pub(super) fn samples_since(&self, position: u64) -> (u64, &[f32]) {
        let rated = self.len() * FRAME_SAMPLES;
        let from = usize::try_from(position.saturating_sub(self.start_position)).unwrap_or(rated);
        let from = from.min(rated);
        let samples = self.samples.get(from..rated).unwrap_or(&[]);
        (self.start_position + from as u64, samples)
    }

    /// Removes the first frames; returns their samples and how many of those were lost.
    pub(super) fn take_front(&mut self, frames: usize) -> (Vec<f32>, u64) {
        let rest = self.samples.split_off(frames * FRAME_SAMPLES);
        let taken = std::mem::replace(&mut self.samples, rest);
        let lost = self.scored.drain(..frames).map(|frame| frame.lost_samples);
        let lost = lost.map(u64::from).sum();
        self.start_position += taken.len() as u64;
        (taken, lost)
    }

    /// Drops all but the last `keep` rated frames.
    pub(super) fn keep_last(&mut self, keep: usize) {
        self.drop_front(self.len().saturating_sub(keep));
    }

    /// Drops the first frames.
    pub(super) fn drop_front(&mut self, frames: usize) {
        self.samples.drain(..frames * FRAME_SAMPLES);
        self.scored.drain(..frames);
        self.start_position += (frames * FRAME_SAMPLES) as u64;
    }

    /// Drops everything and continues at another position.
    pub(super) fn restart_at(&mut self, position: u64) {
        self.samples.clear();
        self.scored.clear();
        self.pending_lost_samples = 0;
        self.start_position = position;
    }

    /// Heap memory in bytes.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<f32>() + self.scored.capacity() * size_of::<VadFrame>()
    }
}
