//! Who may compute when.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::model::{Model, local};
use super::slot::{self, Job};
use crate::chat::ChatError;

/// The slots of a model. Each is a thread that starts when it is first needed and ends when the
/// model is dropped.
pub(super) struct Slots {
    /// One permit a slot; hands them out in order of asking.
    free: Arc<Semaphore>,
    /// The threads that wait for work; the one that worked last comes last.
    idle: Mutex<Vec<SyncSender<Job>>>,
}

/// The right to use a slot. Dropping it, from whatever thread, lets the next one in.
pub(super) struct Lease {
    slots: Arc<Slots>,
    thread: Option<SyncSender<Job>>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(parallel: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(parallel.min(Semaphore::MAX_PERMITS))),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Waits in line. Dropping the future gives the place up.
    pub(super) async fn lease(self: &Arc<Self>) -> Lease {
        let permit = Arc::clone(&self.free)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        Lease {
            slots: Arc::clone(self),
            thread: None,
            _permit: permit,
        }
    }

    /// Hands a job to a thread that has nothing to do, or to a new one. `job` makes it, with the
    /// lease given back to it.
    pub(super) fn start(
        model: &Arc<Model>,
        mut lease: Lease,
        job: impl FnOnce(Lease) -> Job,
    ) -> Result<(), ChatError> {
        let idle = lease
            .slots
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let thread = match idle {
            Some(thread) => thread,
            None => start_thread(model)?,
        };
        lease.thread = Some(thread.clone());
        thread
            .send(job(lease))
            .map_err(|_| local(&model.settings.model, "a thread ended unexpectedly", false))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A thread that panicked takes no more work.
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            self.slots
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread);
        }
    }
}

fn start_thread(model: &Arc<Model>) -> Result<SyncSender<Job>, ChatError> {
    let (sender, jobs) = sync_channel(1);
    let shared = Arc::clone(model);
    std::thread::Builder::new()
        .name("local-chat".to_owned())
        .spawn(move || slot::serve(&shared, &jobs))
        .map_err(|error| local(&model.settings.model, &format!("no thread: {error}"), false))?;
    Ok(sender)
}
