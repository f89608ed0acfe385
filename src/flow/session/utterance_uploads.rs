//! Utterances that are uploaded while they are spoken, so that only the end of them is waited for.

use std::collections::HashMap;

use super::recognition_context::RecognitionContext;
use crate::flow::admission::{Payer, Permit};
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::flow::paid_providers::PaidTranscriber;
use crate::flow::paid_upload::PaidUpload;
use crate::store::UsageAccount;

/// Utterances that are uploaded at once as they come. Others are sent when they are whole.
const MAX_UPLOADS: usize = 16;

/// All uploads of a session. No more than there are speakers.
pub(super) struct UtteranceUploads {
    transcriber: PaidTranscriber,
    in_progress: HashMap<u64, UtteranceInProgress>,
}

/// An utterance that is being spoken.
struct UtteranceInProgress {
    grant: ConsentGrant,
    /// None: it is sent when it is whole.
    upload: Option<PaidUpload>,
}

impl UtteranceUploads {
    /// None if nobody takes uploads.
    pub(super) fn new(transcriber: &PaidTranscriber) -> Option<Self> {
        transcriber.supports_upload().then(|| Self {
            transcriber: transcriber.clone(),
            in_progress: HashMap::new(),
        })
    }

    /// Whether what this person says now has just begun.
    pub(super) fn is_new_utterance(&self, stamp: &ConsentGrant) -> bool {
        let known = self.in_progress.get(&stamp.person());
        !known.is_some_and(|spoken| spoken.grant.is_same_grant(stamp))
    }

    /// Whether there is room for another upload.
    pub(super) fn has_capacity(&mut self) -> bool {
        self.in_progress
            .retain(|_, spoken| spoken.grant.is_active());
        let uploads = self.in_progress.values().filter(|it| it.upload.is_some());
        uploads.count() < MAX_UPLOADS
    }

    /// Somebody begins to say something. With a permit it is uploaded, until they take it back, or
    /// somebody does whose name or words the provider is told along with it.
    pub(super) fn open(
        &mut self,
        stamp: &ConsentGrant,
        permit: Option<Permit>,
        books: (Payer, UsageAccount),
        briefing: &RecognitionContext,
    ) {
        let upload = permit.and_then(|permit| {
            let (hints, mut rests_on) = briefing.permitted_hints();
            rests_on.insert(stamp);
            self.transcriber.upload(permit, books, &hints, rests_on)
        });
        let stamp = stamp.clone();
        self.in_progress.insert(
            stamp.person(),
            UtteranceInProgress {
                grant: stamp,
                upload,
            },
        );
    }

    /// More of what somebody says.
    pub(super) fn push(&mut self, samples: &PersonalData<&[f32]>) {
        if let Some(spoken) = self.in_progress.get_mut(&samples.grant().person())
            && spoken.grant.is_same_grant(samples.grant())
            && let Some(samples) = samples.get()
            && spoken.upload.as_ref().is_some_and(|it| !it.push(samples))
        {
            spoken.upload = None;
        }
    }

    /// An utterance of so many samples is over: its upload, if exactly these went there.
    pub(super) fn take_complete_upload(
        &mut self,
        stamp: &ConsentGrant,
        samples: usize,
    ) -> Option<PaidUpload> {
        let spoken = self.in_progress.remove(&stamp.person())?;
        let upload = spoken
            .upload
            .filter(|_| spoken.grant.is_same_grant(stamp))?;
        (upload.pushed() == samples as u64).then_some(upload)
    }

    /// What was being said was nothing, or is lost.
    pub(super) fn dismiss_utterance(&mut self, stamp: &ConsentGrant) {
        self.in_progress.remove(&stamp.person());
    }

    /// What people have taken back is gone.
    pub(super) fn close_withdrawn(&mut self) {
        self.in_progress
            .retain(|_, spoken| spoken.grant.is_active());
    }

    /// Nobody is heard any more.
    pub(super) fn close_all(&mut self) {
        self.in_progress.clear();
    }
}
