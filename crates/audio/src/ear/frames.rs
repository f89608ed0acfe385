//! The samples that are kept, in the frames in which they are judged, with their place.

use std::time::Duration;

use crate::pcm::samples_to_duration;
use crate::vad::FRAME_SAMPLES;

#[derive(Clone, Copy)]
struct Frame {
    probability: f32,
    /// How many of its samples never came.
    lost: u16,
}

/// Judged frames, and the beginning of the next one.
#[derive(Default)]
pub(super) struct Frames {
    /// The place of the first sample.
    start: u64,
    samples: Vec<f32>,
    judged: Vec<Frame>,
    /// How many samples of the next frame never came.
    lost: u16,
}

impl Frames {
    /// How many have been judged.
    pub(super) fn len(&self) -> usize {
        self.judged.len()
    }

    /// The place of the next sample.
    pub(super) fn place(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    /// The place of the first sample that is kept.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// When a frame begins.
    pub(super) fn time_of(&self, frame: usize) -> Duration {
        samples_to_duration(self.start + (frame * FRAME_SAMPLES) as u64)
    }

    /// How many samples the next frame still takes.
    pub(super) fn room(&self) -> usize {
        (self.len() + 1) * FRAME_SAMPLES - self.samples.len()
    }

    /// Samples of the next frame, at most to its end.
    pub(super) fn append(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    /// The same, all of them silent.
    pub(super) fn append_silence(&mut self, samples: usize) {
        self.samples.resize(self.samples.len() + samples, 0.0);
    }

    /// So many of those that were appended never came.
    pub(super) fn miss(&mut self, samples: usize) {
        let samples = u16::try_from(samples).unwrap_or(u16::MAX);
        self.lost = self.lost.saturating_add(samples);
    }

    /// The samples of the next frame.
    pub(super) fn next(&self) -> &[f32] {
        self.samples
            .get(self.len() * FRAME_SAMPLES..)
            .unwrap_or(&[])
    }

    /// The next frame, which is full, has been judged.
    pub(super) fn judge(&mut self, probability: f32) {
        self.judged.push(Frame {
            probability,
            lost: std::mem::take(&mut self.lost),
        });
    }

    /// The frames from `from` to before `to`, each with its judgement.
    pub(super) fn between(&self, from: usize, to: usize) -> impl Iterator<Item = (f32, &[f32])> {
        let frames = self.judged.get(from..to).unwrap_or(&[]);
        let samples = self.samples.get(from * FRAME_SAMPLES..).unwrap_or(&[]);
        frames
            .iter()
            .map(|frame| frame.probability)
            .zip(samples.chunks_exact(FRAME_SAMPLES))
    }

    /// The energy of so many frames from `from` on.
    pub(super) fn loudness(&self, from: usize, frames: usize) -> f32 {
        let end = ((from + frames) * FRAME_SAMPLES).min(self.samples.len());
        let part = self.samples.get(from * FRAME_SAMPLES..end).unwrap_or(&[]);
        part.iter().map(|sample| sample * sample).sum()
    }

    /// The judged samples from a place on, with that place: those before it are gone.
    pub(super) fn since(&self, place: u64) -> (u64, &[f32]) {
        let judged = self.len() * FRAME_SAMPLES;
        let from = usize::try_from(place.saturating_sub(self.start)).unwrap_or(judged);
        let from = from.min(judged);
        let samples = self.samples.get(from..judged).unwrap_or(&[]);
        (self.start + from as u64, samples)
    }

    /// Takes the first frames out: their samples, and how many of them never came.
    pub(super) fn take(&mut self, frames: usize) -> (Vec<f32>, u64) {
        let rest = self.samples.split_off(frames * FRAME_SAMPLES);
        let taken = std::mem::replace(&mut self.samples, rest);
        let lost = self.judged.drain(..frames).map(|frame| frame.lost);
        let lost = lost.map(u64::from).sum();
        self.start += taken.len() as u64;
        (taken, lost)
    }

    /// Keeps the last `keep` judged frames.
    pub(super) fn forget(&mut self, keep: usize) {
        self.drop_front(self.len().saturating_sub(keep));
    }

    /// Drops the first frames.
    pub(super) fn drop_front(&mut self, frames: usize) {
        self.samples.drain(..frames * FRAME_SAMPLES);
        self.judged.drain(..frames);
        self.start += (frames * FRAME_SAMPLES) as u64;
    }

    /// Keeps nothing, and goes on elsewhere.
    pub(super) fn go_on_at(&mut self, place: u64) {
        self.samples.clear();
        self.judged.clear();
        self.lost = 0;
        self.start = place;
    }

    /// The bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.samples.capacity() * size_of::<f32>() + self.judged.capacity() * size_of::<Frame>()
    }
}
