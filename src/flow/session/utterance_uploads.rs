//! Uploads utterances during speech, so that only the last part remains to be sent at the end.

use std::collections::HashMap;

use super::recognition_context::RecognitionContext;
use crate::flow::admission::{Payer, Permit};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::paid_providers::PaidTranscriber;
use crate::flow::paid_upload::PaidUpload;
use crate::store::UsageAccount;

/// Uploads at once. Further utterances are sent when they are complete.
const MAX_UPLOADS: usize = 16;

/// The uploads of a session, at most one per speaker.
pub(super) struct UtteranceUploads {
    transcriber: PaidTranscriber,
    in_progress: HashMap<u64, UtteranceInProgress>,
}

/// An utterance in progress.
struct UtteranceInProgress {
    grant: ConsentGrant,
    /// `None`: the utterance is sent when it is complete.
    upload: Option<PaidUpload>,
}

impl UtteranceUploads {
    /// `None` if the transcriber does not support uploads.
    pub(super) fn new(transcriber: &PaidTranscriber) -> Option<Self> {
        transcriber.supports_upload().then(|| Self {
            transcriber: transcriber.clone(),
            in_progress: HashMap::new(),
        })
    }

    /// Whether this user has no utterance in progress under this grant.
    pub(super) fn is_new_utterance(&self, grant: &ConsentGrant) -> bool {
        let utterance = self.in_progress.get(&grant.user_id());
        !utterance.is_some_and(|utterance| utterance.grant.is_same_grant(grant))
    }

    /// Whether another upload may be started.
    pub(super) fn has_capacity(&mut self) -> bool {
        self.in_progress
            .retain(|_, utterance| utterance.grant.is_active());
        let uploads = self.in_progress.values().filter(|it| it.upload.is_some());
        uploads.count() < MAX_UPLOADS
    }

    /// Starts an utterance. With a permit it is uploaded, until its speaker withdraws consent, or
    /// anybody does whose name or lines were sent as hints.
    pub(super) fn open(
        &mut self,
        grant: &ConsentGrant,
        permit: Option<Permit>,
        billing: (Payer, UsageAccount),
        context: &RecognitionContext,
    ) {
        let upload = permit.and_then(|permit| {
            let (hints, mut grants) = context.permitted_hints();
            grants.insert(grant);
            self.transcriber.upload(permit, billing, &hints, grants)
        });
        let grant = grant.clone();
        self.in_progress
            .insert(grant.user_id(), UtteranceInProgress { grant, upload });
    }

    /// Adds samples to the user's upload.
    pub(super) fn push(&mut self, samples: &PersonalData<&[f32]>) {
        if let Some(utterance) = self.in_progress.get_mut(&samples.grant().user_id())
            && utterance.grant.is_same_grant(samples.grant())
            && let Some(samples) = samples.get()
            && utterance
                .upload
                .as_ref()
                .is_some_and(|it| !it.push(samples))
        {
            utterance.upload = None;
        }
    }

    /// Ends an utterance, and returns its upload if exactly this number of samples was sent.
    pub(super) fn take_complete_upload(
        &mut self,
        grant: &ConsentGrant,
        samples: usize,
    ) -> Option<PaidUpload> {
        let utterance = self.in_progress.remove(&grant.user_id())?;
        let upload = utterance
            .upload
            .filter(|_| utterance.grant.is_same_grant(grant))?;
        (upload.pushed() == samples as u64).then_some(upload)
    }

    /// Drops the current utterance: it was not speech, or is lost.
    pub(super) fn dismiss_utterance(&mut self, grant: &ConsentGrant) {
        self.in_progress.remove(&grant.user_id());
    }

    /// Drops the utterances of withdrawn grants.
    pub(super) fn close_withdrawn(&mut self) {
        self.in_progress
            .retain(|_, utterance| utterance.grant.is_active());
    }

    /// Drops all utterances in progress.
    pub(super) fn close_all(&mut self) {
        self.in_progress.clear();
    }
}
