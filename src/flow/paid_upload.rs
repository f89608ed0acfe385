//! Clips that are uploaded while they are recorded, and what they cost.
//!
//! Nobody knows yet how long such a clip will be, so it is paid for slice by slice: the first is
//! reserved before the upload begins, the next before anything of it is sent. What was sent is
//! booked, whatever becomes of the upload.

use std::time::Duration;

use tokio::time::timeout;

use super::admission::{Cost, Engines, Payer, Permit};
use super::consent::Stamps;
use super::paid::PaidTranscriber;
use crate::speech::{Hints, LiveUpload, Observer, SpeechError, Transcript, UploadMeter};
use crate::store::Account;

/// How much of an upload is reserved at a time.
pub const UPLOAD_SLICE: Duration = Duration::from_secs(5);

/// With less than this left, the next slice is asked for.
const LAST_OF_SLICE: Duration = Duration::from_secs(2);

/// How long an upload that has been stopped may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// An upload that somebody pays for. Dropping it ends it in the middle.
pub struct PaidUpload {
    upload: LiveUpload,
    rests_on: Stamps,
}

impl PaidUpload {
    /// As [`LiveUpload::push`].
    pub fn push(&self, samples: &[f32]) -> bool {
        self.upload.push(samples)
    }

    /// As [`LiveUpload::pushed`].
    pub fn pushed(&self) -> u64 {
        self.upload.pushed()
    }

    /// As [`LiveUpload::finish`]. Nothing comes of what somebody has taken back.
    ///
    /// # Errors
    ///
    /// Those of the upload.
    pub async fn finish(self, observer: &dyn Observer) -> Result<Transcript, SpeechError> {
        let words = self.upload.finish(observer);
        let words = self.rests_on.unless_withdrawn(words).await;
        words.unwrap_or(Err(SpeechError::Unsuitable))
    }
}

impl PaidTranscriber {
    /// As [`Transcriber::upload`](crate::speech::Transcriber::upload), with a permit for the first
    /// [`UPLOAD_SLICE`]. For each further one it is asked again, and the upload ends in the middle
    /// where the answer is no, and when somebody takes back what `rests_on` them.
    #[must_use]
    pub fn upload(
        &self,
        permit: Permit,
        (payer, account): (Payer, Account),
        hints: &Hints,
        rests_on: Stamps,
    ) -> Option<PaidUpload> {
        if permit.engines() == Engines::Local {
            return None;
        }
        let upload = self.client().upload(hints)?;
        let holds = rests_on.clone();
        upload.only_while(move || holds.hold());
        let tasks = permit.tasks();
        let books = Books {
            permits: vec![permit],
            meter: upload.meter(),
        };
        tasks.spawn(metered(books, (payer, account), rests_on.clone()));
        Some(PaidUpload { upload, rests_on })
    }

    /// As [`Transcriber::takes_uploads`](crate::speech::Transcriber::takes_uploads).
    #[must_use]
    pub fn takes_uploads(&self) -> bool {
        self.client().takes_uploads()
    }
}

/// The permits of one upload, each for a slice. However it ends, they know what was sent.
struct Books {
    permits: Vec<Permit>,
    meter: UploadMeter,
}

impl Books {
    /// All that is reserved may be sent.
    fn allow(&self) {
        let slices = u32::try_from(self.permits.len()).unwrap_or(u32::MAX);
        self.meter.allow(UPLOAD_SLICE * slices);
    }

    fn note(&self) {
        let mut rest = self.meter.sent();
        for permit in &self.permits {
            let part = rest.min(UPLOAD_SLICE);
            permit.uploaded(part);
            rest -= part;
        }
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        self.note();
    }
}

/// Pays for an upload slice by slice, to its end.
async fn metered(mut books: Books, (payer, account): (Payer, Account), rests_on: Stamps) {
    books.allow();
    loop {
        let over = tokio::select! {
            biased;
            () = rests_on.any_withdrawn() => {
                books.meter.stop();
                true
            }
            () = books.meter.over() => true,
            () = books.meter.wants_more(LAST_OF_SLICE) => false,
        };
        books.note();
        if over {
            break;
        }
        let Some(last) = books.permits.last() else {
            break;
        };
        match last
            .another(payer, account, Cost::Speech(UPLOAD_SLICE))
            .await
        {
            Ok(Ok(next)) if next.engines() == Engines::All => {
                books.permits.push(next);
                books.allow();
                continue;
            }
            // The engines of this machine listen to what is whole.
            Ok(Ok(_)) => tracing::info!("an upload is stopped at a cap"),
            Ok(Err(verdict)) => tracing::info!(?verdict, "an upload is stopped"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "an upload can't be judged, and is stopped"
            ),
        }
        books.meter.stop();
        break;
    }
    let _ = timeout(STOPPED_WITHIN, books.meter.over()).await;
    books.note();
    for permit in std::mem::take(&mut books.permits) {
        permit.settle().await;
    }
}
