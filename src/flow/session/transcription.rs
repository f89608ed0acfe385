//! Transcribes one utterance, within the caps and with consent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::recognition_context::RecognitionContext;
use super::reorder_buffer::Ticket;
use crate::flow::admission::{AllowedEngines, CallCost, Payer, Permit, PermitRequest};
use crate::flow::consent::PersonalData;
use crate::flow::hallucination_filter;
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::paid_providers::STREAM_SLICE;
use crate::flow::paid_upload::{PaidUpload, UPLOAD_SLICE};
use crate::flow::usage_rules::AdmissionDecision;
use crate::speech::{SpeechError, Transcript};
use crate::store::{SessionId, StoreError, UsageAccount};
use audio::Utterance;

/// Requests of one session that are with the provider at once.
const MAX_CONCURRENT_REQUESTS: usize = 6;

/// An utterance that waits for its transcript.
pub(super) struct PendingUtterance {
    pub(super) ticket: Ticket,
    pub(super) times: UtteranceTimes,
    pub(super) utterance: PersonalData<Utterance>,
}

/// When something was said, and how much of it was speech.
#[derive(Clone, Copy)]
pub(super) struct UtteranceTimes {
    pub(super) start: Duration,
    /// End of the speech, without trailing silence.
    pub(super) end: Duration,
    /// Length including leading and trailing silence: what the provider bills.
    billed_length: Duration,
    /// Length of voiced audio.
    speech_length: Duration,
}

impl UtteranceTimes {
    pub(super) fn of_utterance(utterance: &Utterance) -> Self {
        Self {
            start: utterance.start,
            end: utterance.speech_end(),
            billed_length: utterance.end().saturating_sub(utterance.start),
            speech_length: utterance.speech,
        }
    }

    /// Times of a line that is not an utterance, such as lost audio.
    pub(super) fn between(start: Duration, end: Duration) -> Self {
        Self {
            start,
            end,
            billed_length: end.saturating_sub(start),
            speech_length: Duration::ZERO,
        }
    }
}

/// The result for an utterance.
pub(super) struct TranscribedUtterance {
    pub(super) ticket: Ticket,
    pub(super) times: UtteranceTimes,
    pub(super) outcome: PersonalData<TranscriptionOutcome>,
}

impl PendingUtterance {
    /// The result, given the live transcriber's transcript.
    pub(super) fn with_live_transcript(&self, transcript: &Transcript) -> TranscribedUtterance {
        let outcome = filter_transcript(transcript, self.times.speech_length);
        TranscribedUtterance {
            ticket: self.ticket,
            times: self.times,
            outcome: self.utterance.grant().wrap(outcome),
        }
    }
}

/// How a transcription ended.
pub(super) enum TranscriptionOutcome {
    /// The transcript.
    Text { text: String },
    /// No speech, or a transcript that was rejected as a hallucination.
    NoSpeech,
    /// The provider failed.
    Failed(SpeechError),
    /// A usage cap does not allow the request.
    CapReached(AdmissionDecision),
    /// The ledger failed.
    StoreFailed(StoreError),
    /// The speaker withdrew consent.
    Withdrawn,
}

/// Transcribes utterances with limited concurrency.
#[derive(Clone)]
pub(super) struct UtteranceTranscriber {
    scheduler: Arc<JobScheduler>,
    session: SessionId,
    guild: u64,
    concurrency: Arc<Semaphore>,
}

