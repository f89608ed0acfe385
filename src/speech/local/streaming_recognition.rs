//! Recognizes a clip while it is being recorded. Segments are recognized as they end; at each pause
//! the open segment is recognized already, in case it turns out to be the last.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::clip_recognition::TranscriptBuilder;
use super::{EnginePool, PROVIDER_NAME, engine_error};
use crate::speech::{SpeechError, StreamingRecognition, Transcript, TranscriptionObserver};
use audio::{AudioSegment, SegmentLimits, Segmenter};

/// Segments waiting for the engine. Each lasts between a third of a second and 28 s.
const MAX_QUEUED_SEGMENTS: usize = 16;

/// The caller's end: splits the samples into segments and queues them.
pub(super) struct LocalStreamingRecognition {
    segmenter: Segmenter,
    /// Start and length of the segment that was last queued as pending.
    last_pending_position: (u64, usize),
    segments: mpsc::Sender<StreamedSegment>,
    /// Whether a segment was dropped because the queue was full, which makes the result useless.
    overrun: bool,
    task: AbortOnDropHandle<Result<Transcript, SpeechError>>,
}

enum StreamedSegment {
    /// The segment has ended.
    Complete(AudioSegment),
    /// The segment has ended unless more speech follows.
    Pending(AudioSegment),
}

impl LocalStreamingRecognition {
    pub(super) fn new(engines: EnginePool) -> Self {
        let (segments, coming) = mpsc::channel(MAX_QUEUED_SEGMENTS);
        Self {
            segmenter: Segmenter::new(SegmentLimits::default()),
            last_pending_position: (0, 0),
            segments,
            overrun: false,
            task: AbortOnDropHandle::new(tokio::spawn(recognize_segments(engines, coming))),
        }
    }
}

#[async_trait]
impl StreamingRecognition for LocalStreamingRecognition {
    fn push(&mut self, samples: &[f32]) {
        for stretch in self.segmenter.push(samples) {
            self.overrun |= self
                .segments
                .try_send(StreamedSegment::Complete(stretch))
                .is_err();
        }
        if let Some(pending) = self.segmenter.pending()
            && pending.span() != self.last_pending_position
        {
            self.last_pending_position = pending.span();
            // If the queue is full, the engine is busy enough without speculative work.
            let _ = self
                .segments
                .try_send(StreamedSegment::Pending(pending.to_segment()));
        }
    }

    async fn finish(
        self: Box<Self>,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        let Self {
            segmenter,
            segments,
            overrun,
            task,
            ..
        } = *self;
        if overrun {
            return Err(engine_error("it can't keep up with the speaker", false));
        }
        observer.on_start(PROVIDER_NAME);
        for segment in segmenter.finish() {
            // If the task has ended, its result below tells why.
            let _ = segments.send(StreamedSegment::Complete(segment)).await;
        }
        drop(segments);
        task.await
            .unwrap_or_else(|_| Err(engine_error("it failed on the recording", false)))
    }
}

/// The task: recognizes segments as they arrive, until the channel closes.
async fn recognize_segments(
    engines: EnginePool,
    mut coming: mpsc::Receiver<StreamedSegment>,
) -> Result<Transcript, SpeechError> {
    let mut written = TranscriptBuilder::default();
    // Position and text of the segment recognized during a pause.
    let mut known: Option<((u64, usize), String)> = None;
    let mut next = coming.recv().await;
    while let Some(stretch) = next.take() {
        match stretch {
            StreamedSegment::Complete(stretch) => {
                let text = match known.take().filter(|(place, _)| *place == stretch.span()) {
                    Some((_, text)) => text,
                    None => engines.recognize_samples(stretch.samples.clone()).await?,
                };
                written.add_segment(&stretch, &text);
                next = coming.recv().await;
            }
            StreamedSegment::Pending(stretch) => {
                let place = stretch.span();
                let mut recognizing = std::pin::pin!(engines.recognize_samples(stretch.samples));
                // If speech continues, the result is discarded; if not, it is the one needed.
                next = tokio::select! {
                    biased;
                    after = coming.recv() => match after {
                        Some(StreamedSegment::Complete(same)) if same.span() == place => {
                            known = Some((place, recognizing.await?));
                            Some(StreamedSegment::Complete(same))
                        }
                        other => other,
                    },
                    text = &mut recognizing => {
                        known = Some((place, text?));
                        coming.recv().await
                    }
                };
            }
        }
    }
    Ok(written.into_transcript())
}
