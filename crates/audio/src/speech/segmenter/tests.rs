//! Segments of signals that are either loud or silent.

use proptest::prelude::*;

use super::*;
use crate::speech::speech_run::MIN_RUN_FRAMES;

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
fn the_pending_segment_equals_the_final_one() {
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
    assert!(segmenter.pending().is_none(), "speech continues");
}

#[test]
fn endless_speech_is_split_with_an_overlap() {
    let segments = cut(&test_signal(&[(70.0, true)]), 5_000);
    assert!(segments.len() >= 3);
    for pair in segments.windows(2) {
        let end = pair[0].start + pair[0].samples.len() as u64;
        assert!(pair[1].overlaps_previous && pair[1].start < end);
    }
}

#[test]
fn a_segment_ended_by_the_last_frame_is_not_padded() {
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
fn the_split_is_at_the_quietest_point() {
    let mut samples = test_signal(&[(40.0, true)]);
    let quiet = 24 * 16_000;
    samples[quiet..quiet + 400].fill(0.6);
    let segments = cut(&samples, 16_000);
    let middle = segments[1].start + 8_000;
    assert!(middle.abs_diff(quiet as u64) < 600, "{middle}");
}

proptest! {
    #[test]
    fn every_loud_sample_is_in_a_segment(
        parts in prop::collection::vec((0.02_f32..12.0, any::<bool>()), 1..12),
        block in 1_usize..40_000,
    ) {
        let samples = test_signal(&parts);
        let segments = cut(&samples, block);
        let limits = SegmentLimits::default();
        let mut covered = 0;
        let mut covered_samples = vec![false; samples.len()];
        for segment in &segments {
            let start = segment.start as usize;
            let end = start + segment.samples.len();
            prop_assert!(segment.samples.len() <= limits.max_len);
            prop_assert!(end <= samples.len());
            prop_assert_eq!(&samples[start..end], &segment.samples[..]);
            prop_assert!(segment.overlaps_previous || start >= covered);
            covered = end;
            covered_samples[start..end].fill(true);
        }
        // A click shorter than a word does not count as speech.
        let longest_click = (MIN_RUN_FRAMES as usize + 1) * FRAME_SAMPLES;
        let mut run = 0;
        for (sample, covered_samples) in samples.iter().zip(&covered_samples) {
            run = if *sample > 0.5 { run + 1 } else { 0 };
            prop_assert!(*covered_samples || run < longest_click);
        }
        prop_assert_eq!(segments, cut(&samples, samples.len()));
    }
}
