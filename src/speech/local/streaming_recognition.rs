//! Listening to a recording while it is being made: stretches are recognized as they end, and the
//! one that somebody may have ended with is recognized in the pause behind it.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::clip_recognition::TranscriptBuilder;
use super::{EnginePool, PROVIDER_NAME, engine_error};
use crate::speech::{SpeechError, StreamingRecognition, Transcript, TranscriptionObserver};
use audio::{AudioSegment, SegmentLimits, Segmenter};

/// Stretches that wait for the engine. Each is a third of a second at least and 28 s at most.
const MAX_QUEUED_SEGMENTS: usize = 16;

/// The near end: cuts what comes and hands it on.
pub(super) struct LocalStreamingRecognition {
    segmenter: Segmenter,
    /// Which stretch was last thought to be the last.
    last_pending_position: (u64, usize),
    segments: mpsc::Sender<StreamedSegment>,
    /// Whether one found no place. Then nothing that comes of it is of use.
    overrun: bool,
    task: AbortOnDropHandle<Result<Transcript, SpeechError>>,
}

enum StreamedSegment {
    /// It is over.
    Complete(AudioSegment),
    /// It is over if nobody says more.
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
            // Whoever is behind has enough to do.
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
            return Err(engine_error("it can't keep up with who speaks", false));
        }
        observer.on_start(PROVIDER_NAME);
        for segment in segmenter.finish() {
            // If nobody takes it any more, the work tells why.
            let _ = segments.send(StreamedSegment::Complete(segment)).await;
        }
        drop(segments);
        task.await
            .unwrap_or_else(|_| Err(engine_error("it stumbled over the recording", false)))
    }
}

/// The far end: has stretches recognized as they come, until no more do.
async fn recognize_segments(
    engines: EnginePool,
    mut coming: mpsc::Receiver<StreamedSegment>,
) -> Result<Transcript, SpeechError> {
    let mut written = TranscriptBuilder::default();
    // What was recognized in a pause.
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
                // If somebody goes on, it is for nothing; if not, it is what is waited for.
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
