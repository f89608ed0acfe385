//! Listening to a recording while it is being made: stretches are recognized as they end, and the
//! one that somebody may have ended with is recognized in the pause behind it.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::work::Written;
use super::{Engines, NAME, engine_fault};
use crate::speech::{Ahead, Observer, SpeechError, Transcript};
use audio::{AudioSegment, SegmentLimits, Segmenter};

/// Stretches that wait for the engine. Each is a third of a second at least and 28 s at most.
const WAITING: usize = 16;

/// The near end: cuts what comes and hands it on.
pub(super) struct LocalAhead {
    segmenter: Segmenter,
    /// Which stretch was last thought to be the last.
    offered: (u64, usize),
    stretches: mpsc::Sender<Stretch>,
    /// Whether one found no place. Then nothing that comes of it is of use.
    overrun: bool,
    work: AbortOnDropHandle<Result<Transcript, SpeechError>>,
}

enum Stretch {
    /// It is over.
    Ended(AudioSegment),
    /// It is over if nobody says more.
    Pending(AudioSegment),
}

impl LocalAhead {
    pub(super) fn new(engines: Engines) -> Self {
        let (stretches, coming) = mpsc::channel(WAITING);
        Self {
            segmenter: Segmenter::new(SegmentLimits::default()),
            offered: (0, 0),
            stretches,
            overrun: false,
            work: AbortOnDropHandle::new(tokio::spawn(listen(engines, coming))),
        }
    }
}

#[async_trait]
impl Ahead for LocalAhead {
    fn push(&mut self, samples: &[f32]) {
        for stretch in self.segmenter.push(samples) {
            self.overrun |= self.stretches.try_send(Stretch::Ended(stretch)).is_err();
        }
        if let Some(pending) = self.segmenter.pending()
            && pending.place() != self.offered
        {
            self.offered = pending.place();
            // Whoever is behind has enough to do.
            let _ = self
                .stretches
                .try_send(Stretch::Pending(pending.to_segment()));
        }
    }

    async fn finish(self: Box<Self>, observer: &dyn Observer) -> Result<Transcript, SpeechError> {
        let Self {
            segmenter,
            stretches,
            overrun,
            work,
            ..
        } = *self;
        if overrun {
            return Err(engine_fault("it can't keep up with who speaks", false));
        }
        observer.started(NAME);
        for stretch in segmenter.finish() {
            // If nobody takes it any more, the work tells why.
            let _ = stretches.send(Stretch::Ended(stretch)).await;
        }
        drop(stretches);
        work.await
            .unwrap_or_else(|_| Err(engine_fault("it stumbled over the recording", false)))
    }
}

/// The far end: has stretches recognized as they come, until no more do.
async fn listen(
    engines: Engines,
    mut coming: mpsc::Receiver<Stretch>,
) -> Result<Transcript, SpeechError> {
    let mut written = Written::default();
    // What was recognized in a pause.
    let mut known: Option<((u64, usize), String)> = None;
    let mut next = coming.recv().await;
    while let Some(stretch) = next.take() {
        match stretch {
            Stretch::Ended(stretch) => {
                let text = match known.take().filter(|(place, _)| *place == stretch.place()) {
                    Some((_, text)) => text,
                    None => engines.recognize(stretch.samples.clone()).await?,
                };
                written.add(&stretch, &text);
                next = coming.recv().await;
            }
            Stretch::Pending(stretch) => {
                let place = stretch.place();
                let mut recognizing = std::pin::pin!(engines.recognize(stretch.samples));
                // If somebody goes on, it is for nothing; if not, it is what is waited for.
                next = tokio::select! {
                    biased;
                    after = coming.recv() => match after {
                        Some(Stretch::Ended(same)) if same.place() == place => {
                            known = Some((place, recognizing.await?));
                            Some(Stretch::Ended(same))
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
    Ok(written.transcript())
}
