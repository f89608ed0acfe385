//! Accepts new jobs, retries finished ones, and queues recovered ones again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;

use super::{ActiveJob, CarriedOver, JobScheduler, report_queue_metrics};
use crate::flow::access::AccessGrant;
use crate::flow::admission::{Payer, Reservation};
use crate::flow::consent::{ConsentGrant, ConsentGrants, PersonalData};
use crate::flow::fair_queue::{QueueFull, Tenant};
use crate::flow::job_runner;
use crate::flow::job_spec::{JobSpec, OutputKind, ReplyTarget};
use crate::flow::usage_rules::AdmissionDecision;
use crate::store::{AcceptOutcome, Job, JobDetails, JobId, MessageReference, StoreError};

/// Members whose last request is remembered for the cooldown.
const MAX_COOLDOWN_ENTRIES: usize = 50_000;

/// How long a retry waits until its job is recorded as finished: the interaction that asks for it
/// must be acknowledged within 3 s.
const JOB_FINISHED_TIMEOUT: Duration = Duration::from_secs(1);

/// A job to be accepted, and where it comes from.
#[derive(Debug)]
pub struct JobSubmission {
    /// The message or interaction that asks.
    pub source: u64,
    /// The guild; `None` in a direct message.
    pub guild: Option<u64>,
    /// The channel that gets the answer.
    pub channel: u64,
    /// The user who asks.
    pub author: u64,
    /// The request itself.
    pub spec: JobSpec,
    /// Proof that the user may use the bot here.
    pub access: AccessGrant,
    /// Results carried over from an earlier message with the same content.
    pub carried_over: CarriedOver,
}

/// What happened to a submission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubmitOutcome {
    /// It is accepted and on disk. The decision may hold something to tell the user.
    Accepted(JobId, AdmissionDecision),
    /// This source was accepted before.
    Duplicate,
    /// Its message or its answer has been deleted in the meantime.
    Withdrawn,
}

/// Why a submission is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The usage rules don't allow it.
    #[error("not admitted: {0:?}")]
    NotAdmitted(AdmissionDecision),
    /// The member lacks the role that the guild requires.
    #[error("the required role is missing")]
    NoAccess,
    /// The queue is full.
    #[error("queue full: {0:?}")]
    QueueFull(QueueFull),
    /// The bot is shutting down.
    #[error("shutting down")]
    ShuttingDown,
    /// The ledger can't be read or written.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}

