//! Ends jobs that do not run to completion: stopped, panicking or unreadable ones.

use metrics::counter;

use super::{JobRunner, RunOutcome, StopReason, saved_transcripts};
use crate::flow::conversation_history::ConversationRef;
use crate::flow::frontend::{JobFailure, JobOutcome, JobReply};
use crate::flow::job_spec::{JobSpec, OutputKind, ReplyTarget};
use crate::store::{Job, JobId, JobState, StoreError};

/// Attempts before a job that panics is given up.
const MAX_PANIC_ATTEMPTS: u32 = 2;

impl JobRunner {
    /// Ends a job that is not running, and tells the user why.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn end_idle_job(
        &self,
        id: JobId,
        is_new: bool,
        stop: StopReason,
    ) -> Result<(), StoreError> {
        let Some((job, spec)) = self.load_waiting_job(id).await? else {
            return Ok(());
        };
        let reply = self.frontend.open_reply(&job, &spec, is_new).await?;
        reply.show_saved_transcripts(&saved_transcripts(&job));
        let ended = self.finish_stopped(&job, &*reply, stop).await;
        reply.stop_updates().await;
        ended
    }

    /// Decides what follows a panic: a retry, or failure once it has panicked too often.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn handle_panic(&self, id: JobId) -> Result<RunOutcome, StoreError> {
        let Some((job, spec)) = self.load_waiting_job(id).await? else {
            return Ok(RunOutcome::Finished);
        };
        if job.attempts < MAX_PANIC_ATTEMPTS {
            return Ok(RunOutcome::RetryLater);
        }
        // Finish the job first: it must not be retried, whether or not the message can be
        // delivered.
        let now = (self.clock)();
        self.store
            .finish_job(id, JobState::Failed, &[], now)
            .await?;
        counter!("talkback_jobs_total", "outcome" => "given_up").increment(1);
        let reply = self.frontend.open_reply(&job, &spec, false).await?;
        let outcome = JobOutcome::Failed {
            transcripts: saved_transcripts(&job),
            failure: JobFailure::TooManyAttempts(job.attempts),
        };
        self.try_deliver(&job, &*reply, &outcome).await;
        Ok(RunOutcome::Finished)
    }

    /// Fails a job whose row can't be read, and tells the user where that is possible.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn fail_unreadable(&self, id: JobId) -> Result<(), StoreError> {
        tracing::error!(job = id.0, "the stored request can't be read");
        let Some(job) = self.store.job_without_payload(id).await? else {
            return Ok(());
        };
        let now = (self.clock)();
        if !self
            .store
            .finish_job(id, JobState::Failed, &[], now)
            .await?
        {
            return Ok(());
        }
        let spec = JobSpec {
            output: OutputKind::Answer,
            requester_name: String::new(),
            recordings: Vec::new(),
            question: None,
            conversation: ConversationRef::New,
            referenced: None,
            reply_target: ReplyTarget::Message,
        };
        let reply = self.frontend.open_reply(&job, &spec, false).await?;
        let outcome = JobOutcome::Failed {
            transcripts: Vec::new(),
            failure: JobFailure::Unreadable,
        };
        self.try_deliver(&job, &*reply, &outcome).await;
        Ok(())
    }

    /// Deletes the partial reply of a job that was stopped.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn delete_shown_reply(&self, id: JobId) -> Result<(), StoreError> {
        if let Some((job, spec)) = self.load_waiting_job(id).await? {
            self.frontend.delete_reply(&job, &spec).await;
        }
        Ok(())
    }

    async fn load_waiting_job(&self, id: JobId) -> Result<Option<(Job, JobSpec)>, StoreError> {
        let job = self.store.job(id).await?;
        let job = job.filter(|job| job.state == JobState::Waiting);
        Ok(job.and_then(|job| {
            let spec = serde_json::from_str(&job.details.payload).ok()?;
            Some((job, spec))
        }))
    }

    /// Ends a stopped job; the part of the answer that is already shown stays.
    pub(super) async fn finish_stopped(
        &self,
        job: &Job,
        reply: &dyn JobReply,
        stop: StopReason,
    ) -> Result<(), StoreError> {
        let (outcome, state, label) = match stop {
            StopReason::ReplyExpiring => {
                let failure = JobFailure::ReplyExpiring;
                let transcripts = saved_transcripts(job);
                let outcome = JobOutcome::Failed {
                    transcripts,
                    failure,
                };
                (outcome, JobState::Failed, "out_of_time")
            }
            _ => (JobOutcome::Superseded, JobState::Cancelled, "superseded"),
        };
        self.try_deliver(job, reply, &outcome).await;
        counter!("talkback_jobs_total", "outcome" => label).increment(1);
        let now = (self.clock)();
        self.store.finish_job(job.id, state, &[], now).await?;
        Ok(())
    }

    async fn try_deliver(&self, job: &Job, reply: &dyn JobReply, outcome: &JobOutcome) {
        if let Err(error) = reply.deliver(outcome).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(job = job.id.0, error, "failed to show the end of a job");
        }
    }
}
