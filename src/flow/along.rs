//! What is done with a recording while it is still being decoded, or made.

use std::sync::Arc;
use std::time::Duration;

use super::admission::{Payer, Permit};
use super::consent::Stamps;
use super::paid::PaidTranscriber;
use super::paid_upload::PaidUpload;
use super::reply::Reply;
use crate::speech::upload::ROOM;
use crate::speech::{Ahead, Hints};
use crate::store::Account;
use audio::{Listener, duration_to_samples};

/// Hears a recording as it is decoded.
pub(super) struct Along {
    pub(super) reply: Arc<dyn Reply>,
    /// An engine of this machine that listens already.
    pub(super) ahead: Option<Box<dyn Ahead>>,
    pub(super) upload: Uploading,
}

/// An upload of a recording that is still being made.
pub(super) enum Uploading {
    /// There is none, or no more.
    No,
    /// It begins once there is speech: nobody is paid to listen to nothing.
    Held(Held),
    /// It has begun.
    Begun(PaidUpload),
}

/// What it takes to begin an upload, and what it begins with.
pub(super) struct Held {
    transcriber: PaidTranscriber,
    permit: Permit,
    books: (Payer, Account),
    hints: Hints,
    samples: Vec<f32>,
}

impl Held {
    /// An upload to this transcriber, with a permit for the first
    /// [`UPLOAD_SLICE`](super::paid_upload::UPLOAD_SLICE).
    pub(super) fn new(
        transcriber: &PaidTranscriber,
        permit: Permit,
        books: (Payer, Account),
        hints: &Hints,
    ) -> Self {
        Self {
            transcriber: transcriber.clone(),
            permit,
            books,
            hints: hints.clone(),
            samples: Vec::new(),
        }
    }

    fn begin(self) -> Uploading {
        // What somebody sends from their own page, they can end by going away.
        let rests_on = Stamps::default();
        let upload = self
            .transcriber
            .upload(self.permit, self.books, &self.hints, rests_on);
        match upload {
            Some(upload) if upload.push(&self.samples) => Uploading::Begun(upload),
            _ => Uploading::No,
        }
    }
}

impl Uploading {
    fn hear(&mut self, samples: &[f32]) {
        let goes_on = match self {
            Self::No => false,
            Self::Held(held) => {
                held.samples.extend_from_slice(samples);
                held.samples.len() as u64 <= duration_to_samples(ROOM)
            }
            Self::Begun(upload) => upload.push(samples),
        };
        if !goes_on {
            *self = Self::No;
        }
    }

    /// What has begun.
    pub(super) fn begun(self) -> Option<PaidUpload> {
        match self {
            Self::Begun(upload) => Some(upload),
            Self::No | Self::Held(_) => None,
        }
    }
}

impl Listener for Along {
    fn samples(&mut self, samples: &[f32]) {
        if let Some(ahead) = &mut self.ahead {
            ahead.push(samples);
        }
        self.upload.hear(samples);
    }

    fn speech_begins(&mut self) {
        self.upload = match std::mem::replace(&mut self.upload, Uploading::No) {
            Uploading::Held(held) => held.begin(),
            other => other,
        };
    }

    fn progressed(&mut self, done: Duration) {
        self.reply.decoded(done);
    }

    fn anew(&mut self) {
        self.ahead = None;
        self.upload = Uploading::No;
    }
}
