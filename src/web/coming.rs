//! Recordings that a page sends while they are being made, piece by piece.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::ask::{Unusable, refuse};
use super::page::{Page, refused};
use crate::words;
use audio::{AudioError, Recording, Spool};

/// The largest piece, in bytes: a page sends a tenth of a second at a time, or what has gathered.
pub(super) const LARGEST_PIECE: usize = 4 * 1024 * 1024;

/// What is on its way, by id. No more than there are questions at a time.
#[derive(Default)]
pub(super) struct Coming(Mutex<HashMap<String, Arriving>>);

struct Arriving {
    spool: Spool,
    whole: Arc<OnceLock<Instant>>,
}

/// A recording that is on its way. Dropping it ends the way.
pub(super) struct Begun {
    pub(super) id: String,
    pub(super) recording: Recording,
    whole: Arc<OnceLock<Instant>>,
    all: Arc<Coming>,
}

impl Coming {
    /// Something is about to come, of at most so many bytes.
    pub(super) fn begin(self: &Arc<Self>, limit: u64) -> Result<Begun, AudioError> {
        let spool = Spool::new(limit)?;
        let recording = spool.recording("recording");
        let whole = Arc::default();
        // Its keys are random, so that nobody guesses where another's words go.
        let id = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
        let arriving = Arriving {
            spool,
            whole: Arc::clone(&whole),
        };
        self.table().insert(id.clone(), arriving);
        Ok(Begun {
            id,
            recording,
            whole,
            all: Arc::clone(self),
        })
    }

    /// Takes a piece that has so many bytes before it. None: nothing of this id is on its way, or
    /// it goes on elsewhere.
    fn take(
        &self,
        id: &str,
        from: u64,
        piece: &[u8],
        is_last: bool,
    ) -> Option<Result<(), AudioError>> {
        let mut table = self.table();
        let arriving = table.get_mut(id)?;
        if arriving.spool.written() != from {
            return None;
        }
        let taken = arriving.spool.write(piece);
        if taken.is_ok() && !is_last {
            return Some(taken);
        }
        // What can't be kept has broken off for whoever listens to it.
        let Arriving { spool, whole } = table.remove(id)?;
        Some(taken.and_then(|()| {
            let _ = whole.set(Instant::now());
            spool.finish("recording").map(drop)
        }))
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arriving>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    /// Whether nothing more of it can come, though it is not whole.
    pub(super) fn has_broken_off(&self) -> bool {
        self.whole_since().is_none()
    }

    /// When the last of it came, if it has.
    pub(super) fn whole_since(&self) -> Option<Instant> {
        self.whole.get().copied()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.table().remove(&self.id);
    }
}

/// A piece, and how many bytes are before it. The last one may be empty.
pub(super) async fn piece<const IS_LAST: bool>(
    State(page): State<Page>,
    Path((id, from)): Path<(String, u64)>,
    piece: Bytes,
) -> Response {
    match page.0.coming.take(&id, from, &piece, IS_LAST) {
        Some(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Some(Err(error)) => refuse(&Unusable::Recording(error)),
        None => refused(StatusCode::NOT_FOUND, words::web::BROKE_OFF),
    }
}
