//! Accepts jobs, decides which one runs next, and runs them.
//!
//! [`JobScheduler`] owns the queue and the state of every unfinished job. A job enters in
//! `submission`, is run in `workers`, and may be stopped in `cancellation`.

mod cancellation;
mod handover;
mod submission;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::cancellation::StopSignal;
use super::admission::Reservation;
use super::consent::ConsentGrants;
use super::fair_queue::{FairQueue, QueueLimits};
use super::job_runner::{JobRunner, StopReason};
use super::poison_jobs;
use crate::store::{JobId, StoreError};

pub use cancellation::GuildOrChannel;
pub use handover::{CarriedOver, ReplyMessages};
pub use submission::{JobSubmission, SubmitError, SubmitOutcome};

/// How long follow-up work waits for an answer that is just being saved.
const ANSWER_SAVED_TIMEOUT: Duration = Duration::from_secs(5);

/// Waiting jobs read from the ledger per query at startup.
const RECOVERY_PAGE_SIZE: u32 = 500;

/// Accepts jobs and dispatches them to the [`JobRunner`].
pub struct JobScheduler {
    runner: JobRunner,
    state: Mutex<SchedulerState>,
    /// Serializes submissions, so that a duplicate is seen as one and the cooldown holds.
    submit_lock: tokio::sync::Mutex<()>,
    queue_changed: Notify,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

struct SchedulerState {
    queue: FairQueue,
    active_jobs: HashMap<JobId, ActiveJob>,
    last_request: HashMap<u64, Instant>,
    deleted_sources: VecDeque<u64>,
}

/// A job that waits, runs, or awaits a retry.
struct ActiveJob {
    source: u64,
    author: u64,
    guild: Option<u64>,
    channel: u64,
    /// Consent of everyone whose words are in the job.
    grants: ConsentGrants,
    /// This process has accepted it, and no attempt has started yet.
    is_new: bool,
    /// Usage reserved against the daily caps until the job starts.
    reservation: Option<Reservation>,
    stop_signal: StopSignal,
    /// The job will be retried: it is neither queued nor running.
    awaits_retry: bool,
    /// When the answer can no longer be posted.
    reply_deadline: Option<Instant>,
    /// Cancelled once the job no longer runs.
    finished: CancellationToken,
}

impl JobScheduler {
    /// A scheduler with an empty queue.
    #[must_use]
    pub fn new(runner: JobRunner, limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self {
            runner,
            state: Mutex::new(SchedulerState {
                queue: FairQueue::new(limits),
                active_jobs: HashMap::new(),
                last_request: HashMap::new(),
                deleted_sources: VecDeque::new(),
            }),
            submit_lock: tokio::sync::Mutex::new(()),
            queue_changed: Notify::new(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The runner that executes the jobs.
    #[must_use]
    pub fn runner(&self) -> &JobRunner {
        &self.runner
    }

    /// Queues the jobs that an earlier process left, then dispatches until
    /// [`JobScheduler::shut_down`]. Returns how many jobs were recovered.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn start(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut jobs = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .runner
                .store
                .waiting_jobs(after, RECOVERY_PAGE_SIZE)
                .await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(*last);
            for id in page {
                match self.runner.store.job(id).await {
                    Ok(Some(job)) => jobs.push(job),
                    Ok(None) => {}
                    // One damaged row must not block the others.
                    Err(StoreError::Damaged) => self.fail_unreadable(id),
                    Err(error) => return Err(error),
                }
            }
        }
        poison_jobs::sort_suspects_last(&mut jobs);
        let mut recovered = 0;
        for job in &jobs {
            recovered += usize::from(self.requeue(job).await?);
        }
        let scheduler = Arc::clone(self);
        self.tasks
            .spawn(async move { scheduler.dispatch_loop().await });
        Ok(recovered)
    }

    /// Waits, for a limited time, until the job no longer runs: a user may reply to an answer
    /// before it is saved.
    pub async fn wait_until_done(&self, id: JobId) {
        self.wait_until_finished(id, ANSWER_SAVED_TIMEOUT).await;
    }

    /// Waits, for a limited time, until no job of the channel (or of one author in it) runs: a job
    /// that finishes later would save its turn after the conversation was forgotten.
    pub async fn wait_until_channel_done(&self, channel: u64, only: Option<u64>) {
        let tokens: Vec<CancellationToken> = self
            .state()
            .active_jobs
            .values()
            .filter(|active| active.channel == channel)
            .filter(|active| only.is_none_or(|author| active.author == author))
            .map(|active| active.finished.clone())
            .collect();
        let all = async {
            for token in tokens {
                token.cancelled().await;
            }
        };
        let _ = tokio::time::timeout(ANSWER_SAVED_TIMEOUT, all).await;
    }

    async fn wait_until_finished(&self, id: JobId, patience: Duration) {
        let finished = self
            .state()
            .active_jobs
            .get(&id)
            .map(|active| active.finished.clone());
        if let Some(finished) = finished {
            let _ = tokio::time::timeout(patience, finished.cancelled()).await;
        }
    }

    /// Number of waiting and running jobs.
    #[must_use]
    pub fn job_counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.queue.waiting_count(), state.queue.running_count())
    }

    /// Stops dispatching, and gives running jobs `patience` to finish. After that they are stopped;
    /// the next process resumes them from the ledger.
    pub async fn shut_down(&self, patience: Duration) {
        self.shutdown.cancel();
        self.tasks.close();
        let stopped = tokio::time::timeout(patience, self.tasks.wait()).await;
        if stopped.is_err() {
            for active in self.state().active_jobs.values() {
                active.stop_signal.stop(StopReason::ShuttingDown);
            }
            // Let messages that are being sent right now complete.
            let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SchedulerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActiveJob {
    fn new(
        (source, author): (u64, u64),
        (guild, channel): (Option<u64>, u64),
        grants: ConsentGrants,
        reservation: Reservation,
    ) -> Self {
        Self {
            source,
            author,
            guild,
            channel,
            grants,
            is_new: false,
            reservation: Some(reservation),
            stop_signal: StopSignal::default(),
            awaits_retry: false,
            reply_deadline: None,
            finished: CancellationToken::new(),
        }
    }
}

fn report_queue_metrics(queue: &FairQueue) {
    let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
    gauge!("talkback_queue_waiting").set(count(queue.waiting_count()));
    gauge!("talkback_queue_running").set(count(queue.running_count()));
}
