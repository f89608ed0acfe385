//! Live uploads, as they went.

use std::time::Instant;

use serde_json::Value;

use super::super::exchanges::Exchanges;

/// An upload of `/v1/transcribe/live`, as far as it has come.
#[derive(Clone, Debug)]
pub struct LiveUpload {
    /// The `config` part; `Null` before it is there.
    pub config: Value,
    /// How many bytes of audio have come. The end of the form is among them.
    pub audio_bytes: u64,
    /// When it began.
    pub began: Instant,
    /// How it ended, if it has.
    pub end: Option<UploadEnd>,
}

/// How a live upload ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadEnd {
    /// All of it came.
    Whole,
    /// The client went away in the middle.
    ClientLeft,
    /// It was answered before all of it was there.
    Refused,
    /// Nothing came for too long.
    Silent,
}

/// All live uploads to one server.
pub(crate) type Uploads = Exchanges<LiveUpload>;

impl Uploads {
    /// The place of a new upload, or `None` if there are too many already.
    pub(super) fn open(&self) -> Option<usize> {
        self.begin(LiveUpload {
            config: Value::Null,
            audio_bytes: 0,
            began: Instant::now(),
            end: None,
        })
    }

    pub(super) fn came(&self, place: Option<usize>, config: Option<&[u8]>, audio_bytes: u64) {
        self.change(place, |upload| {
            if let Some(config) = config {
                upload.config = serde_json::from_slice(config).unwrap_or_default();
            }
            upload.audio_bytes = audio_bytes;
        });
    }

    pub(super) fn end(&self, place: Option<usize>, end: UploadEnd) {
        self.change(place, |upload| upload.end = Some(end));
    }
}