impl JobScheduler {
    /// Checks and accepts a job: it is on disk when this returns. If the author, or anyone else
    /// whose words are in it, withdraws consent, the job is stopped and nothing of it is kept.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    pub async fn submit(
        &self,
        request: PersonalData<JobSubmission>,
    ) -> Result<SubmitOutcome, SubmitError> {
        if self.shutdown.is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        let _one_at_a_time = self.submit_lock.lock().await;
        let grant = request.grant().clone();
        let Some(request) = request.into_inner() else {
            return Ok(SubmitOutcome::Withdrawn);
        };
        let grants = self.collect_grants(grant, &request.spec);
        let (guild, author) = (request.guild, request.author);
        let store = &self.runner.store;
        if store.job_by_source(request.source).await?.is_some() {
            return Ok(SubmitOutcome::Duplicate);
        }
        let tenant = Tenant::new(guild, author);
        self.state()
            .queue
            .check_capacity(tenant, author)
            .map_err(|full| {
                counter!("talkback_refused_total", "why" => "full").increment(1);
                SubmitError::QueueFull(full)
            })?;
        let transcribed = request.carried_over.transcripts.len();
        let (reservation, decision) = self.reserve(&request, transcribed).await?;
        let payload = serde_json::to_string(&request.spec).map_err(|_| StoreError::Damaged)?;
        let details = JobDetails {
            source: request.source,
            guild,
            channel: request.channel,
            author,
            payload,
            referenced: request.spec.referenced.as_ref().map(|it| MessageReference {
                message: it.message,
                author: it.author,
            }),
        };
        let accepted = store.accept_job(&details, (self.runner.clock)()).await?;
        let id = match accepted {
            AcceptOutcome::New(id) => id,
            AcceptOutcome::Duplicate(_) => return Ok(SubmitOutcome::Duplicate),
            AcceptOutcome::Withdrawn => return Ok(SubmitOutcome::Withdrawn),
        };
        self.save_carried_over(id, &request.carried_over).await?;
        counter!("talkback_accepted_total").increment(1);
        self.record_request_time(author);
        let withdrawn = {
            let state = self.state();
            let referenced = request.spec.referenced.as_ref().map(|it| it.message);
            let mut messages = referenced.into_iter().chain([request.source]);
            messages.any(|it| state.deleted_sources.contains(&it)) || !grants.all_active()
        };
        if withdrawn {
            store.forget_source(request.source).await?;
            return Ok(SubmitOutcome::Withdrawn);
        }
        let location = (guild, request.channel);
        let mut active = ActiveJob::new((request.source, author), location, grants, reservation);
        active.is_new = true;
        active.reply_deadline = self.reply_deadline(request.source, &request.spec);
        self.enqueue(id, active, tenant);
        tracing::info!(
            job = id.0,
            source = request.source,
            guild,
            channel = request.channel,
            order = ?request.spec,
            "accepted"
        );
        Ok(SubmitOutcome::Accepted(id, decision))
    }

    /// Runs a finished job once more, reusing its transcripts. Returns false if the job is running
    /// or unknown. The last argument is the interaction that asks for the retry and its token: the
    /// original command's token may have expired.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    pub async fn retry(
        self: &Arc<Self>,
        id: JobId,
        access: AccessGrant,
        (interaction, token): (u64, &str),
    ) -> Result<bool, SubmitError> {
        if self.shutdown.is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        let _one_at_a_time = self.submit_lock.lock().await;
        let store = &self.runner.store;
        let Some(job) = store.job(id).await? else {
            return Ok(false);
        };
        let tenant = Tenant::new(job.details.guild, job.details.author);
        self.state()
            .queue
            .check_capacity(tenant, job.details.author)
            .map_err(SubmitError::QueueFull)?;
        let Ok(spec) = serde_json::from_str::<JobSpec>(&job.details.payload) else {
            return Ok(false);
        };
        let mut request = JobSubmission {
            source: job.details.source,
            guild: job.details.guild,
            channel: job.details.channel,
            author: job.details.author,
            spec,
            access,
            carried_over: CarriedOver::default(),
        };
        let Some(grant) = self.requester_grant(&job, &request.spec).await? else {
            store.forget_source(request.source).await?;
            return Ok(false);
        };
        let grants = self.collect_grants(grant, &request.spec);
        // As for a new job, except that existing transcripts need no reservation.
        let (reservation, _) = self
            .reserve(&request, job_runner::saved_transcripts(&job).len())
            .await?;
        let now = (self.runner.clock)();
        if !store.reopen_job(id, true, now).await? {
            // The user can see the outcome before the job is recorded as finished.
            self.wait_until_finished(id, JOB_FINISHED_TIMEOUT).await;
            if !store.reopen_job(id, true, now).await? {
                return Ok(false);
            }
        }
        counter!("talkback_again_total").increment(1);
        if let Some(spec) = with_interaction_token(&job, interaction, token) {
            let payload = serde_json::to_string(&spec).map_err(|_| StoreError::Damaged)?;
            store.update_job_payload(&job, &payload).await?;
            request.spec = spec;
        }
        self.record_request_time(request.author);
        let mut active = ActiveJob::new(
            (request.source, request.author),
            (request.guild, request.channel),
            grants,
            reservation,
        );
        active.reply_deadline = self.reply_deadline(request.source, &request.spec);
        self.enqueue(id, active, tenant);
        Ok(true)
    }

    /// Checks a request, whose first `transcribed` recordings are done already, and reserves
    /// its expected usage.
    async fn reserve(
        &self,
        request: &JobSubmission,
        transcribed: usize,
    ) -> Result<(Reservation, AdmissionDecision), SubmitError> {
        let payer = Payer {
            guild: request.guild,
            author: request.author,
        };
        let since_last = {
            let state = self.state();
            state
                .last_request
                .get(&request.author)
                .map(Instant::elapsed)
        };
        let answer = request.spec.output == OutputKind::Answer && self.runner.are_answers_paid();
        let expected = (request.spec.untranscribed_duration(transcribed), answer);
        let admission = &self.runner.admission;
        admission
            .reserve(payer, expected, since_last)
            .await?
            .map_err(not_admitted)
    }

    /// Records the time of the author's request, for the cooldown.
    fn record_request_time(&self, author: u64) {
        let mut state = self.state();
        if state.last_request.len() >= MAX_COOLDOWN_ENTRIES {
            let cooldown = self.runner.admission.rules().cooldown;
            state.last_request.retain(|_, at| at.elapsed() < cooldown);
        }
        if state.last_request.len() < MAX_COOLDOWN_ENTRIES {
            state.last_request.insert(author, Instant::now());
        }
    }

    /// When the answer can no longer be posted.
    fn reply_deadline(&self, source: u64, spec: &JobSpec) -> Option<Instant> {
        let remaining = self.runner.frontend.reply_expires_in(source, spec)?;
        Some(Instant::now() + remaining)
    }

    /// Queues a job that was accepted earlier. Returns false if it is unreadable or no longer
    /// permitted.
    pub(super) async fn requeue(self: &Arc<Self>, job: &Job) -> Result<bool, StoreError> {
        let Ok(spec) = serde_json::from_str::<JobSpec>(&job.details.payload) else {
            self.fail_unreadable(job.id);
            return Ok(false);
        };
        let (guild, author) = (job.details.guild, job.details.author);
        let Some(grant) = self.requester_grant(job, &spec).await? else {
            self.runner.store.forget_source(job.details.source).await?;
            return Ok(false);
        };
        let grants = self.collect_grants(grant, &spec);
        let untranscribed = spec.untranscribed_duration(job_runner::saved_transcripts(job).len());
        let payer = Payer { guild, author };
        let reservation = self
            .runner
            .admission
            .restore_reservation(payer, untranscribed)
            .await?;
        let location = (guild, job.details.channel);
        let mut active =
            ActiveJob::new((job.details.source, author), location, grants, reservation);
        active.reply_deadline = self.reply_deadline(job.details.source, &spec);
        self.enqueue(job.id, active, Tenant::new(guild, author));
        Ok(true)
    }

    /// The author's current consent. Speech from a call needs more than a written message.
    async fn requester_grant(
        &self,
        job: &Job,
        spec: &JobSpec,
    ) -> Result<Option<ConsentGrant>, StoreError> {
        let author = job.details.author;
        match (&spec.reply_target, job.details.guild) {
            (ReplyTarget::Spoken, Some(guild)) => {
                let consents = self.runner.load_guild_consents(guild).await?;
                Ok(consents.grant_for_speech_at(author, job.created))
            }
            _ => Ok(self.runner.consents.grant_for_stored(author, job.created)),
        }
    }

    fn collect_grants(&self, grant: ConsentGrant, spec: &JobSpec) -> ConsentGrants {
        let consents = &self.runner.consents;
        let others = spec.referenced.iter().filter(|it| it.author != 0);
        let others = others.map(|it| consents.current_grant(it.author));
        others.chain([grant]).collect()
    }

    fn enqueue(&self, id: JobId, active: ActiveJob, tenant: Tenant) {
        let mut state = self.state();
        let author = active.author;
        if let Some(previous) = state.active_jobs.insert(id, active) {
            previous.finished.cancel();
        }
        state.queue.push(tenant, author, id);
        report_queue_metrics(&state.queue);
        drop(state);
        self.queue_changed.notify_one();
    }
}

/// The job's spec with the token of the button that was pressed; `None` if it was not a command.
fn with_interaction_token(job: &Job, interaction: u64, new_token: &str) -> Option<JobSpec> {
    let mut spec: JobSpec = serde_json::from_str(&job.details.payload).ok()?;
    let ReplyTarget::Command {
        token,
        button_interaction: button,
        ..
    } = &mut spec.reply_target
    else {
        return None;
    };
    new_token.clone_into(token);
    *button = Some(interaction);
    Some(spec)
}

fn not_admitted(decision: AdmissionDecision) -> SubmitError {
    counter!("talkback_refused_total", "why" => "rules").increment(1);
    SubmitError::NotAdmitted(decision)
}
