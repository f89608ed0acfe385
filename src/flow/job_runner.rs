//! Runs one job from start to finish. Each step that costs money is saved to the ledger as soon as
//! it is done, so that a restart does not pay for it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};

use super::admission::{
    Admission, AllowedEngines, CallCost, Payer, Permit, PermitRequest, Reservation, Settlement,
};
use super::consent::{ConsentGrants, ConsentRegistry, GuildConsents, PersonalData};
use super::conversation_history::{self, ConversationRef, HistoryLimits, UserMessage};
use super::frontend::{DeliveryError, Frontend, JobFailure, JobOutcome, JobReply};
use super::guild_settings::GuildSettings;
use super::job_spec::{JobSpec, OutputKind, RecordingTranscript, ReplyTarget};
use super::poison_jobs::PoisonJobIsolator;
use super::usage_rules::{AdmissionDecision, CapScope};
use super::{AnswerText, Pipeline, PipelineError, Reply, user_turn};
use crate::chat::{FinishReason, TokenUsage};
use crate::speech::Hints;
use crate::store::{self, Job, JobId, JobState, Store, StoreError, TurnRole, UsageAccount};

/// Attempts before a job is given up: a job that kills the process must not do so forever.
pub const MAX_ATTEMPTS: u32 = 10;

/// The same once the result is complete and only its delivery is left.
const MAX_DELIVERY_ATTEMPTS: u32 = 100;

/// Attempts before a job that panics is given up.
const MAX_PANIC_ATTEMPTS: u32 = 2;

/// How long delivery of an outcome is retried. Discord outages are shorter.
const MAX_DELIVERY_AGE: Duration = Duration::from_secs(24 * 3_600);

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

