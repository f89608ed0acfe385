//! Stops jobs: deleted messages, withdrawn consent, superseded questions, expired replies.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::{JobScheduler, report_queue_metrics};
use crate::flow::job_runner::StopReason;
use crate::store::{JobId, JobState, StoreError};

/// Deleted messages to remember: the deletion event can arrive before the message is accepted.
const MAX_DELETED_SOURCES: usize = 1_024;

/// A place that answers are sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GuildOrChannel {
    /// A guild.
    Guild(u64),
    /// A channel or thread.
    Channel(u64),
}

impl JobScheduler {
    /// The source message or interaction was deleted: stops its job and deletes everything stored
    /// about it. Returns the messages that showed the answer, and their channel.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn withdraw(&self, source: u64) -> Result<Option<(u64, Vec<u64>)>, StoreError> {
        {
            let mut state = self.state();
            if state.deleted_sources.len() >= MAX_DELETED_SOURCES {
                state.deleted_sources.pop_front();
            }
            state.deleted_sources.push_back(source);
        }
        let store = &self.runner.store;
        let Some(job) = store.job_by_source(source).await? else {
            // Delete what may be left of a job that is already forgotten.
            store.forget_source(source).await?;
            return Ok(None);
        };
        self.stop_job(job.id, StopReason::Withdrawn).await;
        let posts = store.forget_source(source).await?;
        tracing::info!(job = job.id.0, source, "withdrawn");
        Ok(Some((job.details.channel, posts)))
    }

    /// The message that shows an answer was deleted: while the job still runs, this cancels it. A
    /// finished answer needs no action.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn on_reply_deleted(&self, message: u64) -> Result<(), StoreError> {
        let store = &self.runner.store;
        let Some(id) = store.waiting_job_by_first_message(message).await? else {
            return Ok(());
        };
        self.stop_job(id, StopReason::Withdrawn).await;
        let now = (self.runner.clock)();
        store.finish_job(id, JobState::Cancelled, &[], now).await?;
        tracing::info!(job = id.0, message, "the reply was deleted");
        Ok(())
    }

    /// The author has asked something else since: stops the job. The part of the answer that is
    /// already shown stays, marked as superseded.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn supersede(&self, source: u64) -> Result<(), StoreError> {
        let running = {
            let state = self.state();
            let found = state
                .active_jobs
                .iter()
                .find(|(_, active)| active.source == source);
            found.map(|(id, _)| *id)
        };
        let Some(id) = running else {
            return Ok(());
        };
        match self.stop_job(id, StopReason::Superseded).await {
            StopOutcome::NotRunning { is_new: true } => {
                let now = (self.runner.clock)();
                let store = &self.runner.store;
                store.finish_job(id, JobState::Cancelled, &[], now).await?;
            }
            // A partial reply is shown and must be brought to an end.
            StopOutcome::NotRunning { is_new: false } => {
                let runner = &self.runner;
                runner
                    .end_idle_job(id, false, StopReason::Superseded)
                    .await?;
            }
            StopOutcome::WasRunning => {}
        }
        tracing::info!(job = id.0, source, "superseded");
        Ok(())
    }

    /// Stops every job whose consent was withdrawn, and waits until they have stopped.
    pub async fn stop_jobs_without_consent(&self) {
        let jobs: Vec<JobId> = self
            .state()
            .active_jobs
            .iter()
            .filter(|(_, active)| !active.grants.all_active())
            .map(|(id, _)| *id)
            .collect();
        for id in jobs {
            self.stop_job(id, StopReason::Withdrawn).await;
            if let Err(error) = self.runner.delete_shown_reply(id).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(job = id.0, error, "failed to delete a partial answer");
            }
        }
    }

    /// Cancels all jobs of a guild or channel that is gone: nothing is paid for answers that nobody
    /// will see.
    ///
    /// # Errors
    ///
    /// If the ledger can't be written.
    pub async fn cancel_all_in(&self, gone: GuildOrChannel) -> Result<(), StoreError> {
        let jobs: Vec<JobId> = self
            .state()
            .active_jobs
            .iter()
            .filter(|(_, active)| match gone {
                GuildOrChannel::Guild(guild) => active.guild == Some(guild),
                GuildOrChannel::Channel(channel) => active.channel == channel,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in jobs {
            self.stop_job(id, StopReason::Withdrawn).await;
            let now = (self.runner.clock)();
            let store = &self.runner.store;
            store.finish_job(id, JobState::Cancelled, &[], now).await?;
            tracing::info!(job = id.0, ?gone, "stopped with its place");
        }
        Ok(())
    }

    /// Stops a job and waits until it no longer runs.
    async fn stop_job(&self, id: JobId, reason: StopReason) -> StopOutcome {
        let finished = {
            let mut state = self.state();
            let was_queued = state.queue.remove(id);
            report_queue_metrics(&state.queue);
            let awaits_retry = state
                .active_jobs
                .get(&id)
                .is_some_and(|active| active.awaits_retry);
            if was_queued || awaits_retry {
                let active = state.active_jobs.remove(&id);
                if let Some(active) = &active {
                    active.stop_signal.stop(reason);
                    active.finished.cancel();
                }
                let is_new = active.is_some_and(|active| active.is_new);
                return StopOutcome::NotRunning { is_new };
            }
            let Some(active) = state.active_jobs.get(&id) else {
                return StopOutcome::WasRunning;
            };
            active.stop_signal.stop(reason);
            active.finished.clone()
        };
        finished.cancelled().await;
        StopOutcome::WasRunning
    }

    /// Tells the user that there will be no answer, while that can still be posted.
    pub(super) async fn expire_job(&self, id: JobId) {
        let StopOutcome::NotRunning { is_new } = self.stop_job(id, StopReason::ReplyExpiring).await
        else {
            return;
        };
        let ended = self
            .runner
            .end_idle_job(id, is_new, StopReason::ReplyExpiring)
            .await;
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                job = id.0,
                error,
                "failed to tell the user that a job ended"
            );
        }
    }
}

/// What [`JobScheduler::stop_job`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StopOutcome {
    /// The job was not running and will not start: the caller must end it. `is_new`: no attempt was
    /// ever started.
    NotRunning { is_new: bool },
    /// The job was running and has ended by itself, or is unknown.
    WasRunning,
}

/// Signal to stop a running job, with the reason.
#[derive(Clone, Default)]
pub(super) struct StopSignal {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl StopSignal {
    /// Only the first reason counts.
    pub(super) fn stop(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(super) async fn wait(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason
            .get()
            .copied()
            .unwrap_or(StopReason::ShuttingDown)
    }
}
