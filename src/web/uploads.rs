//! Recordings that a page uploads in pieces while it is still recording.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::ask_form::{AskError, ask_error_response};
use super::page::{PageState, refusal_response};
use crate::ui_text;
use audio::{AudioError, Recording, Spool};

/// The limit on a piece, in bytes. A page sends a tenth of a second at a time, or what has
/// accumulated.
pub(super) const MAX_CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// The running uploads by id. No more than there are slots for questions.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<String, UploadEntry>>);

struct UploadEntry {
    spool: Spool,
    completed_at: Arc<OnceLock<Instant>>,
}

/// A running upload. Dropping it cancels the upload.
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) recording: Recording,
    completed_at: Arc<OnceLock<Instant>>,
    uploads: Arc<Uploads>,
}

impl Uploads {
    /// Starts an upload of at most `limit` bytes.
    pub(super) fn begin(self: &Arc<Self>, limit: u64) -> Result<Upload, AudioError> {
        let spool = Spool::new(limit)?;
        let recording = spool.recording("recording");
        let completed_at = Arc::default();
        // Hashed with random keys, so that ids can't be guessed.
        let id = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
        let entry = UploadEntry {
            spool,
            completed_at: Arc::clone(&completed_at),
        };
        self.lock_entries().insert(id.clone(), entry);
        Ok(Upload {
            id,
            recording,
            completed_at,
            uploads: Arc::clone(self),
        })
    }

    /// Appends a piece that starts at byte `offset`. `None` if there is no such upload or the
    /// offset is wrong.
    fn append_chunk(
        &self,
        id: &str,
        offset: u64,
        piece: &[u8],
        is_last: bool,
    ) -> Option<Result<(), AudioError>> {
        let mut entries = self.lock_entries();
        let entry = entries.get_mut(id)?;
        if entry.spool.bytes_written() != offset {
            return None;
        }
        let result = entry.spool.write(piece);
        if result.is_ok() && !is_last {
            return Some(result);
        }
        // If a piece can't be stored, the upload ends there for its reader.
        let UploadEntry {
            spool,
            completed_at,
        } = entries.remove(id)?;
        Some(result.and_then(|()| {
            let _ = completed_at.set(Instant::now());
            spool.finish("recording").map(drop)
        }))
    }

    fn lock_entries(&self) -> MutexGuard<'_, HashMap<String, UploadEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Whether the upload has ended before the recording was complete.
    pub(super) fn is_incomplete(&self) -> bool {
        self.completed_at().is_none()
    }

    /// When the last piece arrived, if it has.
    pub(super) fn completed_at(&self) -> Option<Instant> {
        self.completed_at.get().copied()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.lock_entries().remove(&self.id);
    }
}

/// Receives a piece at an offset. The last one may be empty.
pub(super) async fn receive_chunk<const IS_LAST: bool>(
    State(page): State<PageState>,
    Path((id, offset)): Path<(String, u64)>,
    piece: Bytes,
) -> Response {
    match page.0.uploads.append_chunk(&id, offset, &piece, IS_LAST) {
        Some(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Some(Err(error)) => ask_error_response(&AskError::Recording(error)),
        None => refusal_response(StatusCode::NOT_FOUND, ui_text::web::CONNECTION_LOST),
    }
}
