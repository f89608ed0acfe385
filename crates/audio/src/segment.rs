//! Long audio is cut at pauses into stretches that a recognizer can take.
//!
//! A pure state machine on samples: no clock. Silence is left out, so that nobody makes up words
//! for it. Where somebody talks on without a pause, the cut is made at the quietest place, and the
//! two stretches overlap there, so that a word on the cut is whole in one of them.

use super::speech_run::{SPEECH, SpeechRun};
use super::vad::{FRAME_SAMPLES, VoiceActivity};

/// The bounds of a stretch, in samples at 16 kHz.
#[derive(Clone, Debug)]
pub struct SegmentLimits {
    /// No stretch is longer. Default: 28 s; recognizers are made for up to 30.
    pub longest: usize,
    /// Once a stretch is this long, the next pause ends it. Default: 6 s: long enough for
    /// context, short enough for subtitles.
    pub enough: usize,
    /// A pause this long ends any stretch. Default: 0.9 s.
    pub long_pause: usize,
    /// A pause this long ends a stretch that is long enough. Default: 0.35 s.
    pub pause: usize,
    /// A pause this long may end a stretch, if nobody says more. Default: 0.15 s: longer than
    /// between words said in one breath.
    pub breath: usize,
    /// How much is kept before the first and after the last speech. Default: 0.3 s.
    pub margin: usize,
    /// How much two stretches share at a cut without a pause. Default: 1 s.
    pub overlap: usize,
    /// How far back from the longest length the quietest place is looked for. Default: 8 s.
    pub search: usize,
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self {
            longest: 28 * 16_000,
            enough: 6 * 16_000,
            long_pause: 14_400,
            pause: 5_600,
            breath: 2_400,
            margin: 4_800,
            overlap: 16_000,
            search: 8 * 16_000,
        }
    }
}

/// A stretch with speech in it.
#[derive(Clone, PartialEq)]
pub struct AudioSegment {
    /// Where it begins in the whole, in samples at 16 kHz.
    pub start: u64,
    /// Its samples.
    pub samples: Vec<f32>,
    /// How many of them are up to the end of its last speech; the others are the margin.
    pub spoken: usize,
    /// Whether it begins with the end of the stretch before it, cut in mid-speech.
    pub overlaps: bool,
}

/// A stretch that somebody may still go on with.
pub struct Pending<'a> {
    start: u64,
    samples: &'a [f32],
    spoken: usize,
    overlaps: bool,
}

impl Pending<'_> {
    /// Where it begins, and how long it is spoken in, in samples. The same stretch has the same
    /// speech in it; its margin may still grow.
    pub fn place(&self) -> (u64, usize) {
        (self.start, self.spoken)
    }

    /// The stretch as it is now.
    pub fn to_segment(&self) -> AudioSegment {
        AudioSegment {
            start: self.start,
            samples: self.samples.to_vec(),
            spoken: self.spoken,
            overlaps: self.overlaps,
        }
    }
}

impl AudioSegment {
    /// Which stretch it is, as [`Pending::place`] tells it.
    pub fn place(&self) -> (u64, usize) {
        (self.start, self.spoken)
    }
}

impl std::fmt::Debug for AudioSegment {
    /// Speech never reaches a log: only its place does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioSegment({} + {})", self.start, self.samples.len())
    }
}

/// A frame after speech is speech down to here.
pub(super) const STILL_SPEECH: f32 = 0.35;

/// This many frames in a row begin speech: 32 ms.
pub(super) const ONSET: usize = 2;

/// Cuts a stream. `J` judges frames; the real one is [`VoiceActivity`].
pub struct Segmenter<J = VoiceActivity> {
    limits: SegmentLimits,
    judge: J,
    /// Samples from `start` on: of a stretch, or the margin before one that may come.
    buffer: Vec<f32>,
    start: u64,
    /// Samples of `buffer` that have been judged: whole frames.
    judged: usize,
    state: State,
    overlaps: bool,
    /// The frames in a row that sound like speech now.
    run: SpeechRun,
    /// Whether the stretch has a run in it that is speech beyond doubt. Noise has none, and a
    /// recognizer would make up words for it.
    certain: bool,
    ready: Vec<AudioSegment>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nobody speaks; so many frames in a row sounded like speech.
    Quiet { onset: usize },
    /// Somebody speaks; the last speech ended at this place in the buffer.
    Speech { last: usize },
}

