//! Accepts jobs, decides which one runs next, and runs them.

mod handover;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use metrics::{counter, gauge};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::AccessGrant;
use super::admission::{Payer, Reservation};
use super::consent::{ConsentGrant, ConsentGrants, PersonalData};
use super::fair_queue::{FairQueue, QueueFull, QueueLimits, Tenant};
use super::job_runner::{self, JobRunner, RunOutcome, StopReason};
use super::job_spec::{JobSpec, OutputKind, ReplyTarget};
use super::poison_jobs;
use super::usage_rules::AdmissionDecision;
pub use handover::{CarriedOver, ReplyMessages};

use crate::store::{AcceptOutcome, Job, JobDetails, JobId, JobState, MessageReference, StoreError};

/// Delay before a job whose result could not be delivered or saved is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(15);

/// How often a job is retried while the ledger can't be read. After that it waits for the next
/// start.
const MAX_LEDGER_RETRIES: u32 = 40;

/// How long follow-up work waits for an answer that is just being saved.
const ANSWER_SAVED_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for a retry button, whose interaction must be acknowledged within 3 s.
const JOB_FINISHED_TIMEOUT: Duration = Duration::from_secs(1);

/// Waiting jobs read from the ledger per query at startup.
const RECOVERY_PAGE_SIZE: u32 = 500;

/// Deleted messages to remember: the deletion event can arrive before the message is accepted.
const MAX_DELETED_SOURCES: usize = 1_024;

/// Members whose last request is remembered for the cooldown.
const MAX_COOLDOWN_ENTRIES: usize = 50_000;

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

/// A place that answers are sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GuildOrChannel {
    /// A guild.
    Guild(u64),
    /// A channel or thread.
    Channel(u64),
}

