//! Cuts long audio at pauses into segments short enough for a recognizer.
//!
//! A pure state machine on samples, without a clock. Silence is left out, because recognizers
//! hallucinate words for it. Speech without a pause is split at its quietest point, and the two
//! segments overlap there, so that a word at the split is complete in one of them.

use super::earshot_vad::EarshotVad;
use super::speech_run::{CONTINUE_THRESHOLD, ONSET_FRAMES, SPEECH_THRESHOLD, SpeechRun};
use super::vad::{FRAME_SAMPLES, Vad};

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

/// Cuts one stream into segments. `V` rates the frames; the default is [`EarshotVad`].
pub struct Segmenter<V = EarshotVad> {
    limits: SegmentLimits,
    vad: V,
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

impl Segmenter<EarshotVad> {
    /// A segmenter with the default detector.
    pub fn new(limits: SegmentLimits) -> Self {
        Self::with_vad(limits, EarshotVad::new())
    }
}

impl<V: Vad> Segmenter<V> {
    /// A segmenter with the given detector.
    pub fn with_vad(limits: SegmentLimits, vad: V) -> Self {
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
        let SegmenterState::Speech { speech_end } = self.state else {
            return None;
        };
        let end = (speech_end + self.limits.padding).min(self.scored);
        (self.has_confirmed_speech && self.scored >= speech_end + self.limits.short_pause).then(
            || PendingSegment {
                start: self.start,
                samples: &self.buffer[..end],
                speech_len: speech_end,
                overlaps_previous: self.overlaps_previous,
            },
        )
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
        if let SegmenterState::Speech { speech_end } = self.state {
            let end = (speech_end + self.limits.padding).min(self.buffer.len());
            self.emit_segment(end, speech_end);
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
            SegmenterState::Quiet { onset_frames } => {
                let onset_frames = if probability >= SPEECH_THRESHOLD {
                    onset_frames + 1
                } else {
                    0
                };
                if onset_frames >= ONSET_FRAMES {
                    self.state = SegmenterState::Speech {
                        speech_end: self.scored,
                    };
                } else {
                    self.state = SegmenterState::Quiet { onset_frames };
                    self.keep_last(self.limits.padding + ONSET_FRAMES * FRAME_SAMPLES);
                }
            }
            SegmenterState::Speech { speech_end } => {
                let speech_end = if probability >= CONTINUE_THRESHOLD {
                    self.scored
                } else {
                    speech_end
                };
                self.state = SegmenterState::Speech { speech_end };
                let pause = self.scored - speech_end;
                let enough = speech_end >= self.limits.target_len;
                if pause >= self.limits.long_pause || (enough && pause >= self.limits.pause) {
                    let end = (speech_end + self.limits.padding).min(self.scored);
                    self.emit_segment(end, speech_end);
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
mod tests;
