//! Runs one job from start to finish. Each step that costs money is saved to the ledger as soon as
//! it is done, so that a restart does not pay for it again.

mod delivery;
mod early_end;
mod steps;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Pipeline;
use super::admission::{Admission, Reservation};
use super::consent::{ConsentGrants, ConsentRegistry, GuildConsents};
use super::frontend::{DeliveryError, Frontend, JobFailure, JobOutcome};
use super::guild_settings::GuildSettings;
use super::job_spec::{JobSpec, RecordingTranscript};
use super::poison_jobs::PoisonJobIsolator;
use crate::chat::TokenUsage;
use crate::store::{self, Job, JobId, JobState, Store, StoreError};

/// Attempts before a job is given up: a job that kills the process must not do so forever.
pub const MAX_ATTEMPTS: u32 = 10;

/// Runs jobs with the configured engines and rules.
pub struct JobRunner {
    /// The engines named in the settings.
    pub pipeline: Pipeline,
    /// Engines on this machine for use at a cap, if configured.
    pub local_pipeline: Option<Pipeline>,
    /// Checks usage against the caps and records it.
    pub admission: Admission,
    /// The ledger.
    pub store: Store,
    /// Whose words may be used.
    pub consents: ConsentRegistry,
    /// Runs suspected poison jobs one at a time.
    pub poison_jobs: PoisonJobIsolator,
    /// Where jobs come from and answers go.
    pub frontend: Arc<dyn Frontend>,
    /// Current time for ledger entries.
    pub clock: fn() -> store::Timestamp,
}

/// How one run of a job ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunOutcome {
    /// Nothing is left to do.
    Finished,
    /// It has to be tried again later.
    RetryLater,
}

/// Why a job is stopped early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopReason {
    /// The source was deleted: nothing more may be shown.
    Withdrawn,
    /// The process ends; the next one resumes the job.
    ShuttingDown,
    /// The answer can soon no longer be posted.
    ReplyExpiring,
    /// The author has asked something else since.
    Superseded,
    /// The author, or someone whose words are in the job, has withdrawn consent.
    ConsentWithdrawn,
}

impl JobRunner {
    /// Runs a job until it is finished. `stopped` ends it early; a message that is being sent is
    /// completed first. `is_new` says that this process accepted the job and no attempt has started
    /// yet. `reservation` is usage reserved for it against the daily caps. Nothing is shown or kept
    /// once one of `grants` is withdrawn.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written; the job keeps its last checkpoint.
    pub async fn run(
        &self,
        job: JobId,
        is_new: bool,
        reservation: Option<&Reservation>,
        grants: &ConsentGrants,
        stopped: impl Future<Output = StopReason>,
    ) -> Result<RunOutcome, StoreError> {
        let Some(job) = self.store.job(job).await? else {
            return Ok(RunOutcome::Finished);
        };
        if job.state != JobState::Waiting {
            return Ok(RunOutcome::Finished);
        }
        let Ok(spec) = serde_json::from_str::<JobSpec>(&job.details.payload) else {
            self.fail_unreadable(job.id).await?;
            return Ok(RunOutcome::Finished);
        };
        // The first message is sent before the attempt is counted, and before anything else.
        let opening = self.frontend.open_reply(&job, &spec, is_new);
        let Some(reply) = grants.unless_withdrawn(opening).await else {
            self.store.forget_source(job.details.source).await?;
            return Ok(RunOutcome::Finished);
        };
        let reply = reply?;
        let (attempt_counted, delivering) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut work = Box::pin(async {
            let mut job = job.clone();
            let _isolation = self.poison_jobs.isolate(&job).await;
            job.attempts = self.store.count_attempt(job.id).await?;
            attempt_counted.store(true, Ordering::Relaxed);
            let produced = tokio::select! {
                biased;
                why = reply.wait_until_lost() => Err(DeliveryError::TargetGone(why)),
                produced = self.produce_outcome(&job, &spec, reservation, &reply) => produced?,
            };
            delivering.store(true, Ordering::Relaxed);
            match produced {
                Ok(outcome) => {
                    self.deliver_and_finish(&job, &spec, &outcome, &*reply)
                        .await
                }
                // Don't pay for what nobody would see, but tell the user where that is possible.
                Err(DeliveryError::TargetGone(why)) => {
                    tracing::warn!(job = job.id.0, %why, "the answer can no longer be posted");
                    let outcome = JobOutcome::Failed {
                        transcripts: saved_transcripts(&job),
                        failure: JobFailure::Undeliverable,
                    };
                    self.deliver_and_finish(&job, &spec, &outcome, &*reply)
                        .await
                }
                Err(error) => self.record_delivery(&job, &spec, None, Err(error)).await,
            }
        });
        tokio::pin!(stopped);
        let stop = tokio::select! {
            biased;
            stop = &mut stopped => stop,
            outcome = &mut work => {
                reply.stop_updates().await;
                return outcome;
            }
        };
        // The finished answer is the better end.
        if stop == StopReason::ReplyExpiring && delivering.load(Ordering::Relaxed) {
            let outcome = work.await;
            reply.stop_updates().await;
            return outcome;
        }
        // A future that is no longer polled must not keep its place in a lock queue.
        drop(work);
        reply.stop_updates().await;
        match stop {
            // A shutdown is not the job's fault: don't count the attempt.
            StopReason::ShuttingDown if attempt_counted.load(Ordering::Relaxed) => {
                self.store.uncount_attempt(job.id).await?;
            }
            StopReason::ShuttingDown => {}
            StopReason::ConsentWithdrawn => {
                reply.delete_messages().await;
                self.store.forget_source(job.details.source).await?;
            }
            StopReason::Withdrawn => {
                if let Err(error) = reply.reconcile_sends().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(job = job.id.0, error, "a message may remain");
                }
            }
            StopReason::Superseded | StopReason::ReplyExpiring => {
                self.finish_stopped(&job, &*reply, stop).await?;
            }
        }
        Ok(RunOutcome::Finished)
    }

    /// Whether answers cost money, according to the configured prices.
    pub(super) fn are_answers_paid(&self) -> bool {
        let usage = TokenUsage {
            prompt_tokens: 1,
            answer_tokens: 1,
        };
        !self.pipeline.chat.card().is_local()
            && self.admission.rules().prices.answer_price(usage) > 0
    }

    /// Consents for a guild's voice sessions, from the ledger and the guild's settings. A running
    /// session may be stricter than the settings, as its posted notice says.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn load_guild_consents(&self, guild: u64) -> Result<GuildConsents, StoreError> {
        let settings = GuildSettings::load(&self.store, Some(guild)).await?;
        let consents = self.consents.load_guild(&self.store, guild).await?;
        consents.tighten_rule(settings.voice_consent);
        Ok(consents)
    }
}

/// The transcripts that an earlier run has saved.
pub(super) fn saved_transcripts(job: &Job) -> Vec<RecordingTranscript> {
    job.transcript
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