/// Says how likely a frame is speech.
pub trait Judge {
    /// The probability, 0.0..=1.0, that the frame holds speech.
    fn judge(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32;

    /// Whether sounds that stay the same, as hum and chords, may pass for speech with it, so that
    /// it has to be looked at apart whether anything moves. Default: no.
    fn is_fooled_by_steady_sounds(&self) -> bool {
        false
    }
}

impl Judge for VoiceActivity {
    fn judge(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.speech_probability(frame)
    }

    fn is_fooled_by_steady_sounds(&self) -> bool {
        true
    }
}

impl Segmenter<VoiceActivity> {
    /// A cutter with the real judge.
    pub fn new(limits: SegmentLimits) -> Self {
        Self::with_judge(limits, VoiceActivity::new())
    }
}

impl<J: Judge> Segmenter<J> {
    /// A cutter with a judge of the caller's.
    pub fn with_judge(limits: SegmentLimits, judge: J) -> Self {
        Self {
            run: SpeechRun::judged_by(&judge),
            limits,
            judge,
            buffer: Vec::new(),
            start: 0,
            judged: 0,
            state: State::Quiet { onset: 0 },
            overlaps: false,
            certain: false,
            ready: Vec::new(),
        }
    }

    /// Takes the next samples; gives the stretches that are complete.
    pub fn push(&mut self, samples: &[f32]) -> Vec<AudioSegment> {
        // Fed in small pieces, so that the buffer is bounded whatever the caller's blocks are.
        for part in samples.chunks(FRAME_SAMPLES) {
            self.buffer.extend_from_slice(part);
            while self.buffer.len() - self.judged >= FRAME_SAMPLES {
                self.step();
            }
        }
        std::mem::take(&mut self.ready)
    }

    /// The stretch that ends here if nobody says more, as far as its margin has come. None while
    /// somebody speaks, or makes a pause as there is between words.
    pub fn pending(&self) -> Option<Pending<'_>> {
        let State::Speech { last } = self.state else {
            return None;
        };
        let end = (last + self.limits.margin).min(self.judged);
        (self.certain && self.judged >= last + self.limits.breath).then(|| Pending {
            start: self.start,
            samples: &self.buffer[..end],
            spoken: last,
            overlaps: self.overlaps,
        })
    }

    /// The stream is over: gives what is left.
    pub fn finish(mut self) -> Vec<AudioSegment> {
        let left = self.buffer.len() - self.judged;
        if left > 0 {
            // The last frame is judged with silence behind it, which is not kept: not in what is left,
            // and not in a stretch that this very frame has ended.
            let total = self.start + self.buffer.len() as u64;
            self.buffer.resize(self.judged + FRAME_SAMPLES, 0.0);
            self.step();
            let real = |start: u64| usize::try_from(total.saturating_sub(start)).unwrap_or(0);
            for segment in &mut self.ready {
                segment.samples.truncate(real(segment.start));
                segment.spoken = segment.spoken.min(segment.samples.len());
            }
            self.buffer.truncate(real(self.start));
        }
        if let State::Speech { last } = self.state {
            let end = (last + self.limits.margin).min(self.buffer.len());
            self.emit(end, last);
        }
        self.ready
    }

    fn step(&mut self) {
        let mut frame = [0.0; FRAME_SAMPLES];
        frame.copy_from_slice(&self.buffer[self.judged..self.judged + FRAME_SAMPLES]);
        self.judged += FRAME_SAMPLES;
        let probability = self.judge.judge(&frame);
        self.run.hear(probability, &frame);
        self.certain |= self.run.is_speech();
        match self.state {
            State::Quiet { onset } => {
                let onset = if probability >= SPEECH { onset + 1 } else { 0 };
                if onset >= ONSET {
                    self.state = State::Speech { last: self.judged };
                } else {
                    self.state = State::Quiet { onset };
                    self.forget(self.limits.margin + ONSET * FRAME_SAMPLES);
                }
            }
            State::Speech { last } => {
                let last = if probability >= STILL_SPEECH {
                    self.judged
                } else {
                    last
                };
                self.state = State::Speech { last };
                let pause = self.judged - last;
                let enough = last >= self.limits.enough;
                if pause >= self.limits.long_pause || (enough && pause >= self.limits.pause) {
                    let end = (last + self.limits.margin).min(self.judged);
                    self.emit(end, last);
                    self.state = State::Quiet { onset: 0 };
                    self.forget(self.limits.margin);
                } else if self.judged + FRAME_SAMPLES > self.limits.longest {
                    self.cut();
                }
            }
        }
    }

