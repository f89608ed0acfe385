//! Live uploads, as they went.

use std::time::Instant;

use serde_json::Value;

use super::super::activity_log::ActivityLog;

/// An upload of `/v1/transcribe/live`, as far as it has come.
#[derive(Clone, Debug)]
pub struct SyncLiveUpload {
    /// The `config` part; `Null` before it is there.
    pub config: Value,
    /// How many bytes of audio have come. The end of the form is among them.
    pub audio_bytes: u64,
    /// When it began.
    pub started_at: Instant,
    /// How it ended, if it has.
    pub end: Option<SyncLiveUploadEnd>,
}

/// How a live upload ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SyncLiveUploadEnd {
    /// All of it came.
    Complete,
    /// The client went away in the middle.
    ClientDisconnected,
    /// It was answered before all of it was there.
    Refused,
    /// Nothing came for too long.
    TimedOut,
}

/// All live uploads to one server.
pub(crate) type SyncLiveUploadLog = ActivityLog<SyncLiveUpload>;

impl SyncLiveUploadLog {
    /// The place of a new upload, or `None` if there are too many already.
    pub(super) fn start_upload(&self) -> Option<usize> {
        self.insert(SyncLiveUpload {
            config: Value::Null,
            audio_bytes: 0,
            started_at: Instant::now(),
            end: None,
        })
    }

    pub(super) fn add_received(
        &self,
        place: Option<usize>,
        config: Option<&[u8]>,
        audio_bytes: u64,
    ) {
        self.update(place, |upload| {
            if let Some(config) = config {
                upload.config = serde_json::from_slice(config).unwrap_or_default();
            }
            upload.audio_bytes = audio_bytes;
        });
    }

    pub(super) fn finish(&self, place: Option<usize>, end: SyncLiveUploadEnd) {
        self.update(place, |upload| upload.end = Some(end));
    }
}
