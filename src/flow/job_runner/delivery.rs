//! Delivers the outcome of a job and records how that went.

use std::time::{Duration, Instant};

use metrics::{counter, histogram};

use super::{JobRunner, RunOutcome};
use crate::flow::PipelineError;
use crate::flow::frontend::{DeliveryError, JobFailure, JobOutcome, JobReply};
use crate::flow::job_spec::JobSpec;
use crate::store::{Job, JobState, StoreError};

/// How long delivery of an outcome is retried. Discord outages are shorter.
const MAX_DELIVERY_AGE: Duration = Duration::from_secs(24 * 3_600);

impl JobRunner {
    /// Delivers the outcome, saves the turns, and finishes the job.
    pub(super) async fn deliver_and_finish(
        &self,
        job: &Job,
        spec: &JobSpec,
        outcome: &JobOutcome,
        reply: &dyn JobReply,
    ) -> Result<RunOutcome, StoreError> {
        let started = Instant::now();
        let delivered = reply.deliver(outcome).await;
        histogram!("talkback_stage_seconds", "stage" => "deliver").record(started.elapsed());
        self.record_delivery(job, spec, Some(outcome), delivered)
            .await
    }

    /// Records how the delivery went and finishes the job, unless it is to be retried. `outcome` is
    /// `None` if the reply could not be posted at all.
    pub(super) async fn record_delivery(
        &self,
        job: &Job,
        spec: &JobSpec,
        outcome: Option<&JobOutcome>,
        delivered: Result<Option<u64>, DeliveryError>,
    ) -> Result<RunOutcome, StoreError> {
        let now = (self.clock)();
        let has_result = matches!(
            outcome,
            Some(JobOutcome::Answered { .. } | JobOutcome::Transcribed { .. })
        );
        let (state, label) = match (&delivered, outcome) {
            (Err(DeliveryError::RetryLater(_)), _)
                if job.queued_at < now.earlier_by(MAX_DELIVERY_AGE) =>
            {
                (Some(JobState::Failed), "undeliverable")
            }
            (Err(DeliveryError::Store(_)), _) => (None, "ledger"),
            (Err(DeliveryError::RetryLater(_)), _) => (None, "later"),
            (Err(DeliveryError::Withdrawn), _) => (Some(JobState::Cancelled), "withdrawn"),
            (Err(DeliveryError::TargetGone(_) | DeliveryError::Rejected(_)), _) | (Ok(_), None) => {
                (Some(JobState::Failed), "undeliverable")
            }
            (Ok(_), Some(JobOutcome::Answered { .. })) => (Some(JobState::Done), "answered"),
            (Ok(_), Some(JobOutcome::Transcribed { .. })) => (Some(JobState::Done), "transcribed"),
            (Ok(_), Some(JobOutcome::Failed { failure, .. })) => {
                (Some(JobState::Failed), metric_label(failure))
            }
            (Ok(_), Some(JobOutcome::Superseded)) => (Some(JobState::Cancelled), "superseded"),
        };
        counter!("talkback_jobs_total", "outcome" => label).increment(1);
        if let Err(error) = &delivered {
            tracing::warn!(
                job = job.id.0,
                channel = job.details.channel,
                error = error as &dyn std::error::Error,
                "not delivered"
            );
        }
        let first_message = match delivered {
            Ok(first_message) => first_message,
            Err(DeliveryError::Store(error)) => return Err(error),
            Err(DeliveryError::Withdrawn) => {
                self.store.forget_source(job.details.source).await?;
                return Ok(RunOutcome::Finished);
            }
            Err(
                DeliveryError::RetryLater(_)
                | DeliveryError::TargetGone(_)
                | DeliveryError::Rejected(_),
            ) => None,
        };
        let Some(state) = state else {
            if has_result {
                self.store.uncount_attempt(job.id).await?;
            }
            return Ok(RunOutcome::RetryLater);
        };
        // Don't save turns that only the author saw: the next person to ask in a thread may be
        // someone else.
        let turns = match (first_message, outcome) {
            (Some(first_message), Some(outcome)) if !spec.is_private() => {
                self.turns_to_save(job, spec, outcome, first_message)
            }
            _ => Vec::new(),
        };
        self.store.finish_job(job.id, state, &turns, now).await?;
        let waited = (self.clock)().0 - job.created.0;
        tracing::info!(job = job.id.0, outcome = label, millis = waited, "done");
        Ok(RunOutcome::Finished)
    }
}

fn metric_label(failure: &JobFailure) -> &'static str {
    match failure {
        JobFailure::Pipeline(PipelineError::Audio(::audio::AudioError::NoSpeech)) => "no_speech",
        JobFailure::Pipeline(PipelineError::Audio(_)) => "bad_recording",
        JobFailure::Pipeline(PipelineError::Speech(_)) => "speech_failed",
        JobFailure::Pipeline(PipelineError::Chat(_)) => "chat_failed",
        JobFailure::Fetch(_) => "fetch_failed",
        JobFailure::NotAdmitted(_) => "refused",
        JobFailure::TooManyAttempts(_) => "given_up",
        JobFailure::Undeliverable => "no_place",
        JobFailure::ReplyExpiring => "out_of_time",
        JobFailure::Unreadable => "unreadable",
    }
}