impl UtteranceTranscriber {
    pub(super) fn new(scheduler: Arc<JobScheduler>, session: SessionId, guild: u64) -> Self {
        Self {
            scheduler,
            session,
            guild,
            concurrency: Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS)),
        }
    }

    /// Transcribes an utterance. Stops at once if the speaker withdraws consent: a queued request
    /// is not sent, and one in progress is cancelled.
    ///
    /// If the audio was uploaded during speech, the upload's result is used; if that fails, the
    /// whole utterance is sent.
    pub(super) async fn transcribe_utterance(
        self,
        pending: PendingUtterance,
        context: RecognitionContext,
        upload: Option<PaidUpload>,
    ) -> TranscribedUtterance {
        let PendingUtterance {
            ticket,
            times,
            utterance,
        } = pending;
        let grant = utterance.grant().clone();
        let work = async {
            match finish_upload(times, upload).await {
                Some(outcome) => outcome,
                None => self.request_transcript(times, utterance, &context).await,
            }
        };
        let outcome = grant.unless_withdrawn(work).await;
        TranscribedUtterance {
            ticket,
            times,
            outcome: grant.wrap(outcome.unwrap_or(TranscriptionOutcome::Withdrawn)),
        }
    }

    async fn request_transcript(
        &self,
        times: UtteranceTimes,
        utterance: PersonalData<Utterance>,
        context: &RecognitionContext,
    ) -> TranscriptionOutcome {
        let Ok(_place) = self.concurrency.acquire().await else {
            return TranscriptionOutcome::Withdrawn;
        };
        let person = utterance.grant().user_id();
        let Some(utterance) = utterance.into_inner() else {
            return TranscriptionOutcome::Withdrawn;
        };
        let clip = utterance.into_clip();
        loop {
            let permit = match self
                .request_permit(person, CallCost::Speech(times.billed_length))
                .await
            {
                Ok(Ok(permit)) => permit,
                Ok(Err(decision)) => return TranscriptionOutcome::CapReached(decision),
                Err(error) => return TranscriptionOutcome::StoreFailed(error),
            };
            let runner = self.scheduler.runner();
            let transcriber = match (permit.engines(), &runner.local_pipeline) {
                (AllowedEngines::LocalOnly, Some(local)) => &local.transcriber,
                _ => &runner.pipeline.transcriber,
            };
            // If somebody else withdraws consent to their names or lines during the request, repeat
            // it without them. This ends: each time there are fewer hints.
            let (hints, hint_grants) = context.permitted_hints();
            let request = transcriber.transcribe(&permit, &clip, &hints, &());
            let result = hint_grants.unless_withdrawn(request).await;
            // The remaining cost is settled in the background; don't delay the transcript.
            drop(permit);
            match result {
                Some(Ok(transcript)) => return filter_transcript(&transcript, times.speech_length),
                Some(Err(error)) => return TranscriptionOutcome::Failed(error),
                None => {}
            }
        }
    }

    /// A permit to upload audio during speech, if the user's caps allow it.
    pub(super) async fn permit_for_upload(&self, person: u64) -> Option<Permit> {
        match self
            .request_permit(person, CallCost::Speech(UPLOAD_SLICE))
            .await
        {
            // Local engines take only complete utterances.
            Ok(Ok(permit)) => Some(permit).filter(|it| it.engines() == AllowedEngines::All),
            // Transcribing the utterance fails in the same way, and reports it.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// A permit for live transcription, if the user's caps allow it.
    pub(super) async fn permit_for_live_stream(&self, person: u64) -> Option<Permit> {
        match self
            .request_permit(person, CallCost::Stream(STREAM_SLICE))
            .await
        {
            // Local engines have no live transcription.
            Ok(Ok(permit)) => Some(permit).filter(|it| it.engines() == AllowedEngines::All),
            // Transcribing the utterance fails in the same way, and reports it.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Whose caps apply to this user's speech, and which account is charged.
    pub(super) fn billing_for(&self, person: u64) -> (Payer, UsageAccount) {
        let payer = Payer {
            guild: Some(self.guild),
            author: person,
        };
        (payer, UsageAccount::Session(self.session))
    }

    async fn request_permit(
        &self,
        person: u64,
        cost: CallCost,
    ) -> Result<Result<Permit, AdmissionDecision>, StoreError> {
        let (payer, account) = self.billing_for(person);
        let request = PermitRequest {
            payer,
            account,
            cost,
            reservation: None,
            allowed_engines: AllowedEngines::All,
        };
        self.scheduler.runner().admission.admit(&request).await
    }
}

/// Waits for the transcript of an upload. `None` if there is no upload or it failed.
async fn finish_upload(
    times: UtteranceTimes,
    upload: Option<PaidUpload>,
) -> Option<TranscriptionOutcome> {
    match upload?.finish(&()).await {
        Ok(transcript) => Some(filter_transcript(&transcript, times.speech_length)),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "an upload failed, so the whole utterance is sent"
            );
            None
        }
    }
}

/// Accepts a transcript only if it is plausible for the amount of voiced audio.
pub(super) fn filter_transcript(transcript: &Transcript, speech: Duration) -> TranscriptionOutcome {
    let text = transcript.text.trim();
    if hallucination_filter::is_plausible_speech(text, speech) {
        let text = text.to_owned();
        return TranscriptionOutcome::Text { text };
    }
    if !text.is_empty() {
        tracing::debug!(
            ?speech,
            bytes = text.len(),
            "rejected a transcript without enough speech"
        );
    }
    TranscriptionOutcome::NoSpeech
}
