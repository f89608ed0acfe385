//! Utterances that are uploaded while they are spoken, so that only the end of them is waited for.

use std::collections::HashMap;

use super::briefing::Briefing;
use crate::flow::admission::{Payer, Permit};
use crate::flow::consent::{Stamp, Stamped};
use crate::flow::paid::PaidTranscriber;
use crate::flow::paid_upload::PaidUpload;
use crate::store::Account;

/// Utterances that are uploaded at once as they come. Others are sent when they are whole.
const MAX_UPLOADS: usize = 16;

/// All uploads of a session. No more than there are speakers.
pub(super) struct Uploads {
    transcriber: PaidTranscriber,
    spoken: HashMap<u64, Spoken>,
}

/// An utterance that is being spoken.
struct Spoken {
    stamp: Stamp,
    /// None: it is sent when it is whole.
    upload: Option<PaidUpload>,
}

impl Uploads {
    /// None if nobody takes uploads.
    pub(super) fn new(transcriber: &PaidTranscriber) -> Option<Self> {
        transcriber.takes_uploads().then(|| Self {
            transcriber: transcriber.clone(),
            spoken: HashMap::new(),
        })
    }

    /// Whether what this person says now has just begun.
    pub(super) fn begins(&self, stamp: &Stamp) -> bool {
        let known = self.spoken.get(&stamp.person());
        !known.is_some_and(|spoken| spoken.stamp.is(stamp))
    }

    /// Whether there is room for another upload.
    pub(super) fn has_room(&mut self) -> bool {
        self.spoken.retain(|_, spoken| spoken.stamp.holds());
        let uploads = self.spoken.values().filter(|it| it.upload.is_some());
        uploads.count() < MAX_UPLOADS
    }

    /// Somebody begins to say something. With a permit it is uploaded, until they take it back, or
    /// somebody does whose name or words the provider is told along with it.
    pub(super) fn open(
        &mut self,
        stamp: &Stamp,
        permit: Option<Permit>,
        books: (Payer, Account),
        briefing: &Briefing,
    ) {
        let upload = permit.and_then(|permit| {
            let (hints, mut rests_on) = briefing.open();
            rests_on.add(stamp);
            self.transcriber.upload(permit, books, &hints, rests_on)
        });
        let stamp = stamp.clone();
        self.spoken.insert(stamp.person(), Spoken { stamp, upload });
    }

    /// More of what somebody says.
    pub(super) fn push(&mut self, samples: &Stamped<&[f32]>) {
        if let Some(spoken) = self.spoken.get_mut(&samples.stamp().person())
            && spoken.stamp.is(samples.stamp())
            && let Some(samples) = samples.look()
            && spoken.upload.as_ref().is_some_and(|it| !it.push(samples))
        {
            spoken.upload = None;
        }
    }

    /// An utterance of so many samples is over: its upload, if exactly these went there.
    pub(super) fn take(&mut self, stamp: &Stamp, samples: usize) -> Option<PaidUpload> {
        let spoken = self.spoken.remove(&stamp.person())?;
        let upload = spoken.upload.filter(|_| spoken.stamp.is(stamp))?;
        (upload.pushed() == samples as u64).then_some(upload)
    }

    /// What was being said was nothing, or is lost.
    pub(super) fn dismiss(&mut self, stamp: &Stamp) {
        self.spoken.remove(&stamp.person());
    }

    /// What people have taken back is gone.
    pub(super) fn close_withdrawn(&mut self) {
        self.spoken.retain(|_, spoken| spoken.stamp.holds());
    }

    /// Nobody is heard any more.
    pub(super) fn close_all(&mut self) {
        self.spoken.clear();
    }
}
