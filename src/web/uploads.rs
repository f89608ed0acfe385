//! Recordings that a page sends while they are being made, piece by piece.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::ask::{AskError, ask_error_response};
use super::page::{PageState, refusal_response};
use crate::ui_text;
use audio::{AudioError, Recording, Spool};

/// The largest piece, in bytes: a page sends a tenth of a second at a time, or what has gathered.
pub(super) const MAX_CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// What is on its way, by id. No more than there are questions at a time.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<String, UploadEntry>>);

struct UploadEntry {
    spool: Spool,
    completed_at: Arc<OnceLock<Instant>>,
}

/// A recording that is on its way. Dropping it ends the way.
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) recording: Recording,
    completed_at: Arc<OnceLock<Instant>>,
    uploads: Arc<Uploads>,
}

impl Uploads {
    /// Something is about to come, of at most so many bytes.
    pub(super) fn begin(self: &Arc<Self>, limit: u64) -> Result<Upload, AudioError> {
        let spool = Spool::new(limit)?;
        let recording = spool.recording("recording");
        let whole = Arc::default();
        // Its keys are random, so that nobody guesses where another's words go.
        let id = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
        let arriving = UploadEntry {
            spool,
            completed_at: Arc::clone(&whole),
        };
        self.lock_entries().insert(id.clone(), arriving);
        Ok(Upload {
            id,
            recording,
            completed_at: whole,
            uploads: Arc::clone(self),
        })
    }

    /// Takes a piece that has so many bytes before it. None: nothing of this id is on its way, or
    /// it goes on elsewhere.
    fn append_chunk(
        &self,
        id: &str,
        from: u64,
        piece: &[u8],
        is_last: bool,
    ) -> Option<Result<(), AudioError>> {
        let mut table = self.lock_entries();
        let arriving = table.get_mut(id)?;
        if arriving.spool.bytes_written() != from {
            return None;
        }
        let taken = arriving.spool.write(piece);
        if taken.is_ok() && !is_last {
            return Some(taken);
        }
        // What can't be kept has broken off for whoever listens to it.
        let UploadEntry {
            spool,
            completed_at: whole,
        } = table.remove(id)?;
        Some(taken.and_then(|()| {
            let _ = whole.set(Instant::now());
            spool.finish("recording").map(drop)
        }))
    }

    fn lock_entries(&self) -> MutexGuard<'_, HashMap<String, UploadEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Whether nothing more of it can come, though it is not whole.
    pub(super) fn is_incomplete(&self) -> bool {
        self.completed_at().is_none()
    }

    /// When the last of it came, if it has.
    pub(super) fn completed_at(&self) -> Option<Instant> {
        self.completed_at.get().copied()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.lock_entries().remove(&self.id);
    }
}

/// A piece, and how many bytes are before it. The last one may be empty.
pub(super) async fn receive_chunk<const IS_LAST: bool>(
    State(page): State<PageState>,
    Path((id, from)): Path<(String, u64)>,
    piece: Bytes,
) -> Response {
    match page.0.uploads.append_chunk(&id, from, &piece, IS_LAST) {
        Some(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Some(Err(error)) => ask_error_response(&AskError::Recording(error)),
        None => refusal_response(StatusCode::NOT_FOUND, ui_text::web::CONNECTION_LOST),
    }
}
