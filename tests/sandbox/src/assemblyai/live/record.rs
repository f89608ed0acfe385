//! Live uploads, as they went.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::watch;

/// The most uploads that are remembered.
const MAX_UPLOADS: usize = 1_000;

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
#[derive(Debug)]
pub(crate) struct Uploads {
    log: Mutex<Vec<LiveUpload>>,
    changes: watch::Sender<u64>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Uploads {
    fn log(&self) -> MutexGuard<'_, Vec<LiveUpload>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a new upload, or `None` if there are too many already.
    pub(super) fn open(&self) -> Option<usize> {
        let mut log = self.log();
        if log.len() == MAX_UPLOADS {
            return None;
        }
        log.push(LiveUpload {
            config: Value::Null,
            audio_bytes: 0,
            began: Instant::now(),
            end: None,
        });
        let place = log.len() - 1;
        drop(log);
        self.changes.send_modify(|count| *count += 1);
        Some(place)
    }

    fn change(&self, place: Option<usize>, change: impl FnOnce(&mut LiveUpload)) {
        let mut log = self.log();
        if let Some(upload) = place.and_then(|place| log.get_mut(place)) {
            change(upload);
        }
        drop(log);
        self.changes.send_modify(|count| *count += 1);
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

    pub(crate) fn all(&self) -> Vec<LiveUpload> {
        self.log().clone()
    }

    pub(crate) async fn wait_until(
        &self,
        enough: impl Fn(&[LiveUpload]) -> bool,
    ) -> Vec<LiveUpload> {
        let mut changes = self.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if enough(&self.log()) || changes.changed().await.is_err() {
                    break;
                }
            }
        };
        // Whoever waited in vain sees so in what is returned.
        let _ = tokio::time::timeout(crate::MAX_WAIT, wait).await;
        self.all()
    }
}