    /// Drops all but the last `keep` judged samples.
    fn forget(&mut self, keep: usize) {
        let drop = self.judged.saturating_sub(keep);
        self.drop_front(drop);
    }

    fn drop_front(&mut self, samples: usize) {
        self.buffer.drain(..samples);
        self.start += samples as u64;
        self.judged -= samples;
    }

    /// Gives the first `end` samples of the buffer as a stretch, which is `spoken` in so far, if
    /// there is speech in them, and drops them.
    fn emit(&mut self, end: usize, spoken: usize) {
        let overlaps = std::mem::take(&mut self.overlaps);
        if std::mem::take(&mut self.certain) {
            self.ready.push(AudioSegment {
                start: self.start,
                samples: self.buffer[..end].to_vec(),
                spoken: spoken.min(end),
                overlaps,
            });
        }
        self.drop_front(end.min(self.judged));
    }

    /// Cuts in mid-speech, at the quietest place near the end; both sides keep the surroundings.
    fn cut(&mut self) {
        let half = self.limits.overlap / 2;
        let latest = self.judged.saturating_sub(half).max(FRAME_SAMPLES);
        let earliest = latest.saturating_sub(self.limits.search).max(latest / 2);
        let quietest = (earliest..latest)
            .step_by(FRAME_SAMPLES)
            .min_by(|a, b| self.loudness(*a).total_cmp(&self.loudness(*b)))
            .unwrap_or(latest);
        let place = quietest + FRAME_SAMPLES / 2;
        let end = (place + half).min(self.judged);
        let next = place.saturating_sub(half);
        if self.certain {
            self.ready.push(AudioSegment {
                start: self.start,
                samples: self.buffer[..end].to_vec(),
                spoken: end,
                overlaps: self.overlaps,
            });
            self.overlaps = true;
        }
        self.drop_front(next);
        self.state = State::Speech { last: self.judged };
    }

