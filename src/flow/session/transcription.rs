//! An utterance is written down.

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

/// Utterances of one session that are with a provider at once.
const MAX_CONCURRENT_REQUESTS: usize = 6;

/// An utterance whose words are to come.
pub(super) struct PendingUtterance {
    pub(super) ticket: Ticket,
    pub(super) times: UtteranceTimes,
    pub(super) utterance: PersonalData<Utterance>,
}

/// When something was said, and how much of it there is to be heard.
#[derive(Clone, Copy)]
pub(super) struct UtteranceTimes {
    pub(super) start: Duration,
    /// Where the speech ends.
    pub(super) end: Duration,
    /// How long it was with the silence around it, to be booked.
    billed_length: Duration,
    /// How much of it was speech.
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

    /// Of something that is no utterance.
    pub(super) fn between(start: Duration, end: Duration) -> Self {
        Self {
            start,
            end,
            billed_length: end.saturating_sub(start),
            speech_length: Duration::ZERO,
        }
    }
}

/// What came of an utterance.
pub(super) struct TranscribedUtterance {
    pub(super) ticket: Ticket,
    pub(super) times: UtteranceTimes,
    pub(super) outcome: PersonalData<TranscriptionOutcome>,
}

impl PendingUtterance {
    /// With what the live transcriber has understood.
    pub(super) fn with_live_transcript(&self, transcript: &Transcript) -> TranscribedUtterance {
        let words = filter_transcript(transcript, self.times.speech_length);
        TranscribedUtterance {
            ticket: self.ticket,
            times: self.times,
            outcome: self.utterance.grant().wrap(words),
        }
    }
}

/// What was understood.
pub(super) enum TranscriptionOutcome {
    /// This was said.
    Text { text: String },
    /// Nothing was said, in spite of what the recognizer may think.
    NoSpeech,
    /// Nobody could write it down.
    Failed(SpeechError),
    /// A cap is reached.
    CapReached(AdmissionDecision),
    /// The ledger fails.
    StoreFailed(StoreError),
    /// Whose it is wants it no longer heard.
    Withdrawn,
}

/// Has utterances written down, a few at a time.
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

    /// The words of an utterance. Whoever takes it back ends this at once: what waits for a place
    /// is not sent, and what is being sent stops.
    ///
    /// What was uploaded while it was spoken is awaited from there, and given to a transcriber whole
    /// only where that fails.
    pub(super) async fn transcribe_utterance(
        self,
        awaited: PendingUtterance,
        briefing: RecognitionContext,
        upload: Option<PaidUpload>,
    ) -> TranscribedUtterance {
        let PendingUtterance {
            ticket,
            times,
            utterance,
        } = awaited;
        let stamp = utterance.grant().clone();
        let work = async {
            match finish_upload(times, upload).await {
                Some(words) => words,
                None => self.request_transcript(times, utterance, &briefing).await,
            }
        };
        let words = stamp.unless_withdrawn(work).await;
        TranscribedUtterance {
            ticket,
            times,
            outcome: stamp.wrap(words.unwrap_or(TranscriptionOutcome::Withdrawn)),
        }
    }

    async fn request_transcript(
        &self,
        times: UtteranceTimes,
        utterance: PersonalData<Utterance>,
        briefing: &RecognitionContext,
    ) -> TranscriptionOutcome {
        let Ok(_place) = self.concurrency.acquire().await else {
            return TranscriptionOutcome::Withdrawn;
        };
        let person = utterance.grant().person();
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
                Ok(Err(verdict)) => return TranscriptionOutcome::CapReached(verdict),
                Err(error) => return TranscriptionOutcome::StoreFailed(error),
            };
            let workshop = self.scheduler.runner();
            let transcriber = match (permit.engines(), &workshop.local_pipeline) {
                (AllowedEngines::LocalOnly, Some(local)) => &local.transcriber,
                _ => &workshop.pipeline.transcriber,
            };
            // Others may take back their names and words while this one is heard: then it is heard
            // anew without them. Each time there are fewer of them.
            let (hints, others) = briefing.permitted_hints();
            let written = transcriber.transcribe(&permit, &clip, &hints, &());
            let written = others.unless_withdrawn(written).await;
            // Not waited for: the words are.
            drop(permit);
            match written {
                Some(Ok(transcript)) => return filter_transcript(&transcript, times.speech_length),
                Some(Err(error)) => return TranscriptionOutcome::Failed(error),
                None => {}
            }
        }
    }

    /// The right to upload the beginning of what somebody says, if they may be paid for today.
    pub(super) async fn permit_for_upload(&self, person: u64) -> Option<Permit> {
        match self
            .request_permit(person, CallCost::Speech(UPLOAD_SLICE))
            .await
        {
            // The engines of this machine hear what is whole.
            Ok(Ok(permit)) => Some(permit).filter(|it| it.engines() == AllowedEngines::All),
            // Whoever writes the utterance down meets the same, and says so.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// The right to listen to somebody while they speak, if they may be paid for today.
    pub(super) async fn permit_for_live_stream(&self, person: u64) -> Option<Permit> {
        match self
            .request_permit(person, CallCost::Stream(STREAM_SLICE))
            .await
        {
            // The engines of this machine do not listen along.
            Ok(Ok(permit)) => Some(permit).filter(|it| it.engines() == AllowedEngines::All),
            // Whoever writes the utterance down meets the same, and says so.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Whose caps count for what somebody says here, and what it is booked to.
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
        let ask = PermitRequest {
            payer,
            account,
            cost,
            reservation: None,
            allowed_engines: AllowedEngines::All,
        };
        self.scheduler.runner().admission.admit(&ask).await
    }
}

/// The words of what was uploaded while it was spoken.
async fn finish_upload(
    times: UtteranceTimes,
    upload: Option<PaidUpload>,
) -> Option<TranscriptionOutcome> {
    match upload?.finish(&()).await {
        Ok(transcript) => Some(filter_transcript(&transcript, times.speech_length)),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "an upload failed, and the whole is sent"
            );
            None
        }
    }
}

/// Words for which there is enough evidence.
pub(super) fn filter_transcript(transcript: &Transcript, speech: Duration) -> TranscriptionOutcome {
    let text = transcript.text.trim();
    if hallucination_filter::is_plausible_speech(text, speech) {
        let text = text.to_owned();
        return TranscriptionOutcome::Text { text };
    }
    if !text.is_empty() {
        tracing::debug!(?speech, bytes = text.len(), "words without speech dropped");
    }
    TranscriptionOutcome::NoSpeech
}