/// Why a recording was not transcribed.
enum RecordingError {
    Failed(JobFailure),
    /// The reply can't be posted, so nobody would see the result.
    Undeliverable(DeliveryError),
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
        fresh: bool,
        hold: Option<&Reservation>,
        leave: &ConsentGrants,
        stopped: impl Future<Output = StopReason>,
    ) -> Result<RunOutcome, StoreError> {
        let Some(job) = self.store.job(job).await? else {
            return Ok(RunOutcome::Finished);
        };
        if job.state != JobState::Waiting {
            return Ok(RunOutcome::Finished);
        }
        let Ok(order) = serde_json::from_str::<JobSpec>(&job.details.payload) else {
            self.fail_unreadable(job.id).await?;
            return Ok(RunOutcome::Finished);
        };
        // The first message is sent before the attempt is counted, and before anything else.
        let replying = self.frontend.open_reply(&job, &order, fresh);
        let Some(reply) = leave.unless_withdrawn(replying).await else {
            self.store.forget_source(job.details.source).await?;
            return Ok(RunOutcome::Finished);
        };
        let reply = reply?;
        let (begun, delivering) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut whole = Box::pin(async {
            let mut job = job.clone();
            let _alone = self.poison_jobs.isolate(&job).await;
            job.attempts = self.store.count_attempt(job.id).await?;
            begun.store(true, Ordering::Relaxed);
            let worked = tokio::select! {
                biased;
                why = reply.wait_until_lost() => Err(DeliveryError::TargetGone(why)),
                worked = self.produce_outcome(&job, &order, hold, &reply) => worked?,
            };
            delivering.store(true, Ordering::Relaxed);
            match worked {
                Ok(outcome) => {
                    self.deliver_and_finish(&job, &order, &outcome, &*reply)
                        .await
                }
                // Don't pay for what nobody would see, but tell the user where that is possible.
                Err(DeliveryError::TargetGone(why)) => {
                    tracing::warn!(job = job.id.0, %why, "there is no place for the answer");
                    let outcome = JobOutcome::Failed {
                        transcripts: saved_transcripts(&job),
                        failure: JobFailure::Undeliverable,
                    };
                    self.deliver_and_finish(&job, &order, &outcome, &*reply)
                        .await
                }
                Err(error) => self.record_delivery(&job, &order, None, Err(error)).await,
            }
        });
        tokio::pin!(stopped);
        let stop = tokio::select! {
            biased;
            stop = &mut stopped => stop,
            run = &mut whole => {
                reply.stop_updates().await;
                return run;
            }
        };
        // The finished answer is the better end.
        if stop == StopReason::ReplyExpiring && delivering.load(Ordering::Relaxed) {
            let run = whole.await;
            reply.stop_updates().await;
            return run;
        }
        // A future that is no longer polled must not keep its place in a lock queue.
        drop(whole);
        reply.stop_updates().await;
        match stop {
            // A shutdown is not the job's fault: don't count the attempt.
            StopReason::ShuttingDown if begun.load(Ordering::Relaxed) => {
                self.store.uncount_attempt(job.id).await?
            }
            StopReason::ShuttingDown => {}
            StopReason::ConsentWithdrawn => {
                reply.delete_messages().await;
                self.store.forget_source(job.details.source).await?;
            }
            StopReason::Withdrawn => {
                if let Err(error) = reply.reconcile_sends().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(job = job.id.0, error, "a message may be left");
                }
            }
            StopReason::Superseded | StopReason::ReplyExpiring => {
                self.finish_stopped(&job, &*reply, stop).await?
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

    /// Ends a job that is not running, and tells the user why.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read or written.
    pub async fn end_idle_job(
        &self,
        id: JobId,
        fresh: bool,
        stop: StopReason,
    ) -> Result<(), StoreError> {
        let Some((job, order)) = self.load_waiting_job(id).await? else {
            return Ok(());
        };
        let reply = self.frontend.open_reply(&job, &order, fresh).await?;
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
        let Some((job, order)) = self.load_waiting_job(id).await? else {
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
        let reply = self.frontend.open_reply(&job, &order, false).await?;
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
        tracing::error!(job = id.0, "the order can't be read");
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
        let order = JobSpec {
            output: OutputKind::Answer,
            requester_name: String::new(),
            recordings: Vec::new(),
            question: None,
            conversation: ConversationRef::New,
            referenced: None,
            reply_target: ReplyTarget::Message,
        };
        let reply = self.frontend.open_reply(&job, &order, false).await?;
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
        if let Some((job, order)) = self.load_waiting_job(id).await? {
            self.frontend.delete_reply(&job, &order).await;
        }
        Ok(())
    }

    async fn load_waiting_job(&self, id: JobId) -> Result<Option<(Job, JobSpec)>, StoreError> {
        let job = self.store.job(id).await?;
        let job = job.filter(|job| job.state == JobState::Waiting);
        Ok(job.and_then(|job| {
            let order = serde_json::from_str(&job.details.payload).ok()?;
            Some((job, order))
        }))
    }

    /// Ends a stopped job; the part of the answer that is already shown stays.
    async fn finish_stopped(
        &self,
        job: &Job,
        reply: &dyn JobReply,
        stop: StopReason,
    ) -> Result<(), StoreError> {
        let (outcome, state, label) = match stop {
            StopReason::ReplyExpiring => {
                let failure = JobFailure::ReplyExpiring;
                let notes = saved_transcripts(job);
                let outcome = JobOutcome::Failed {
                    transcripts: notes,
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
            tracing::warn!(job = job.id.0, error, "an end is not shown");
        }
    }

    /// Does everything up to the outcome, without delivering it.
    async fn produce_outcome(
        &self,
        job: &Job,
        order: &JobSpec,
        hold: Option<&Reservation>,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Result<JobOutcome, DeliveryError>, StoreError> {
        let mut notes = saved_transcripts(job);
        reply.show_saved_transcripts(&notes);
        let failed = |notes, failure: JobFailure| {
            tracing::warn!(
                job = job.id.0,
                error = &failure as &dyn std::error::Error,
                "no result"
            );
            Ok(Ok(JobOutcome::Failed {
                transcripts: notes,
                failure,
            }))
        };
        let most = match is_ready_to_deliver(job, order) {
            true => MAX_DELIVERY_ATTEMPTS,
            false => MAX_ATTEMPTS,
        };
        if job.attempts > most {
            return failed(notes, JobFailure::TooManyAttempts(job.attempts - 1));
        }
        let settings = GuildSettings::load(&self.store, job.details.guild).await?;
        // If a cap left only local engines for a recording, they write the answer too.
        let mut at_most = AllowedEngines::All;
        while let Some(recording) = order.recordings.get(notes.len()) {
            let started = Instant::now();
            let rest = order.untranscribed_duration(notes.len() + 1);
            let heard = self
                .transcribe_attachment(job, order, recording, (hold, rest), &settings, reply)
                .await?;
            histogram!("talkback_stage_seconds", "stage" => "hear").record(started.elapsed());
            let (note, paid, engines) = match heard {
                Ok(heard) => heard,
                Err(RecordingError::Failed(failure)) => return failed(notes, failure),
                Err(RecordingError::Undeliverable(error)) => return Ok(Err(error)),
            };
            if engines == AllowedEngines::LocalOnly {
                at_most = engines;
            }
            notes.push(note);
            let text = serde_json::to_string(&notes).map_err(|_| StoreError::Damaged)?;
            self.store
                .save_transcript(job.id, &text, paid.entry())
                .await?;
            paid.mark_written();
            reply.show_saved_transcripts(&notes);
        }
        if let OutputKind::Transcript(_) = order.output {
            return Ok(Ok(JobOutcome::Transcribed { transcripts: notes }));
        }
        if let Some(answer) = &job.answer {
            return Ok(Ok(JobOutcome::Answered {
                transcripts: notes,
                answer: AnswerText(answer.clone()),
                end: FinishReason::Complete,
                model_notice: self.pipeline.chat.card().notice,
            }));
        }
        let started = Instant::now();
        let shown: Arc<dyn Reply> = Arc::clone(reply) as _;
        let (permit, pipeline, answered) = loop {
            let (turns, others) = self.build_model_turns(job, order, &notes).await?;
            let ask = PermitRequest {
                payer: payer_of_job(job),
                account: usage_account(job),
                cost: self
                    .pipeline
                    .chat
                    .max_cost(&self.pipeline.conversation(turns.clone())),
                reservation: None,
                allowed_engines: at_most,
            };
            if let Err(error) = reply.wait_until_posted().await {
                return Ok(Err(error));
            }
            let permit = match self.admission.admit(&ask).await? {
                Ok(permit) => permit,
                Err(verdict) => return failed(notes, JobFailure::NotAdmitted(verdict)),
            };
            let pipeline = match self.pipeline_for_permit(&permit, &settings, &**reply) {
                Ok(pipeline) => pipeline,
                Err(failure) => return failed(notes, failure),
            };
            let answer = pipeline.answer(&permit, turns, &shown);
            // Other speakers may withdraw consent while the model answers. The question is then
            // asked again without their turns; this ends, as each round has fewer of them.
            match others.unless_withdrawn(answer).await {
                Some(answered) => break (permit, pipeline, answered),
                None => {
                    permit.settle().await;
                    reply.restart_answer();
                }
            }
        };
        histogram!("talkback_stage_seconds", "stage" => "answer").record(started.elapsed());
        match answered {
            Ok(answered) => {
                let text = &answered.text.0;
                let paid = permit.into_settlement();
                self.store.save_answer(job.id, text, paid.entry()).await?;
                paid.mark_written();
                Ok(Ok(JobOutcome::Answered {
                    transcripts: notes,
                    answer: answered.text,
                    end: answered.end.reason,
                    model_notice: pipeline.chat.card().notice,
                }))
            }
            Err(failure) => {
                permit.settle().await;
                counter!("talkback_provider_errors_total", "stage" => "answer").increment(1);
                failed(notes, failure.into())
            }
        }
    }

    /// The pipeline that the permit allows, with the guild's prompt. Tells the user if only local
    /// engines are allowed.
    fn pipeline_for_permit(
        &self,
        permit: &Permit,
        settings: &GuildSettings,
        reply: &dyn JobReply,
    ) -> Result<Pipeline, JobFailure> {
        let mut pipeline = match (permit.engines(), &self.local_pipeline) {
            (AllowedEngines::All, _) => self.pipeline.clone(),
            (AllowedEngines::LocalOnly, Some(local)) => {
                reply.notify_local_engines();
                local.clone()
            }
            (AllowedEngines::LocalOnly, None) => {
                return Err(JobFailure::NotAdmitted(AdmissionDecision::CapReached(
                    CapScope::Global,
                )));
            }
        };
        if let Some(prompt) = &settings.prompt {
            pipeline.system_prompt.clone_from(prompt);
        }
        Ok(pipeline)
    }

    /// Fetches and transcribes one recording. Returns the transcript, the usage to record with it,
    /// and the engines that did it.
    async fn transcribe_attachment(
        &self,
        job: &Job,
        order: &JobSpec,
        recording: &super::job_spec::Attachment,
        (hold, rest): (Option<&Reservation>, Duration),
        settings: &GuildSettings,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Result<(RecordingTranscript, Settlement, AllowedEngines), RecordingError>, StoreError>
    {
        let rules = settings.apply_to_rules(*self.admission.rules());
        let mut pipeline = self.pipeline.clone();
        pipeline.limits.max_duration = pipeline.limits.max_duration.min(rules.max_duration);
        let limit = pipeline.limits.bytes;
        let fetched = match self.frontend.fetch_recording(job, recording, limit).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(RecordingError::Failed(error.into()))),
        };
        let shown: Arc<dyn Reply> = Arc::clone(reply) as _;
        // Only now is the real duration known, whatever was announced.
        let decoded = match pipeline.decode(fetched, &pipeline.hints, &shown).await {
            Ok(decoded) => decoded,
            Err(failure) => return Ok(Err(RecordingError::Failed(failure.into()))),
        };
        if let Err(error) = reply.wait_until_posted().await {
            return Ok(Err(RecordingError::Undeliverable(error)));
        }
        let ask = PermitRequest {
            payer: payer_of_job(job),
            account: usage_account(job),
            cost: CallCost::Speech(decoded.duration()),
            reservation: hold.map(|hold| (hold, rest)),
            allowed_engines: AllowedEngines::All,
        };
        let permit = match self.admission.admit(&ask).await? {
            Ok(permit) => permit,
            Err(verdict) => {
                return Ok(Err(RecordingError::Failed(JobFailure::NotAdmitted(
                    verdict,
                ))));
            }
        };
        let pipeline = match self.pipeline_for_permit(&permit, settings, &**reply) {
            Ok(pipeline) => pipeline,
            Err(failure) => return Ok(Err(RecordingError::Failed(failure))),
        };
        let mut hints = Hints {
            word_timestamps: matches!(order.output, OutputKind::Transcript(_)),
            ..pipeline.hints.clone()
        };
        if !settings.languages.is_empty() {
            hints.languages.clone_from(&settings.languages);
        }
        if !settings.key_terms.is_empty() {
            hints.key_terms = [settings.key_terms.as_slice(), &hints.key_terms].concat();
            hints
                .key_terms
                .truncate(super::guild_settings::MAX_KEY_TERMS);
        }
        let heard = match pipeline.transcribe(&permit, decoded, &hints, &shown).await {
            Ok(heard) => heard,
            Err(failure) => {
                permit.settle().await;
                if let PipelineError::Speech(_) = &failure {
                    counter!("talkback_provider_errors_total", "stage" => "hear").increment(1);
                }
                return Ok(Err(RecordingError::Failed(failure.into())));
            }
        };
        let file = match order.output {
            OutputKind::Transcript(format) => Some((format, format.render(&heard.transcript))),
            OutputKind::Answer => None,
        };
        let note = RecordingTranscript {
            name: recording.name.clone(),
            text: heard.transcript.text.trim().to_owned(),
            millis: u64::try_from(heard.duration.as_millis()).unwrap_or(u64::MAX),
            file,
        };
        let engines = permit.engines();
        Ok(Ok((note, permit.into_settlement(), engines)))
    }

    /// Consents for a guild's voice sessions, from the ledger and the guild's settings. A running
    /// session may be stricter than the settings, as its posted notice says.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn load_guild_consents(&self, guild: u64) -> Result<GuildConsents, StoreError> {
        let settings = GuildSettings::load(&self.store, Some(guild)).await?;
        let book = self.consents.load_guild(&self.store, guild).await?;
        book.tighten_rule(settings.voice_consent);
        Ok(book)
    }

    /// The turns to send to the model, and the consent of the people whose earlier turns are among
    /// them.
    async fn build_model_turns(
        &self,
        job: &Job,
        order: &JobSpec,
        notes: &[RecordingTranscript],
    ) -> Result<(Vec<crate::chat::ChatTurn>, ConsentGrants), StoreError> {
        let bounds = match order.conversation {
            ConversationRef::Call { .. } => HistoryLimits::for_voice_session(),
            _ => HistoryLimits::default(),
        };
        let consents = &self.consents;
        let mut past =
            conversation_history::load_history(consents, &self.store, order.conversation, bounds)
                .await?;
        if let (ConversationRef::RepliesTo(message), true) = (order.conversation, past.is_empty()) {
            let earlier = self.frontend.fetch_earlier_turns(job, message).await;
            past = conversation_history::with_consent(consents, earlier);
        }
        let others = past.iter().map(|turn| turn.grant().clone()).collect();
        let past = past
            .into_iter()
            .filter_map(PersonalData::into_inner)
            .collect();
        let said = user_messages(job.details.author, order, notes);
        Ok((
            conversation_history::build_turns(past, said, bounds.max_tokens),
            others,
        ))
    }

    /// Delivers the outcome, saves the turns, and finishes the job.
    async fn deliver_and_finish(
        &self,
        job: &Job,
        order: &JobSpec,
        outcome: &JobOutcome,
        reply: &dyn JobReply,
    ) -> Result<RunOutcome, StoreError> {
        let started = Instant::now();
        let delivered = reply.deliver(outcome).await;
        histogram!("talkback_stage_seconds", "stage" => "deliver").record(started.elapsed());
        self.record_delivery(job, order, Some(outcome), delivered)
            .await
    }

    /// Records how the delivery went and finishes the job, unless it is to be retried. `outcome` is
    /// `None` if the reply could not be posted at all.
    async fn record_delivery(
        &self,
        job: &Job,
        order: &JobSpec,
        outcome: Option<&JobOutcome>,
        delivered: Result<Option<u64>, DeliveryError>,
    ) -> Result<RunOutcome, StoreError> {
        let now = (self.clock)();
        let paid = matches!(
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
        let first = match delivered {
            Ok(first) => first,
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
            if paid {
                self.store.uncount_attempt(job.id).await?;
            }
            return Ok(RunOutcome::RetryLater);
        };
        // Don't save turns that only the author saw: the next person to ask in a thread may be
        // someone else.
        let turns = match (first, outcome) {
            (Some(first), Some(outcome)) if !order.is_private() => {
                self.turns_to_save(job, order, outcome, first)
            }
            _ => Vec::new(),
        };
        self.store.finish_job(job.id, state, &turns, now).await?;
        let waited = (self.clock)().0 - job.created.0;
        tracing::info!(job = job.id.0, outcome = label, millis = waited, "done");
        Ok(RunOutcome::Finished)
    }

    /// Question and answer as turns, so that a reply can continue the conversation.
    fn turns_to_save(
        &self,
        job: &Job,
        order: &JobSpec,
        outcome: &JobOutcome,
        first: u64,
    ) -> Vec<store::StoredTurn> {
        let parent = match order.conversation {
            ConversationRef::RepliesTo(message) => Some(message),
            ConversationRef::New | ConversationRef::Thread(_) | ConversationRef::Call { .. } => {
                None
            }
        };
        let turn = |message, parent, role, said: UserMessage| store::StoredTurn {
            message,
            parent,
            guild: job.details.guild,
            channel: job.details.channel,
            author: said.author,
            role,
            name: said.name,
            text: said.text,
            at: (self.clock)(),
        };
        let answer = |answer: &AnswerText| UserMessage {
            author: job.details.author,
            name: String::new(),
            text: answer.0.trim().to_owned(),
        };
        let (source, author) = (job.details.source, job.details.author);
        // The question is in the request; the message it refers to comes before it.
        let asked = |notes: &[RecordingTranscript], last: u64| {
            let mut said = user_messages(author, order, notes);
            let own = said.pop().filter(|_| said.len() < 2);
            let before = order.referenced.as_ref().zip(said.pop());
            let theirs = before.map(|(from, said)| (from.message, said));
            let parent_of_own = theirs.as_ref().map(|(message, _)| *message).or(parent);
            let theirs = theirs.map(|(message, said)| turn(message, parent, TurnRole::User, said));
            let own = own.map(|said| turn(last, parent_of_own, TurnRole::User, said));
            theirs.into_iter().chain(own).collect::<Vec<_>>()
        };
        match outcome {
            JobOutcome::Failed { .. } | JobOutcome::Superseded => Vec::new(),
            // A reply to the transcript refers to the words in it.
            JobOutcome::Transcribed { transcripts: notes } => asked(notes, first),
            JobOutcome::Answered {
                transcripts: notes,
                answer: given,
                ..
            } => {
                if given.0.trim().is_empty() {
                    return Vec::new();
                }
                if let ReplyTarget::Spoken = order.reply_target {
                    // The question is already a line of the session.
                    return vec![turn(first, None, TurnRole::Assistant, answer(given))];
                }
                let mut turns = asked(notes, source);
                turns.push(turn(
                    first,
                    Some(source),
                    TurnRole::Assistant,
                    answer(given),
                ));
                turns
            }
        }
    }
}

/// The payer is the member who asked, even if somebody else pressed the button.
fn payer_of_job(job: &Job) -> Payer {
    Payer {
        guild: job.details.guild,
        author: job.details.author,
    }
}

/// Whether only delivery is left to do.
fn is_ready_to_deliver(job: &Job, order: &JobSpec) -> bool {
    match order.output {
        OutputKind::Answer => job.answer.is_some(),
        OutputKind::Transcript(_) => saved_transcripts(job).len() >= order.recordings.len(),
    }
}

fn usage_account(job: &Job) -> UsageAccount {
    UsageAccount::Job {
        job: job.id,
        generation: job.generation,
    }
}

/// The transcripts that an earlier run has saved.
pub(super) fn saved_transcripts(job: &Job) -> Vec<RecordingTranscript> {
    job.transcript
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The typed question and the transcripts as user messages, at most two: what somebody else said,
/// then the question about it.
fn user_messages(author: u64, order: &JobSpec, notes: &[RecordingTranscript]) -> Vec<UserMessage> {
    let typed = order.question.as_deref();
    let own = |text| UserMessage {
        author,
        name: order.requester_name.clone(),
        text,
    };
    let Some(borrowed) = &order.referenced else {
        return vec![own(combine_question_and_transcripts(typed, notes))];
    };
    let theirs = combine_question_and_transcripts(borrowed.text.as_deref(), notes);
    let known = borrowed.author != 0;
    let theirs = UserMessage {
        author: if known { borrowed.author } else { author },
        name: order.speaker_name().to_owned(),
        text: theirs,
    };
    [theirs]
        .into_iter()
        .filter(|said| !said.text.is_empty())
        .chain(typed.map(|typed| own(typed.to_owned())))
        .collect()
}

fn combine_question_and_transcripts(typed: Option<&str>, notes: &[RecordingTranscript]) -> String {
    match notes {
        [] => typed.unwrap_or_default().to_owned(),
        [one] => user_turn(&one.text, typed).text,
        several => {
            let all: Vec<String> = (1_usize..)
                .zip(several)
                .map(|(number, note)| format!("Recording {number}: {}", note.text))
                .collect();
            user_turn(&all.join("\n\n"), typed).text
        }
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
