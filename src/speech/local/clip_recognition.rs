//! Recognizes a clip with the model, one speech segment at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::moonshine::Moonshine;
use super::{PROVIDER_NAME, SpeechError, overlap_merge};
use crate::speech::{Segment, Transcript};
use audio::{
    AudioError, AudioLimits, AudioSegment, Clip, ClipReader, SegmentLimits, Segmenter,
    samples_to_duration,
};

/// Transcribes `clip`; `progress` is called with the end of each recognized segment.
pub(super) fn recognize_clip(
    engine: &mut Moonshine,
    clip: &Clip,
    limits: &AudioLimits,
    cancelled: &AtomicBool,
    progress: impl Fn(Duration),
) -> Result<Transcript, SpeechError> {
    let mut blocks = ClipReader::open(clip, limits)?;
    let mut segmenter = Segmenter::new(SegmentLimits::default());
    let mut written = TranscriptBuilder::default();
    let mut write = |stretch: &AudioSegment| -> Result<(), SpeechError> {
        let text = engine.recognize(&stretch.samples, cancelled)?;
        if cancelled.load(Ordering::Relaxed) {
            return Err(AudioError::Cancelled.into());
        }
        written.add_segment(stretch, &text);
        let end = stretch.start + stretch.samples.len() as u64;
        progress(samples_to_duration(end));
        Ok(())
    };
    while let Some(block) = blocks.next_block()? {
        for stretch in segmenter.push(block) {
            write(&stretch)?;
        }
    }
    for stretch in segmenter.finish() {
        write(&stretch)?;
    }
    Ok(written.into_transcript())
}

/// Builds a transcript from recognized segments.
#[derive(Default)]
pub(super) struct TranscriptBuilder {
    segments: Vec<RecognizedSegment>,
}

struct RecognizedSegment {
    start: Duration,
    end: Duration,
    text: String,
}

impl TranscriptBuilder {
    pub(super) fn add_segment(&mut self, stretch: &AudioSegment, text: &str) {
        let start = samples_to_duration(stretch.start);
        let end = samples_to_duration(stretch.start + stretch.samples.len() as u64);
        match self.segments.last_mut() {
            Some(last) if stretch.overlaps_previous => {
                last.text = overlap_merge::merge_overlap(&last.text, text);
                last.end = end;
            }
            _ if text.is_empty() => {}
            _ => self.segments.push(RecognizedSegment {
                start,
                end,
                text: text.to_owned(),
            }),
        }
    }

    pub(super) fn into_transcript(self) -> Transcript {
        let texts: Vec<&str> = self
            .segments
            .iter()
            .map(|stretch| stretch.text.as_str())
            .collect();
        Transcript {
            text: texts.join(" "),
            segments: self.segments.iter().flat_map(split_sentences).collect(),
            words: Vec::new(),
            language: Some("en".to_owned()),
            confidence: None,
            provider: PROVIDER_NAME,
        }
    }
}

/// Splits a segment's text into sentences. The model gives no times, so each sentence gets a share
/// of the segment's time by its number of letters.
fn split_sentences(stretch: &RecognizedSegment) -> Vec<Segment> {
    let mut sentences: Vec<String> = Vec::new();
    let mut open = false;
    for word in stretch.text.split_whitespace() {
        match sentences.last_mut() {
            Some(sentence) if open => {
                sentence.push(' ');
                sentence.push_str(word);
            }
            _ => sentences.push(word.to_owned()),
        }
        open = !word.ends_with(['.', '?', '!']);
    }
    let letters: usize = sentences.iter().map(String::len).sum();
    let length = stretch.end - stretch.start;
    let mut before = 0;
    sentences
        .into_iter()
        .map(|text| {
            let share = |letters_before: usize| {
                stretch.start + length.mul_f64(letters_before as f64 / letters.max(1) as f64)
            };
            let start = share(before);
            before += text.len();
            Segment {
                start,
                end: share(before),
                text,
                speaker: None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_share_the_time_of_their_segment() {
        let stretch = RecognizedSegment {
            start: Duration::from_secs(10),
            end: Duration::from_secs(20),
            text: "Yes. I think it is so.".to_owned(),
        };
        let segments = split_sentences(&stretch);
        assert_eq!(segments.len(), 2);
        assert_eq!(segments[0].text, "Yes.");
        assert_eq!(segments[0].start, Duration::from_secs(10));
        assert_eq!(segments[0].end, segments[1].start);
        assert_eq!(segments[1].end, Duration::from_secs(20));
    }
}
