//! Feeds a recording to a recognizer or an upload while it is still being decoded or recorded.

use std::sync::Arc;
use std::time::Duration;

use super::admission::{Payer, Permit};
use super::consent::ConsentGrants;
use super::paid_providers::PaidTranscriber;
use super::paid_upload::PaidUpload;
use super::reply::Reply;
use crate::speech::upload::MAX_QUEUED_AUDIO;
use crate::speech::{Hints, StreamingRecognition};
use crate::store::UsageAccount;
use audio::{AnalysisObserver, duration_to_samples};

/// Receives a recording's samples as they are decoded.
pub(super) struct StreamingFeed {
    pub(super) reply: Arc<dyn Reply>,
    /// A local engine that already listens.
    pub(super) recognition: Option<Box<dyn StreamingRecognition>>,
    pub(super) upload: UploadState,
}

/// Upload of a recording that is still growing.
pub(super) enum UploadState {
    /// There is none, or it has ended.
    Inactive,
    /// Waits for the first speech: nothing is paid for silence.
    Pending(PendingUpload),
    /// In progress.
    Active(PaidUpload),
}

/// What is needed to start an upload, and the samples it starts with.
pub(super) struct PendingUpload {
    transcriber: PaidTranscriber,
    permit: Permit,
    payer_and_account: (Payer, UsageAccount),
    hints: Hints,
    samples: Vec<f32>,
}

impl PendingUpload {
    /// An upload to this transcriber, with a permit for the first
    /// [`UPLOAD_SLICE`](super::paid_upload::UPLOAD_SLICE).
    pub(super) fn new(
        transcriber: &PaidTranscriber,
        permit: Permit,
        payer_and_account: (Payer, UsageAccount),
        hints: &Hints,
    ) -> Self {
        Self {
            transcriber: transcriber.clone(),
            permit,
            payer_and_account,
            hints: hints.clone(),
            samples: Vec::new(),
        }
    }

    fn start(self) -> UploadState {
        // The recording comes from the user's own page: leaving it ends the upload, so no consent
        // needs watching.
        let grants = ConsentGrants::default();
        let upload =
            self.transcriber
                .upload(self.permit, self.payer_and_account, &self.hints, grants);
        match upload {
            Some(upload) if upload.push(&self.samples) => UploadState::Active(upload),
            _ => UploadState::Inactive,
        }
    }
}

impl UploadState {
    fn push_samples(&mut self, samples: &[f32]) {
        let is_active = match self {
            Self::Inactive => false,
            Self::Pending(pending) => {
                pending.samples.extend_from_slice(samples);
                pending.samples.len() as u64 <= duration_to_samples(MAX_QUEUED_AUDIO)
            }
            Self::Active(upload) => upload.push(samples),
        };
        if !is_active {
            *self = Self::Inactive;
        }
    }

    /// The upload, if it has started.
    pub(super) fn into_active(self) -> Option<PaidUpload> {
        match self {
            Self::Active(upload) => Some(upload),
            Self::Inactive | Self::Pending(_) => None,
        }
    }
}

impl AnalysisObserver for StreamingFeed {
    fn on_samples(&mut self, samples: &[f32]) {
        if let Some(recognition) = &mut self.recognition {
            recognition.push(samples);
        }
        self.upload.push_samples(samples);
    }

    fn on_speech_started(&mut self) {
        self.upload = match std::mem::replace(&mut self.upload, UploadState::Inactive) {
            UploadState::Pending(pending) => pending.start(),
            other => other,
        };
    }

    fn on_progress(&mut self, done: Duration) {
        self.reply.show_decode_progress(done);
    }

    fn on_restart(&mut self) {
        self.recognition = None;
        self.upload = UploadState::Inactive;
    }
}