/// Why a submission is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The usage rules don't allow it.
    #[error("by the rules: {0:?}")]
    NotAdmitted(AdmissionDecision),
    /// The member lacks the role that the guild requires.
    #[error("without the role")]
    NoAccess,
    /// The queue is full.
    #[error("no room: {0:?}")]
    QueueFull(QueueFull),
    /// The bot is shutting down.
    #[error("shutting down")]
    ShuttingDown,
    /// The ledger can't be read or written.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}

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
    pub fn new(workshop: JobRunner, limits: QueueLimits) -> Arc<Self> {
        Arc::new(Self {
            runner: workshop,
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
        let mut left = Vec::new();
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
                    Ok(Some(job)) => left.push(job),
                    Ok(None) => {}
                    // One damaged row must not block the others.
                    Err(StoreError::Damaged) => self.fail_unreadable(id),
                    Err(error) => return Err(error),
                }
            }
        }
        poison_jobs::sort_suspects_last(&mut left);
        let mut found = 0;
        for job in &left {
            found += usize::from(self.requeue(job).await?);
        }
        let desk = Arc::clone(self);
        self.tasks.spawn(async move { desk.dispatch_loop().await });
        Ok(found)
    }

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
        let stamp = request.grant().clone();
        let Some(request) = request.into_inner() else {
            return Ok(SubmitOutcome::Withdrawn);
        };
        let stamps = self.collect_grants(stamp, &request.spec);
        let (guild, author) = (request.guild, request.author);
        let store = &self.runner.store;
        if store.job_by_source(request.source).await?.is_some() {
            return Ok(SubmitOutcome::Duplicate);
        }
        let home = Tenant::new(guild, author);
        self.state()
            .queue
            .check_capacity(home, author)
            .map_err(|full| {
                counter!("talkback_refused_total", "why" => "full").increment(1);
                SubmitError::QueueFull(full)
            })?;
        let heard = request.carried_over.transcripts.len();
        let (hold, verdict) = self.reserve(&request, heard).await?;
        let payload = serde_json::to_string(&request.spec).map_err(|_| StoreError::Damaged)?;
        let order = JobDetails {
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
        let accepted = store.accept_job(&order, (self.runner.clock)()).await?;
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
            let borrowed = request.spec.referenced.as_ref().map(|it| it.message);
            let mut messages = borrowed.into_iter().chain([request.source]);
            messages.any(|it| state.deleted_sources.contains(&it)) || !stamps.all_active()
        };
        if withdrawn {
            store.forget_source(request.source).await?;
            return Ok(SubmitOutcome::Withdrawn);
        }
        let place = (guild, request.channel);
        let mut open = ActiveJob::new((request.source, author), place, stamps, hold);
        open.is_new = true;
        open.reply_deadline = self.reply_deadline(request.source, &request.spec);
        self.enqueue(id, open, home);
        tracing::info!(
            job = id.0,
            source = request.source,
            guild,
            channel = request.channel,
            order = ?request.spec,
            "accepted"
        );
        Ok(SubmitOutcome::Accepted(id, verdict))
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
        cleared: AccessGrant,
        (pressed, token): (u64, &str),
    ) -> Result<bool, SubmitError> {
        if self.shutdown.is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        let _one_at_a_time = self.submit_lock.lock().await;
        let store = &self.runner.store;
        let Some(job) = store.job(id).await? else {
            return Ok(false);
        };
        let home = Tenant::new(job.details.guild, job.details.author);
        self.state()
            .queue
            .check_capacity(home, job.details.author)
            .map_err(SubmitError::QueueFull)?;
        let Ok(order) = serde_json::from_str::<JobSpec>(&job.details.payload) else {
            return Ok(false);
        };
        let mut request = JobSubmission {
            source: job.details.source,
            guild: job.details.guild,
            channel: job.details.channel,
            author: job.details.author,
            spec: order,
            access: cleared,
            carried_over: CarriedOver::default(),
        };
        let Some(stamp) = self.requester_grant(&job, &request.spec).await? else {
            store.forget_source(request.source).await?;
            return Ok(false);
        };
        let stamps = self.collect_grants(stamp, &request.spec);
        // As for a new job, except that existing transcripts need no reservation.
        let (hold, _) = self
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
        if let Some(order) = with_interaction_token(&job, pressed, token) {
            let payload = serde_json::to_string(&order).map_err(|_| StoreError::Damaged)?;
            store.update_job_payload(&job, &payload).await?;
            request.spec = order;
        }
        self.record_request_time(request.author);
        let mut open = ActiveJob::new(
            (request.source, request.author),
            (request.guild, request.channel),
            stamps,
            hold,
        );
        open.reply_deadline = self.reply_deadline(request.source, &request.spec);
        self.enqueue(id, open, home);
        Ok(true)
    }

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
                .find(|(_, open)| open.source == source);
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
                let workshop = &self.runner;
                workshop
                    .end_idle_job(id, false, StopReason::Superseded)
                    .await?;
            }
            StopOutcome::WasRunning => {}
        }
        tracing::info!(job = id.0, source, "superseded");
        Ok(())
    }

    /// Waits, for a limited time, until the job no longer runs: a user may reply to an answer
    /// before it is saved.
    pub async fn wait_until_done(&self, id: JobId) {
        self.wait_until_finished(id, ANSWER_SAVED_TIMEOUT).await;
    }

    /// Waits, for a limited time, until no job of the channel (or of one author in it) runs: a job
    /// that finishes later would save its turn after the conversation was forgotten.
    pub async fn wait_until_channel_done(&self, channel: u64, only: Option<u64>) {
        let theirs: Vec<CancellationToken> = self
            .state()
            .active_jobs
            .values()
            .filter(|open| open.channel == channel)
            .filter(|open| only.is_none_or(|author| open.author == author))
            .map(|open| open.finished.clone())
            .collect();
        let all = async {
            for ended in theirs {
                ended.cancelled().await;
            }
        };
        let _ = tokio::time::timeout(ANSWER_SAVED_TIMEOUT, all).await;
    }

    async fn wait_until_finished(&self, id: JobId, patience: Duration) {
        let ended = self
            .state()
            .active_jobs
            .get(&id)
            .map(|open| open.finished.clone());
        if let Some(ended) = ended {
            let _ = tokio::time::timeout(patience, ended.cancelled()).await;
        }
    }

    /// Stops every job whose consent was withdrawn, and waits until they have stopped.
    pub async fn stop_jobs_without_consent(&self) {
        let theirs: Vec<JobId> = self
            .state()
            .active_jobs
            .iter()
            .filter(|(_, open)| !open.grants.all_active())
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.stop_job(id, StopReason::Withdrawn).await;
            if let Err(error) = self.runner.delete_shown_reply(id).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(job = id.0, error, "the beginning of an answer stays");
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
        let theirs: Vec<JobId> = self
            .state()
            .active_jobs
            .iter()
            .filter(|(_, open)| match gone {
                GuildOrChannel::Guild(guild) => open.guild == Some(guild),
                GuildOrChannel::Channel(channel) => open.channel == channel,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.stop_job(id, StopReason::Withdrawn).await;
            let now = (self.runner.clock)();
            let store = &self.runner.store;
            store.finish_job(id, JobState::Cancelled, &[], now).await?;
            tracing::info!(job = id.0, ?gone, "stopped with its place");
        }
        Ok(())
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
        let left = tokio::time::timeout(patience, self.tasks.wait()).await;
        if left.is_err() {
            for open in self.state().active_jobs.values() {
                open.stop_signal.stop(StopReason::ShuttingDown);
            }
            // Let messages that are being sent right now complete.
            let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SchedulerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a request, of whose recordings the first `heard` are already transcribed, and
    /// reserves its expected usage.
    async fn reserve(
        &self,
        request: &JobSubmission,
        heard: usize,
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
        let expected = (request.spec.untranscribed_duration(heard), answer);
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
    fn reply_deadline(&self, source: u64, order: &JobSpec) -> Option<Instant> {
        let left = self.runner.frontend.reply_expires_in(source, order)?;
        Some(Instant::now() + left)
    }

    /// Queues a job that was accepted earlier. Returns false if it is unreadable or no longer
    /// permitted.
    async fn requeue(self: &Arc<Self>, job: &Job) -> Result<bool, StoreError> {
        let Ok(order) = serde_json::from_str::<JobSpec>(&job.details.payload) else {
            self.fail_unreadable(job.id);
            return Ok(false);
        };
        let (guild, author) = (job.details.guild, job.details.author);
        let Some(stamp) = self.requester_grant(job, &order).await? else {
            self.runner.store.forget_source(job.details.source).await?;
            return Ok(false);
        };
        let stamps = self.collect_grants(stamp, &order);
        let unheard = order.untranscribed_duration(job_runner::saved_transcripts(job).len());
        let payer = Payer { guild, author };
        let hold = self
            .runner
            .admission
            .restore_reservation(payer, unheard)
            .await?;
        let place = (guild, job.details.channel);
        let mut open = ActiveJob::new((job.details.source, author), place, stamps, hold);
        open.reply_deadline = self.reply_deadline(job.details.source, &order);
        self.enqueue(job.id, open, Tenant::new(guild, author));
        Ok(true)
    }

    /// The author's current consent. Speech from a call needs more than a written message.
    async fn requester_grant(
        &self,
        job: &Job,
        order: &JobSpec,
    ) -> Result<Option<ConsentGrant>, StoreError> {
        let author = job.details.author;
        match (&order.reply_target, job.details.guild) {
            (ReplyTarget::Spoken, Some(guild)) => {
                let book = self.runner.load_guild_consents(guild).await?;
                Ok(book.grant_for_speech_at(author, job.created))
            }
            _ => Ok(self.runner.consents.grant_for_stored(author, job.created)),
        }
    }

    fn collect_grants(&self, stamp: ConsentGrant, order: &JobSpec) -> ConsentGrants {
        let consents = &self.runner.consents;
        let others = order.referenced.iter().filter(|it| it.author != 0);
        let others = others.map(|it| consents.current_grant(it.author));
        others.chain([stamp]).collect()
    }

    fn enqueue(&self, id: JobId, open: ActiveJob, home: Tenant) {
        let mut state = self.state();
        let author = open.author;
        if let Some(rested) = state.active_jobs.insert(id, open) {
            rested.finished.cancel();
        }
        state.queue.push(home, author, id);
        report_queue_metrics(&state.queue);
        drop(state);
        self.queue_changed.notify_one();
    }

    /// Stops a job and waits until it no longer runs.
    async fn stop_job(&self, id: JobId, why: StopReason) -> StopOutcome {
        let ended = {
            let mut state = self.state();
            let waits = state.queue.remove(id);
            report_queue_metrics(&state.queue);
            let rests = state
                .active_jobs
                .get(&id)
                .is_some_and(|open| open.awaits_retry);
            if waits || rests {
                let open = state.active_jobs.remove(&id);
                if let Some(open) = &open {
                    open.stop_signal.stop(why);
                    open.finished.cancel();
                }
                let fresh = open.is_some_and(|open| open.is_new);
                return StopOutcome::NotRunning { is_new: fresh };
            }
            let Some(open) = state.active_jobs.get(&id) else {
                return StopOutcome::WasRunning;
            };
            open.stop_signal.stop(why);
            open.finished.clone()
        };
        ended.cancelled().await;
        StopOutcome::WasRunning
    }

    async fn dispatch_loop(self: &Arc<Self>) {
        loop {
            while let Some((id, begun)) = self.claim_next() {
                let desk = Arc::clone(self);
                self.tasks
                    .spawn(async move { desk.run_job(id, begun).await });
            }
            let (late, next) = self.take_expired();
            for id in late {
                let desk = Arc::clone(self);
                self.tasks.spawn(async move { desk.expire_job(id).await });
            }
            let next_closes = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.queue_changed.notified() => {}
                () = next_closes => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// The jobs whose reply deadline has passed, and the next deadline.
    fn take_expired(&self) -> (Vec<JobId>, Option<Instant>) {
        let now = Instant::now();
        let mut late = Vec::new();
        let mut next: Option<Instant> = None;
        for (id, open) in &mut self.state().active_jobs {
            match open.reply_deadline {
                Some(at) if at <= now => {
                    open.reply_deadline = None;
                    late.push(*id);
                }
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        (late, next)
    }

    /// Tells the user that there will be no answer, while that can still be posted.
    async fn expire_job(&self, id: JobId) {
        let StopOutcome::NotRunning { is_new: fresh } =
            self.stop_job(id, StopReason::ReplyExpiring).await
        else {
            return;
        };
        let ended = self
            .runner
            .end_idle_job(id, fresh, StopReason::ReplyExpiring)
            .await;
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::error!(job = id.0, error, "an end is not said");
        }
    }

    /// Fails a job whose stored data can't be read.
    fn fail_unreadable(self: &Arc<Self>, id: JobId) {
        let desk = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = desk.runner.fail_unreadable(id).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(job = id.0, error, "waits for the next start");
            }
        });
    }

    fn claim_next(&self) -> Option<(JobId, ClaimedJob)> {
        if self.shutdown.is_cancelled() {
            return None;
        }
        let mut state = self.state();
        let id = state.queue.start_next()?;
        report_queue_metrics(&state.queue);
        let open = state.active_jobs.get_mut(&id);
        let begun = open.map(|open| ClaimedJob {
            is_new: open.is_new,
            reservation: open.reservation.take(),
            stop_signal: open.stop_signal.clone(),
            grants: open.grants.clone(),
        });
        Some((id, begun.unwrap_or_default()))
    }

    async fn run_job(self: &Arc<Self>, id: JobId, mut begun: ClaimedJob) {
        // Frees the job's slot however the run ends.
        let mut done = RunningJobGuard {
            scheduler: self,
            id,
            awaits_retry: false,
        };
        let hold = begun.reservation.take();
        let run = self.runner.run(
            id,
            begun.is_new,
            hold.as_ref(),
            &begun.grants,
            begun.wait_for_stop(),
        );
        let run = match AssertUnwindSafe(run).catch_unwind().await {
            Ok(run) => run,
            Err(_) => self.handle_panic(id).await,
        };
        drop(hold);
        let later = match run {
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
        let stopped = begun.stop_signal.is_stopped() || !begun.grants.all_active();
        done.awaits_retry = later && !stopped && !self.shutdown.is_cancelled();
        if done.awaits_retry {
            let desk = Arc::clone(self);
            let halt = begun.stop_signal.clone();
            self.tasks
                .spawn(async move { desk.retry_later(id, halt).await });
        }
    }

    /// The job panicked: make sure the user still sees an outcome.
    async fn handle_panic(&self, id: JobId) -> Result<RunOutcome, StoreError> {
        tracing::error!(job = id.0, "a job panicked");
        let stumbled = AssertUnwindSafe(self.runner.handle_panic(id));
        match stumbled.catch_unwind().await {
            Ok(run) => run,
            Err(_) => Ok(RunOutcome::Finished),
        }
    }

    /// Queues the job again after a delay. Until then it can be stopped like any other.
    async fn retry_later(self: &Arc<Self>, id: JobId, halt: StopSignal) {
        for _ in 0..MAX_LEDGER_RETRIES {
            tokio::select! {
                () = tokio::time::sleep(RETRY_DELAY) => {}
                why = halt.wait() => return self.end_before_retry(id, why).await,
                () = self.shutdown.cancelled() => return,
            }
            let lined_up = match self.runner.store.job(id).await {
                Ok(Some(job)) if job.state == JobState::Waiting => self.requeue(&job).await,
                Ok(_) => return self.give_up_retry(id),
                Err(error) => Err(error),
            };
            match lined_up {
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
        tracing::error!(job = id.0, "waits for the next start");
        self.give_up_retry(id);
    }

    /// The job was stopped just as it began to await its retry, and the caller left ending it to
    /// us.
    async fn end_before_retry(&self, id: JobId, why: StopReason) {
        let Some(open) = self.state().active_jobs.remove(&id) else {
            return;
        };
        let ended = match why {
            StopReason::Superseded | StopReason::ReplyExpiring => {
                self.runner.end_idle_job(id, false, why).await
            }
            StopReason::Withdrawn | StopReason::ConsentWithdrawn | StopReason::ShuttingDown => {
                Ok(())
            }
        };
        open.finished.cancel();
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::error!(job = id.0, error, "an end is not said");
        }
    }

    /// Drops a job that awaits a retry.
    fn give_up_retry(&self, id: JobId) {
        if let Some(open) = self.state().active_jobs.remove(&id) {
            open.finished.cancel();
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
struct StopSignal {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl StopSignal {
    /// Only the first reason counts.
    fn stop(&self, why: StopReason) {
        let _ = self.reason.set(why);
        self.token.cancel();
    }

    fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    async fn wait(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason
            .get()
            .copied()
            .unwrap_or(StopReason::ShuttingDown)
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
            why = self.stop_signal.wait() => why,
        }
    }
}

impl ActiveJob {
    fn new(
        (source, author): (u64, u64),
        (guild, channel): (Option<u64>, u64),
        grants: ConsentGrants,
        hold: Reservation,
    ) -> Self {
        Self {
            source,
            author,
            guild,
            channel,
            grants,
            is_new: false,
            reservation: Some(hold),
            stop_signal: StopSignal::default(),
            awaits_retry: false,
            reply_deadline: None,
            finished: CancellationToken::new(),
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
            if let Some(open) = state.active_jobs.get_mut(&self.id) {
                open.awaits_retry = true;
                open.is_new = false;
            }
        } else if let Some(open) = state.active_jobs.remove(&self.id) {
            tracing::debug!(job = self.id.0, source = open.source, "place is free");
            open.finished.cancel();
        }
        report_queue_metrics(&state.queue);
        drop(state);
        self.scheduler.queue_changed.notify_one();
    }
}

/// The job's spec with the token of the button that was pressed; `None` if it was not a command.
fn with_interaction_token(job: &Job, by: u64, fresh: &str) -> Option<JobSpec> {
    let mut order: JobSpec = serde_json::from_str(&job.details.payload).ok()?;
    let ReplyTarget::Command {
        token,
        button_interaction: pressed,
        ..
    } = &mut order.reply_target
    else {
        return None;
    };
    fresh.clone_into(token);
    *pressed = Some(by);
    Some(order)
}

fn not_admitted(verdict: AdmissionDecision) -> SubmitError {
    counter!("talkback_refused_total", "why" => "rules").increment(1);
    SubmitError::NotAdmitted(verdict)
}

fn report_queue_metrics(queue: &FairQueue) {
    let count = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
    gauge!("talkback_queue_waiting").set(count(queue.waiting_count()));
    gauge!("talkback_queue_running").set(count(queue.running_count()));
}
