//! The pool of inference slots: limits how many answers are generated at the same time.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::inference_slot::{self, AnswerJob};
use super::model::{LoadedModel, local_error};
use crate::chat::ChatError;

/// How long dropping a model waits for its threads. They end within a few tokens, unless an answer
/// is kept without being read.
const MAX_WAIT_FOR_THREADS: Duration = Duration::from_secs(5);

/// The slots of a model. Each is a thread that starts when it is first needed and ends when the
/// model is dropped.
pub(super) struct SlotPool {
    /// One permit per slot, granted in order of arrival.
    permits: Arc<Semaphore>,
    /// Idle threads, the most recently used last. `None` once the pool is shut down.
    idle: Mutex<Option<Vec<SyncSender<AnswerJob>>>>,
    thread_count: Arc<ThreadCount>,
}

/// Counts the running threads.
#[derive(Default)]
struct ThreadCount {
    threads: Mutex<usize>,
    ended: Condvar,
}

/// Counts one thread while it exists.
struct ThreadGuard(Arc<ThreadCount>);

impl ThreadGuard {
    fn new(alive: &Arc<ThreadCount>) -> Self {
        *alive.threads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(Arc::clone(alive))
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        *self
            .0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_all();
    }
}

/// The right to use a slot. Dropping it, on any thread, admits the next caller.
pub(super) struct SlotLease {
    slots: Arc<SlotPool>,
    thread: Option<SyncSender<AnswerJob>>,
    _permit: OwnedSemaphorePermit,
}

impl SlotPool {
    pub(super) fn new(parallel: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(parallel.min(Semaphore::MAX_PERMITS))),
            idle: Mutex::new(Some(Vec::new())),
            thread_count: Arc::default(),
        }
    }

    /// Ends the threads and waits for them. If the process exited while one of them computes, the
    /// backend would be freed under it and it would crash.
    pub(super) fn join_threads(&self) {
        drop(
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let threads = self
            .thread_count
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.thread_count
                .ended
                .wait_timeout_while(threads, MAX_WAIT_FOR_THREADS, |threads| *threads > 0);
        if let Ok((threads, timeout)) = waited
            && timeout.timed_out()
        {
            tracing::warn!(threads = *threads, "local answers are still being made");
        }
    }

    /// Waits for a slot, in order of arrival. Dropping the future leaves the queue.
    pub(super) async fn acquire(self: &Arc<Self>) -> SlotLease {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        SlotLease {
            slots: Arc::clone(self),
            thread: None,
            _permit: permit,
        }
    }

    /// Gives a job to an idle thread, or to a new one. `job` builds it from the lease.
    pub(super) fn submit(
        model: &Arc<LoadedModel>,
        mut lease: SlotLease,
        job: impl FnOnce(SlotLease) -> AnswerJob,
    ) -> Result<(), ChatError> {
        let idle = lease
            .slots
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .and_then(Vec::pop);
        let thread = match idle {
            Some(thread) => thread,
            None => start_thread(model, ThreadGuard::new(&lease.slots.thread_count))?,
        };
        lease.thread = Some(thread.clone());
        thread
            .send(job(lease))
            .map_err(|_| local_error(&model.settings.model, "a thread ended unexpectedly", false))
    }
}

impl Drop for SlotLease {
    fn drop(&mut self) {
        // A thread that panicked takes no more work.
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            let mut idle = self
                .slots
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(idle) = idle.as_mut() {
                idle.push(thread);
            }
        }
    }
}

fn start_thread(
    model: &Arc<LoadedModel>,
    counted: ThreadGuard,
) -> Result<SyncSender<AnswerJob>, ChatError> {
    let (sender, jobs) = sync_channel(1);
    let shared = Arc::clone(model);
    std::thread::Builder::new()
        .name("local-chat".to_owned())
        .spawn(move || {
            // Dropped last, when the thread no longer holds anything of the model.
            let _counted = counted;
            let model = shared;
            inference_slot::run_slot(&model, &jobs);
        })
        .map_err(|error| {
            local_error(&model.settings.model, &format!("no thread: {error}"), false)
        })?;
    Ok(sender)
}
