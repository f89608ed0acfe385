//! Runs queued jobs in worker tasks, and retries those that could not be delivered or saved.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::cancellation::StopSignal;
use super::{JobScheduler, report_queue_metrics};
use crate::flow::admission::Reservation;
use crate::flow::consent::ConsentGrants;
use crate::flow::job_runner::{RunOutcome, StopReason};
use crate::store::{JobId, JobState, StoreError};

/// Delay before a job whose result could not be delivered or saved is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(15);

/// How often a job is retried while the ledger can't be read. After that it waits for the next
/// start.
const MAX_LEDGER_RETRIES: u32 = 40;

impl JobScheduler {
    pub(super) async fn dispatch_loop(self: &Arc<Self>) {
        loop {
            while let Some((id, claimed)) = self.claim_next() {
                let scheduler = Arc::clone(self);
                self.tasks
                    .spawn(async move { scheduler.run_job(id, claimed).await });
            }
            let (expired, next) = self.take_expired();
            for id in expired {
                let scheduler = Arc::clone(self);
                self.tasks
                    .spawn(async move { scheduler.expire_job(id).await });
            }
            let next_deadline = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.queue_changed.notified() => {}
                () = next_deadline => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// The jobs whose reply deadline has passed, and the next deadline.
    fn take_expired(&self) -> (Vec<JobId>, Option<Instant>) {
        let now = Instant::now();
        let mut expired = Vec::new();
        let mut next: Option<Instant> = None;
        for (id, active) in &mut self.state().active_jobs {
            match active.reply_deadline {
                Some(at) if at <= now => {
                    active.reply_deadline = None;
                    expired.push(*id);
                }
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        (expired, next)
    }

    fn claim_next(&self) -> Option<(JobId, ClaimedJob)> {
        if self.shutdown.is_cancelled() {
            return None;
        }
        let mut state = self.state();
        let id = state.queue.start_next()?;
        report_queue_metrics(&state.queue);
        let active = state.active_jobs.get_mut(&id);
        let claimed = active.map(|active| ClaimedJob {
            is_new: active.is_new,
            reservation: active.reservation.take(),
            stop_signal: active.stop_signal.clone(),
            grants: active.grants.clone(),
        });
        Some((id, claimed.unwrap_or_default()))
    }

    async fn run_job(self: &Arc<Self>, id: JobId, mut claimed: ClaimedJob) {
        // Frees the job's slot however the run ends.
        let mut guard = RunningJobGuard {
            scheduler: self,
            id,
            awaits_retry: false,
        };
        let reservation = claimed.reservation.take();
        let run = self.runner.run(
            id,
            claimed.is_new,
            reservation.as_ref(),
            &claimed.grants,
            claimed.wait_for_stop(),
        );
        let run = match AssertUnwindSafe(run).catch_unwind().await {
            Ok(run) => run,
            Err(_) => self.handle_panic(id).await,
        };
        drop(reservation);
        let retry = match run {
            Ok(RunOutcome::Finished) => false,
            Ok(RunOutcome::RetryLater) => true,
            Err(StoreError::Damaged) => {
                self.fail_unreadable(id);
                false
            }
            Err(error) => {
                tracing::error!(
                    job = id.0,
                    error = &error as &dyn std::error::Error,
                    "the ledger fails"
                );
                true
            }
        };
        let stopped = claimed.stop_signal.is_stopped() || !claimed.grants.all_active();
        guard.awaits_retry = retry && !stopped && !self.shutdown.is_cancelled();
        if guard.awaits_retry {
            let scheduler = Arc::clone(self);
            let stop_signal = claimed.stop_signal.clone();
            self.tasks
                .spawn(async move { scheduler.retry_later(id, stop_signal).await });
        }
    }

    /// The job panicked: make sure the user still sees an outcome.
    async fn handle_panic(&self, id: JobId) -> Result<RunOutcome, StoreError> {
        tracing::error!(job = id.0, "a job panicked");
        let handling = AssertUnwindSafe(self.runner.handle_panic(id));
        match handling.catch_unwind().await {
            Ok(run) => run,
            Err(_) => Ok(RunOutcome::Finished),
        }
    }

    /// Queues the job again after a delay. Until then it can be stopped like any other.
    async fn retry_later(self: &Arc<Self>, id: JobId, stop_signal: StopSignal) {
        for _ in 0..MAX_LEDGER_RETRIES {
            tokio::select! {
                () = tokio::time::sleep(RETRY_DELAY) => {}
                reason = stop_signal.wait() => return self.end_before_retry(id, reason).await,
                () = self.shutdown.cancelled() => return,
            }
            let requeued = match self.runner.store.job(id).await {
                Ok(Some(job)) if job.state == JobState::Waiting => self.requeue(&job).await,
                Ok(_) => return self.give_up_retry(id),
                Err(error) => Err(error),
            };
            match requeued {
                Ok(true) => return,
                Ok(false) => return self.give_up_retry(id),
                Err(StoreError::Damaged) => {
                    self.give_up_retry(id);
                    return self.fail_unreadable(id);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(job = id.0, error, "the ledger fails");
                }
            }
        }
        tracing::error!(job = id.0, "job waits for the next start");
        self.give_up_retry(id);
    }

    /// The job was stopped just as it began to await its retry, and the caller left ending it to
    /// us.
    async fn end_before_retry(&self, id: JobId, reason: StopReason) {
        let Some(active) = self.state().active_jobs.remove(&id) else {
            return;
        };
        let ended = match reason {
            StopReason::Superseded | StopReason::ReplyExpiring => {
                self.runner.end_idle_job(id, false, reason).await
            }
            StopReason::Withdrawn | StopReason::ConsentWithdrawn | StopReason::ShuttingDown => {
                Ok(())
            }
        };
        active.finished.cancel();
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                job = id.0,
                error,
                "failed to tell the user that a job ended"
            );
        }
    }

    /// Drops a job that awaits a retry.
    fn give_up_retry(&self, id: JobId) {
        if let Some(active) = self.state().active_jobs.remove(&id) {
            active.finished.cancel();
        }
    }

    /// Fails a job whose stored data can't be read.
    pub(super) fn fail_unreadable(self: &Arc<Self>, id: JobId) {
        let scheduler = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = scheduler.runner.fail_unreadable(id).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(job = id.0, error, "job waits for the next start");
            }
        });
    }
}

/// What a worker needs to run a job, and what stops it.
#[derive(Default)]
struct ClaimedJob {
    is_new: bool,
    reservation: Option<Reservation>,
    stop_signal: StopSignal,
    grants: ConsentGrants,
}

impl ClaimedJob {
    async fn wait_for_stop(&self) -> StopReason {
        tokio::select! {
            biased;
            () = self.grants.any_withdrawn() => StopReason::ConsentWithdrawn,
            reason = self.stop_signal.wait() => reason,
        }
    }
}

/// Frees the job's slot when its run ends, however it ends.
struct RunningJobGuard<'a> {
    scheduler: &'a JobScheduler,
    id: JobId,
    /// The job will be retried.
    awaits_retry: bool,
}

impl Drop for RunningJobGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.scheduler.state();
        state.queue.finish(self.id);
        if self.awaits_retry {
            if let Some(active) = state.active_jobs.get_mut(&self.id) {
                active.awaits_retry = true;
                active.is_new = false;
            }
        } else if let Some(active) = state.active_jobs.remove(&self.id) {
            tracing::debug!(job = self.id.0, source = active.source, "job slot freed");
            active.finished.cancel();
        }
        report_queue_metrics(&state.queue);
        drop(state);
        self.scheduler.queue_changed.notify_one();
    }
}
