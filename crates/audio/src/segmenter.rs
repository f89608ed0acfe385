//! Cuts long audio at pauses into segments short enough for a recognizer.
//!
//! A pure state machine on samples, without a clock. Silence is left out, because recognizers
//! hallucinate words for it. Speech without a pause is split at its quietest point, and the two
//! segments overlap there, so that a word at the split is complete in one of them.

use super::speech_run::{SPEECH_THRESHOLD, SpeechRun};
use super::vad::{EarshotVad, FRAME_SAMPLES};

/// Limits of a segment, in samples at 16 kHz.
#[derive(Clone, Debug)]
pub struct SegmentLimits {
    /// Maximum length of a segment. Default: 28 s; recognizers accept up to 30 s.
    pub max_len: usize,
    /// Once a segment is this long, it ends at the next [`pause`](Self::pause). Default: 6 s: long
    /// enough for context, short enough for subtitles.
    pub target_len: usize,
    /// A pause this long ends any segment. Default: 0.9 s.
    pub long_pause: usize,
    /// A pause this long ends a segment of at least [`target_len`](Self::target_len). Default: 0.35
    /// s.
    pub pause: usize,
    /// After a pause this long the segment is available as [`Segmenter::pending`]. Default: 0.15 s,
    /// longer than the gaps between words spoken in one breath.
    pub short_pause: usize,
    /// Audio kept before the first and after the last speech. Default: 0.3 s.
    pub padding: usize,
    /// Overlap of two segments that were split without a pause. Default: 1 s.
    pub overlap: usize,
    /// How far back from [`max_len`](Self::max_len) the quietest point is searched for. Default: 8
    /// s.
    pub search_window: usize,
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self {
            max_len: 28 * 16_000,
            target_len: 6 * 16_000,
            long_pause: 14_400,
            pause: 5_600,
            short_pause: 2_400,
            padding: 4_800,
            overlap: 16_000,
            search_window: 8 * 16_000,
        }
    }
}

/// A segment of the audio that contains speech.
#[derive(Clone, PartialEq)]
pub struct AudioSegment {
    /// Position of its first sample in the whole stream, in samples at 16 kHz.
    pub start: u64,
    /// Mono samples at 16 kHz, with padding.
    pub samples: Vec<f32>,
    /// Number of samples up to the end of the last speech; the rest is padding.
    pub speech_len: usize,
    /// Whether it starts with the last samples of the previous segment, because speech was split
    /// without a pause.
    pub overlaps_previous: bool,
}

/// A segment that ends here unless speech continues.
pub struct PendingSegment<'a> {
    start: u64,
    samples: &'a [f32],
    speech_len: usize,
    overlaps_previous: bool,
}

impl PendingSegment<'_> {
    /// Start and speech length, in samples. Two segments with the same span contain the same
    /// speech, although their padding may differ in length.
    pub fn span(&self) -> (u64, usize) {
        (self.start, self.speech_len)
    }

    /// A copy of the segment with the padding received so far.
    pub fn to_segment(&self) -> AudioSegment {
        AudioSegment {
            start: self.start,
            samples: self.samples.to_vec(),
            speech_len: self.speech_len,
            overlaps_previous: self.overlaps_previous,
        }
    }
}

impl AudioSegment {
    /// Start and speech length, comparable with [`PendingSegment::span`].
    pub fn span(&self) -> (u64, usize) {
        (self.start, self.speech_len)
    }
}

impl std::fmt::Debug for AudioSegment {
    /// Prints only position and length: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioSegment({} + {})", self.start, self.samples.len())
    }
}

/// Within speech, frames with at least this probability continue it.
pub(super) const CONTINUE_THRESHOLD: f32 = 0.35;

/// Consecutive frames that start speech: 32 ms.
pub(super) const ONSET_FRAMES: usize = 2;

