//! Metered uploads of clips that are still being recorded.
//!
//! The length of such a clip is unknown, so it is paid for in slices: the first is reserved before
//! the upload begins, each further one before any of it is sent. What was sent is recorded however
//! the upload ends.

use std::time::Duration;

use tokio::time::timeout;

use super::admission::{AllowedEngines, CallCost, Payer, Permit};
use super::consent::ConsentGrants;
use super::paid_providers::PaidTranscriber;
use crate::speech::{
    Hints, LiveUpload, SpeechError, Transcript, TranscriptionObserver, UploadMeter,
};
use crate::store::UsageAccount;

/// Length of the slice that is reserved at a time.
pub const UPLOAD_SLICE: Duration = Duration::from_secs(5);

/// The next slice is requested when less than this is left.
const RENEW_BELOW: Duration = Duration::from_secs(2);

/// How long a stopped upload may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A metered upload. Dropping it cancels the upload.
pub struct PaidUpload {
    upload: LiveUpload,
    grants: ConsentGrants,
}

impl PaidUpload {
    /// Like [`LiveUpload::push`].
    pub fn push(&self, samples: &[f32]) -> bool {
        self.upload.push(samples)
    }

    /// Like [`LiveUpload::pushed_samples`].
    pub fn pushed(&self) -> u64 {
        self.upload.pushed_samples()
    }

    /// Like [`LiveUpload::finish`], but returns nothing once consent is withdrawn.
    ///
    /// # Errors
    ///
    /// The errors of the upload.
    pub async fn finish(
        self,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        let transcript = self.upload.finish(observer);
        let transcript = self.grants.unless_withdrawn(transcript).await;
        transcript.unwrap_or(Err(SpeechError::UnsupportedClip))
    }
}

impl PaidTranscriber {
    /// Like [`Transcriber::start_upload`](crate::speech::Transcriber::start_upload), with a permit
    /// for the first [`UPLOAD_SLICE`]. A new permit is requested for each further slice. The upload
    /// is cancelled if one is refused, or if one of `grants` is withdrawn.
    #[must_use]
    pub fn upload(
        &self,
        permit: Permit,
        (payer, account): (Payer, UsageAccount),
        hints: &Hints,
        grants: ConsentGrants,
    ) -> Option<PaidUpload> {
        if permit.engines() == AllowedEngines::LocalOnly {
            return None;
        }
        let upload = self.client().start_upload(hints)?;
        let still_granted = grants.clone();
        upload.send_only_while(move || still_granted.all_active());
        let tasks = permit.task_tracker();
        let upload_permits = UploadPermits {
            permits: vec![permit],
            meter: upload.meter(),
        };
        tasks.spawn(meter_upload(
            upload_permits,
            (payer, account),
            grants.clone(),
        ));
        Some(PaidUpload { upload, grants })
    }

    /// Like [`Transcriber::supports_upload`](crate::speech::Transcriber::supports_upload).
    #[must_use]
    pub fn supports_upload(&self) -> bool {
        self.client().supports_upload()
    }
}

/// The permits of one upload, one per slice. On drop they learn what was sent.
struct UploadPermits {
    permits: Vec<Permit>,
    meter: UploadMeter,
}

impl UploadPermits {
    /// Allows the upload to send everything that is reserved.
    fn allow_reserved(&self) {
        let slices = u32::try_from(self.permits.len()).unwrap_or(u32::MAX);
        self.meter.allow_up_to(UPLOAD_SLICE * slices);
    }

    fn record_sent(&self) {
        let mut rest = self.meter.sent_audio();
        for permit in &self.permits {
            let part = rest.min(UPLOAD_SLICE);
            permit.set_uploaded(part);
            rest -= part;
        }
    }
}

impl Drop for UploadPermits {
    fn drop(&mut self) {
        self.record_sent();
    }
}

/// Requests and settles permits slice by slice until the upload ends.
async fn meter_upload(
    mut upload: UploadPermits,
    (payer, account): (Payer, UsageAccount),
    grants: ConsentGrants,
) {
    upload.allow_reserved();
    loop {
        let finished = tokio::select! {
            biased;
            () = grants.any_withdrawn() => {
                upload.meter.stop();
                true
            }
            () = upload.meter.wait_finished() => true,
            () = upload.meter.wait_budget_low(RENEW_BELOW) => false,
        };
        upload.record_sent();
        if finished {
            break;
        }
        let Some(last) = upload.permits.last() else {
            break;
        };
        match last
            .request_next(payer, account, CallCost::Speech(UPLOAD_SLICE))
            .await
        {
            Ok(Ok(next)) if next.engines() == AllowedEngines::All => {
                upload.permits.push(next);
                upload.allow_reserved();
                continue;
            }
            // Local engines transcribe the whole clip once it is complete.
            Ok(Ok(_)) => tracing::info!("upload stopped at a cap"),
            Ok(Err(decision)) => {
                tracing::info!(verdict = ?decision, "upload stopped by the usage rules");
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "usage check failed, stopping the upload"
            ),
        }
        upload.meter.stop();
        break;
    }
    let _ = timeout(STOP_TIMEOUT, upload.meter.wait_finished()).await;
    upload.record_sent();
    for permit in std::mem::take(&mut upload.permits) {
        permit.settle().await;
    }
}
