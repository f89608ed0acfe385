//! The steps that produce a job's outcome: transcribe each recording, then ask the model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};

use super::{JobRunner, MAX_ATTEMPTS, saved_transcripts};
use crate::chat::FinishReason;
use crate::flow::admission::{
    AllowedEngines, CallCost, Payer, Permit, PermitRequest, Reservation, Settlement,
};
use crate::flow::frontend::{DeliveryError, JobFailure, JobOutcome, JobReply};
use crate::flow::guild_settings::{GuildSettings, MAX_KEY_TERMS};
use crate::flow::job_spec::{Attachment, JobSpec, OutputKind, RecordingTranscript};
use crate::flow::usage_rules::{AdmissionDecision, CapScope};
use crate::flow::{AnswerText, Pipeline, PipelineError, Reply};
use crate::millis::to_millis;
use crate::speech::Hints;
use crate::store::{Job, StoreError, UsageAccount};

/// Attempts before a job is given up once its result is complete and only delivery is left.
const MAX_DELIVERY_ATTEMPTS: u32 = 100;

/// Why a recording was not transcribed.
enum RecordingError {
    Failed(JobFailure),
    /// The reply can't be posted, so nobody would see the result.
    Undeliverable(DeliveryError),
}

impl JobRunner {
    /// Does everything up to the outcome, without delivering it.
    pub(super) async fn produce_outcome(
        &self,
        job: &Job,
        spec: &JobSpec,
        reservation: Option<&Reservation>,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Result<JobOutcome, DeliveryError>, StoreError> {
        let mut transcripts = saved_transcripts(job);
        reply.show_saved_transcripts(&transcripts);
        let failed = |transcripts, failure: JobFailure| {
            tracing::warn!(
                job = job.id.0,
                error = &failure as &dyn std::error::Error,
                "job failed"
            );
            Ok(Ok(JobOutcome::Failed {
                transcripts,
                failure,
            }))
        };
        let max_attempts = match is_ready_to_deliver(job, spec) {
            true => MAX_DELIVERY_ATTEMPTS,
            false => MAX_ATTEMPTS,
        };
        if job.attempts > max_attempts {
            return failed(transcripts, JobFailure::TooManyAttempts(job.attempts - 1));
        }
        let settings = GuildSettings::load(&self.store, job.details.guild).await?;
        // If a cap left only local engines for a recording, they write the answer too.
        let mut allowed_engines = AllowedEngines::All;
        while let Some(recording) = spec.recordings.get(transcripts.len()) {
            let started = Instant::now();
            let rest = spec.untranscribed_duration(transcripts.len() + 1);
            let transcribed = self
                .transcribe_attachment(job, spec, recording, (reservation, rest), &settings, reply)
                .await?;
            histogram!("talkback_stage_seconds", "stage" => "hear").record(started.elapsed());
            let (transcript, settlement, engines) = match transcribed {
                Ok(transcribed) => transcribed,
                Err(RecordingError::Failed(failure)) => return failed(transcripts, failure),
                Err(RecordingError::Undeliverable(error)) => return Ok(Err(error)),
            };
            if engines == AllowedEngines::LocalOnly {
                allowed_engines = engines;
            }
            transcripts.push(transcript);
            let text = serde_json::to_string(&transcripts).map_err(|_| StoreError::Damaged)?;
            self.store
                .save_transcript(job.id, &text, settlement.entry())
                .await?;
            settlement.mark_written();
            reply.show_saved_transcripts(&transcripts);
        }
        if let OutputKind::Transcript(_) = spec.output {
            return Ok(Ok(JobOutcome::Transcribed { transcripts }));
        }
        if let Some(answer) = &job.answer {
            return Ok(Ok(JobOutcome::Answered {
                transcripts,
                answer: AnswerText(answer.clone()),
                end_reason: FinishReason::Complete,
                model_notice: self.pipeline.chat.card().notice,
            }));
        }
        let started = Instant::now();
        let progress: Arc<dyn Reply> = Arc::clone(reply) as _;
        let (permit, pipeline, answered) = loop {
            let (turns, history_grants) = self.build_model_turns(job, spec, &transcripts).await?;
            let request = PermitRequest {
                payer: payer_of_job(job),
                account: usage_account(job),
                cost: self
                    .pipeline
                    .chat
                    .max_cost(&self.pipeline.conversation(turns.clone())),
                reservation: None,
                allowed_engines,
            };
            if let Err(error) = reply.wait_until_posted().await {
                return Ok(Err(error));
            }
            let permit = match self.admission.admit(&request).await? {
                Ok(permit) => permit,
                Err(decision) => return failed(transcripts, JobFailure::NotAdmitted(decision)),
            };
            let pipeline = match self.pipeline_for_permit(&permit, &settings, &**reply) {
                Ok(pipeline) => pipeline,
                Err(failure) => return failed(transcripts, failure),
            };
            let answer = pipeline.answer(&permit, turns, &progress);
            // Other speakers may withdraw consent while the model answers. The question is then
            // asked again without their turns; this ends, as each round has fewer of them.
            match history_grants.unless_withdrawn(answer).await {
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
                let settlement = permit.into_settlement();
                self.store
                    .save_answer(job.id, text, settlement.entry())
                    .await?;
                settlement.mark_written();
                Ok(Ok(JobOutcome::Answered {
                    transcripts,
                    answer: answered.text,
                    end_reason: answered.end.reason,
                    model_notice: pipeline.chat.card().notice,
                }))
            }
            Err(failure) => {
                permit.settle().await;
                counter!("talkback_provider_errors_total", "stage" => "answer").increment(1);
                failed(transcripts, failure.into())
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
        spec: &JobSpec,
        recording: &Attachment,
        (reservation, rest): (Option<&Reservation>, Duration),
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
        let progress: Arc<dyn Reply> = Arc::clone(reply) as _;
        // Only now is the real duration known, whatever was announced.
        let decoded = match pipeline.decode(fetched, &pipeline.hints, &progress).await {
            Ok(decoded) => decoded,
            Err(failure) => return Ok(Err(RecordingError::Failed(failure.into()))),
        };
        if let Err(error) = reply.wait_until_posted().await {
            return Ok(Err(RecordingError::Undeliverable(error)));
        }
        let request = PermitRequest {
            payer: payer_of_job(job),
            account: usage_account(job),
            cost: CallCost::Speech(decoded.duration()),
            reservation: reservation.map(|reservation| (reservation, rest)),
            allowed_engines: AllowedEngines::All,
        };
        let permit = match self.admission.admit(&request).await? {
            Ok(permit) => permit,
            Err(decision) => {
                return Ok(Err(RecordingError::Failed(JobFailure::NotAdmitted(
                    decision,
                ))));
            }
        };
        let pipeline = match self.pipeline_for_permit(&permit, settings, &**reply) {
            Ok(pipeline) => pipeline,
            Err(failure) => return Ok(Err(RecordingError::Failed(failure))),
        };
        let mut hints = Hints {
            word_timestamps: matches!(spec.output, OutputKind::Transcript(_)),
            ..pipeline.hints.clone()
        };
        if !settings.languages.is_empty() {
            hints.languages.clone_from(&settings.languages);
        }
        if !settings.key_terms.is_empty() {
            hints.key_terms = [settings.key_terms.as_slice(), &hints.key_terms].concat();
            hints.key_terms.truncate(MAX_KEY_TERMS);
        }
        let transcribed = match pipeline
            .transcribe(&permit, decoded, &hints, &progress)
            .await
        {
            Ok(transcribed) => transcribed,
            Err(failure) => {
                permit.settle().await;
                if let PipelineError::Speech(_) = &failure {
                    counter!("talkback_provider_errors_total", "stage" => "hear").increment(1);
                }
                return Ok(Err(RecordingError::Failed(failure.into())));
            }
        };
        let file = match spec.output {
            OutputKind::Transcript(format) => {
                Some((format, format.render(&transcribed.transcript)))
            }
            OutputKind::Answer => None,
        };
        let transcript = RecordingTranscript {
            name: recording.name.clone(),
            text: transcribed.transcript.text.trim().to_owned(),
            millis: to_millis(transcribed.duration),
            file,
        };
        let engines = permit.engines();
        Ok(Ok((transcript, permit.into_settlement(), engines)))
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
fn is_ready_to_deliver(job: &Job, spec: &JobSpec) -> bool {
    match spec.output {
        OutputKind::Answer => job.answer.is_some(),
        OutputKind::Transcript(_) => saved_transcripts(job).len() >= spec.recordings.len(),
    }
}

fn usage_account(job: &Job) -> UsageAccount {
    UsageAccount::Job {
        job: job.id,
        generation: job.generation,
    }
}