/// Cuts one stream into segments. `J` rates the frames; the default is [`EarshotVad`].
pub struct Segmenter<J = EarshotVad> {
    limits: SegmentLimits,
    vad: J,
    /// Samples from `start` on: the current segment, or the padding before a possible next one.
    buffer: Vec<f32>,
    start: u64,
    /// Number of samples in `buffer` that have been rated, in whole frames.
    scored: usize,
    state: SegmenterState,
    overlaps_previous: bool,
    /// The current run of consecutive frames that are likely speech.
    speech_run: SpeechRun,
    /// Whether the segment contains a run that is confirmed as speech. Segments without one are
    /// noise, for which a recognizer would hallucinate words.
    has_confirmed_speech: bool,
    ready: Vec<AudioSegment>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SegmenterState {
    /// No speech; the last `onset_frames` frames were likely speech.
    Quiet { onset_frames: usize },
    /// Speech; the last of it ended at index `speech_end` of the buffer.
    Speech { speech_end: usize },
}

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

impl Vad for EarshotVad {
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.speech_probability(frame)
    }

    fn is_fooled_by_steady_sounds(&self) -> bool {
        true
    }
}

impl Segmenter<EarshotVad> {
    /// A segmenter with the default detector.
    pub fn new(limits: SegmentLimits) -> Self {
        Self::with_vad(limits, EarshotVad::new())
    }
}

impl<J: Vad> Segmenter<J> {
    /// A segmenter with the given detector.
    pub fn with_vad(limits: SegmentLimits, vad: J) -> Self {
        Self {
            speech_run: SpeechRun::for_vad(&vad),
            limits,
            vad,
            buffer: Vec::new(),
            start: 0,
            scored: 0,
            state: SegmenterState::Quiet { onset_frames: 0 },
            overlaps_previous: false,
            has_confirmed_speech: false,
            ready: Vec::new(),
        }
    }

    /// Takes the next samples and returns the segments they complete.
    pub fn push(&mut self, samples: &[f32]) -> Vec<AudioSegment> {
        // Processed in small pieces, so that the buffer stays bounded whatever the caller's block
        // size.
        for part in samples.chunks(FRAME_SAMPLES) {
            self.buffer.extend_from_slice(part);
            while self.buffer.len() - self.scored >= FRAME_SAMPLES {
                self.score_frame();
            }
        }
        std::mem::take(&mut self.ready)
    }