    fn loudness(&self, at: usize) -> f32 {
        let end = (at + FRAME_SAMPLES).min(self.buffer.len());
        self.buffer[at..end]
            .iter()
            .map(|sample| sample * sample)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::speech_run::LEAST_RUN;

    /// Takes loud for speech.
    struct Loud;

    impl Judge for Loud {
        fn judge(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
            f32::from(u8::from(frame.iter().any(|sample| sample.abs() > 0.5)))
        }
    }

    fn cut(samples: &[f32], block: usize) -> Vec<AudioSegment> {
        let mut segmenter = Segmenter::with_judge(SegmentLimits::default(), Loud);
        let mut segments = Vec::new();
        for part in samples.chunks(block) {
            segments.extend(segmenter.push(part));
        }
        segments.extend(segmenter.finish());
        segments
    }

    /// Stretches of (seconds, loud).
    fn audio(parts: &[(f32, bool)]) -> Vec<f32> {
        parts
            .iter()
            .flat_map(|(seconds, loud)| {
                let level = if *loud { 1.0 } else { 0.0 };
                std::iter::repeat_n(level, (seconds * 16_000.0) as usize)
            })
            .collect()
    }

    #[test]
    fn silence_gives_nothing() {
        assert_eq!(cut(&audio(&[(60.0, false)]), 1_000), []);
        assert_eq!(cut(&[], 1), []);
    }

    #[test]
    fn a_click_is_no_speech() {
        assert_eq!(
            cut(&audio(&[(1.0, false), (0.05, true), (5.0, false)]), 999),
            []
        );
    }

    #[test]
    fn a_long_pause_separates_and_a_short_one_does_not() {
        let two = cut(&audio(&[(2.0, true), (1.5, false), (2.0, true)]), 999);
        assert_eq!(two.len(), 2);
        assert!(!two[1].overlaps);
        let one = cut(&audio(&[(2.0, true), (0.5, false), (2.0, true)]), 999);
        assert_eq!(one.len(), 1);
        let enough = cut(&audio(&[(7.0, true), (0.5, false), (2.0, true)]), 999);
        assert_eq!(enough.len(), 2);
    }

    #[test]
    fn what_is_pending_is_what_comes_if_nobody_says_more() {
        let limits = SegmentLimits::default();
        let speech = audio(&[(0.5, false), (2.0, true)]);
        for (pause, more) in [(0.2, 0.0), (0.35, 0.0), (0.2, 1.0)] {
            let mut segmenter = Segmenter::with_judge(limits.clone(), Loud);
            assert!(segmenter.push(&speech).is_empty());
            assert!(segmenter.push(&audio(&[(0.1, false)])).is_empty());
            assert!(segmenter.pending().is_none(), "between words");
            assert!(segmenter.push(&audio(&[(pause - 0.1, false)])).is_empty());
            let pending = segmenter.pending().expect("a pause").to_segment();
            let mut came = segmenter.push(&audio(&[(more, false)]));
            assert!(more == 0.0 || segmenter.pending().is_none(), "it is over");
            came.extend(segmenter.finish());
            assert_eq!(came.len(), 1);
            assert_eq!(came[0].place(), pending.place());
            assert!(came[0].samples.starts_with(&pending.samples));
        }
        let mut segmenter = Segmenter::with_judge(limits, Loud);
        segmenter.push(&audio(&[(2.0, true), (0.4, false), (0.5, true)]));
        assert!(segmenter.pending().is_none(), "somebody goes on");
    }

    #[test]
    fn endless_speech_is_cut_with_an_overlap() {
        let segments = cut(&audio(&[(70.0, true)]), 5_000);
        assert!(segments.len() >= 3);
        for pair in segments.windows(2) {
            let end = pair[0].start + pair[0].samples.len() as u64;
            assert!(pair[1].overlaps && pair[1].start < end);
        }
    }

    #[test]
    fn a_stretch_that_the_last_frame_ends_has_no_more_samples_than_came() {
        let parts = [
            (5.795_264, false),
            (11.838_053, true),
            (6.183_846_5, true),
            (9.651_361, true),
        ];
        let samples = audio(&parts);
        for segment in cut(&samples, 1) {
            assert!(segment.start as usize + segment.samples.len() <= samples.len());
        }
    }

    #[test]
    fn the_cut_is_at_the_quietest_place() {
        let mut samples = audio(&[(40.0, true)]);
        let quiet = 24 * 16_000;
        samples[quiet..quiet + 400].fill(0.6);
        let segments = cut(&samples, 16_000);
        let middle = segments[1].start + 8_000;
        assert!(middle.abs_diff(quiet as u64) < 600, "{middle}");
    }

    proptest! {
        #[test]
        fn every_loud_sample_is_in_a_stretch(
            parts in prop::collection::vec((0.02_f32..12.0, any::<bool>()), 1..12),
            block in 1_usize..40_000,
        ) {
            let samples = audio(&parts);
            let segments = cut(&samples, block);
            let limits = SegmentLimits::default();
            let mut covered = 0;
            let mut heard = vec![false; samples.len()];
            for segment in &segments {
                let start = segment.start as usize;
                let end = start + segment.samples.len();
                prop_assert!(segment.samples.len() <= limits.longest);
                prop_assert!(end <= samples.len());
                prop_assert_eq!(&samples[start..end], &segment.samples[..]);
                prop_assert!(segment.overlaps || start >= covered);
                covered = end;
                heard[start..end].fill(true);
            }
            // A click shorter than a word is no speech.
            let longest_click = (LEAST_RUN as usize + 1) * FRAME_SAMPLES;
            let mut run = 0;
            for (sample, heard) in samples.iter().zip(&heard) {
                run = if *sample > 0.5 { run + 1 } else { 0 };
                prop_assert!(*heard || run < longest_click);
            }
            prop_assert_eq!(segments, cut(&samples, samples.len()));
        }
    }
}