    /// The segment that ends here if no more speech follows, with the padding received so far.
    /// `None` during speech and in the short gaps between words.
    pub fn pending(&self) -> Option<PendingSegment<'_>> {
        let SegmenterState::Speech { speech_end: last } = self.state else {
            return None;
        };
        let end = (last + self.limits.padding).min(self.scored);
        (self.has_confirmed_speech && self.scored >= last + self.limits.short_pause).then(|| {
            PendingSegment {
                start: self.start,
                samples: &self.buffer[..end],
                speech_len: last,
                overlaps_previous: self.overlaps_previous,
            }
        })
    }

    /// Ends the stream and returns the remaining segments.
    pub fn finish(mut self) -> Vec<AudioSegment> {
        let left = self.buffer.len() - self.scored;
        if left > 0 {
            // The last partial frame is padded with silence to be rated. That padding must not end
            // up in a segment, neither in the remaining one nor in one that this frame has
            // completed.
            let total = self.start + self.buffer.len() as u64;
            self.buffer.resize(self.scored + FRAME_SAMPLES, 0.0);
            self.score_frame();
            let real = |start: u64| usize::try_from(total.saturating_sub(start)).unwrap_or(0);
            for segment in &mut self.ready {
                segment.samples.truncate(real(segment.start));
                segment.speech_len = segment.speech_len.min(segment.samples.len());
            }
            self.buffer.truncate(real(self.start));
        }
        if let SegmenterState::Speech { speech_end: last } = self.state {
            let end = (last + self.limits.padding).min(self.buffer.len());
            self.emit_segment(end, last);
        }
        self.ready
    }

    fn score_frame(&mut self) {
        let mut frame = [0.0; FRAME_SAMPLES];
        frame.copy_from_slice(&self.buffer[self.scored..self.scored + FRAME_SAMPLES]);
        self.scored += FRAME_SAMPLES;
        let probability = self.vad.speech_probability(&frame);
        self.speech_run.push_frame(probability, &frame);
        self.has_confirmed_speech |= self.speech_run.is_speech();
        match self.state {
            SegmenterState::Quiet {
                onset_frames: onset,
            } => {
                let onset = if probability >= SPEECH_THRESHOLD {
                    onset + 1
                } else {
                    0
                };
                if onset >= ONSET_FRAMES {
                    self.state = SegmenterState::Speech {
                        speech_end: self.scored,
                    };
                } else {
                    self.state = SegmenterState::Quiet {
                        onset_frames: onset,
                    };
                    self.keep_last(self.limits.padding + ONSET_FRAMES * FRAME_SAMPLES);
                }
            }
            SegmenterState::Speech { speech_end: last } => {
                let last = if probability >= CONTINUE_THRESHOLD {
                    self.scored
                } else {
                    last
                };
                self.state = SegmenterState::Speech { speech_end: last };
                let pause = self.scored - last;
                let enough = last >= self.limits.target_len;
                if pause >= self.limits.long_pause || (enough && pause >= self.limits.pause) {
                    let end = (last + self.limits.padding).min(self.scored);
                    self.emit_segment(end, last);
                    self.state = SegmenterState::Quiet { onset_frames: 0 };
                    self.keep_last(self.limits.padding);
                } else if self.scored + FRAME_SAMPLES > self.limits.max_len {
                    self.split_at_quietest();
                }
            }
        }
    }

    /// Drops all but the last `keep` rated samples.
    fn keep_last(&mut self, keep: usize) {
        let drop = self.scored.saturating_sub(keep);
        self.drop_front(drop);
    }

    fn drop_front(&mut self, samples: usize) {
        self.buffer.drain(..samples);
        self.start += samples as u64;
        self.scored -= samples;
    }

    /// Removes the first `end` samples from the buffer and emits them as a segment if they contain
    /// speech, of which the last sample is at index `spoken`.
    fn emit_segment(&mut self, end: usize, spoken: usize) {
        let overlaps = std::mem::take(&mut self.overlaps_previous);
        if std::mem::take(&mut self.has_confirmed_speech) {
            self.ready.push(AudioSegment {
                start: self.start,
                samples: self.buffer[..end].to_vec(),
                speech_len: spoken.min(end),
                overlaps_previous: overlaps,
            });
        }
        self.drop_front(end.min(self.scored));
    }

    /// Splits ongoing speech at its quietest point near the end; the two parts overlap.
    fn split_at_quietest(&mut self) {
        let half = self.limits.overlap / 2;
        let latest = self.scored.saturating_sub(half).max(FRAME_SAMPLES);
        let earliest = latest
            .saturating_sub(self.limits.search_window)
            .max(latest / 2);
        let quietest = (earliest..latest)
            .step_by(FRAME_SAMPLES)
            .min_by(|a, b| self.window_energy(*a).total_cmp(&self.window_energy(*b)))
            .unwrap_or(latest);
        let place = quietest + FRAME_SAMPLES / 2;
        let end = (place + half).min(self.scored);
        let next = place.saturating_sub(half);
        if self.has_confirmed_speech {
            self.ready.push(AudioSegment {
                start: self.start,
                samples: self.buffer[..end].to_vec(),
                speech_len: end,
                overlaps_previous: self.overlaps_previous,
            });
            self.overlaps_previous = true;
        }
        self.drop_front(next);
        self.state = SegmenterState::Speech {
            speech_end: self.scored,
        };
    }

    fn window_energy(&self, at: usize) -> f32 {
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
    use crate::speech_run::MIN_RUN_FRAMES;

    /// Rates loud frames as speech.
    struct LoudnessVad;

    impl Vad for LoudnessVad {
        fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
            f32::from(u8::from(frame.iter().any(|sample| sample.abs() > 0.5)))
        }
    }

    fn cut(samples: &[f32], block: usize) -> Vec<AudioSegment> {
        let mut segmenter = Segmenter::with_vad(SegmentLimits::default(), LoudnessVad);
        let mut segments = Vec::new();
        for part in samples.chunks(block) {
            segments.extend(segmenter.push(part));
        }
        segments.extend(segmenter.finish());
        segments
    }

    /// A signal made of (seconds, loud) parts.
    fn test_signal(parts: &[(f32, bool)]) -> Vec<f32> {
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
        assert_eq!(cut(&test_signal(&[(60.0, false)]), 1_000), []);
        assert_eq!(cut(&[], 1), []);
    }

    #[test]
    fn a_click_is_no_speech() {
        assert_eq!(
            cut(
                &test_signal(&[(1.0, false), (0.05, true), (5.0, false)]),
                999
            ),
            []
        );
    }

    #[test]
    fn a_long_pause_separates_and_a_short_one_does_not() {
        let two = cut(&test_signal(&[(2.0, true), (1.5, false), (2.0, true)]), 999);
        assert_eq!(two.len(), 2);
        assert!(!two[1].overlaps_previous);
        let one = cut(&test_signal(&[(2.0, true), (0.5, false), (2.0, true)]), 999);
        assert_eq!(one.len(), 1);
        let enough = cut(&test_signal(&[(7.0, true), (0.5, false), (2.0, true)]), 999);
        assert_eq!(enough.len(), 2);
    }

    #[test]
    fn what_is_pending_is_what_comes_if_nobody_says_more() {
        let limits = SegmentLimits::default();
        let speech = test_signal(&[(0.5, false), (2.0, true)]);
        for (pause, more) in [(0.2, 0.0), (0.35, 0.0), (0.2, 1.0)] {
            let mut segmenter = Segmenter::with_vad(limits.clone(), LoudnessVad);
            assert!(segmenter.push(&speech).is_empty());
            assert!(segmenter.push(&test_signal(&[(0.1, false)])).is_empty());
            assert!(segmenter.pending().is_none(), "between words");
            assert!(
                segmenter
                    .push(&test_signal(&[(pause - 0.1, false)]))
                    .is_empty()
            );
            let pending = segmenter.pending().expect("a pause").to_segment();
            let mut came = segmenter.push(&test_signal(&[(more, false)]));
            assert!(more == 0.0 || segmenter.pending().is_none(), "it is over");
            came.extend(segmenter.finish());
            assert_eq!(came.len(), 1);
            assert_eq!(came[0].span(), pending.span());
            assert!(came[0].samples.starts_with(&pending.samples));
        }
        let mut segmenter = Segmenter::with_vad(limits, LoudnessVad);
        segmenter.push(&test_signal(&[(2.0, true), (0.4, false), (0.5, true)]));
        assert!(segmenter.pending().is_none(), "somebody goes on");
    }

    #[test]
    fn endless_speech_is_cut_with_an_overlap() {
        let segments = cut(&test_signal(&[(70.0, true)]), 5_000);
        assert!(segments.len() >= 3);
        for pair in segments.windows(2) {
            let end = pair[0].start + pair[0].samples.len() as u64;
            assert!(pair[1].overlaps_previous && pair[1].start < end);
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
        let samples = test_signal(&parts);
        for segment in cut(&samples, 1) {
            assert!(segment.start as usize + segment.samples.len() <= samples.len());
        }
    }

    #[test]
    fn the_cut_is_at_the_quietest_place() {
        let mut samples = test_signal(&[(40.0, true)]);
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
            let samples = test_signal(&parts);
            let segments = cut(&samples, block);
            let limits = SegmentLimits::default();
            let mut covered = 0;
            let mut heard = vec![false; samples.len()];
            for segment in &segments {
                let start = segment.start as usize;
                let end = start + segment.samples.len();
                prop_assert!(segment.samples.len() <= limits.max_len);
                prop_assert!(end <= samples.len());
                prop_assert_eq!(&samples[start..end], &segment.samples[..]);
                prop_assert!(segment.overlaps_previous || start >= covered);
                covered = end;
                heard[start..end].fill(true);
            }
            // A click shorter than a word does not count as speech.
            let longest_click = (MIN_RUN_FRAMES as usize + 1) * FRAME_SAMPLES;
            let mut run = 0;
            for (sample, heard) in samples.iter().zip(&heard) {
                run = if *sample > 0.5 { run + 1 } else { 0 };
                prop_assert!(*heard || run < longest_click);
            }
            prop_assert_eq!(segments, cut(&samples, samples.len()));
        }
    }
}
