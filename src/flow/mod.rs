//! What happens to a recording, from the file to the answer.
//!
//! Knows neither Discord nor a terminal: whoever asks gives a [`ChatReply`] and is told how it goes.

pub mod access;
pub mod admission;
mod chat_request;
pub mod consent;
pub mod conversation_history;
pub mod fair_queue;
pub mod frontend;
pub mod guild_settings;
pub mod hallucination_filter;
pub mod job_runner;
pub mod job_scheduler;
#[cfg(test)]
mod job_scheduler_tests;
pub mod job_spec;
pub mod paid_providers;
pub mod paid_upload;
mod pipeline_error;
pub mod poison_jobs;
mod reply;
pub mod session;
#[cfg(test)]
mod stored_format_tests;
mod streaming_feed;
pub mod usage_rules;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::chat::{AnswerEnd, ChatRole, ChatTurn, Conversation};
use crate::speech::{
    Hints, SpeechError, StreamingRecognition, Transcript, TranscriptionObserver,
    TranscriptionProgress,
};
use crate::store::UsageAccount;
use audio::{self, AudioLimits, Clip, Recording, SpeechTimes};

use self::admission::{Payer, Permit};
use self::paid_providers::{PaidModel, PaidTranscriber};
use self::paid_upload::PaidUpload;
use self::streaming_feed::{PendingUpload, StreamingFeed, UploadState};

pub use pipeline_error::PipelineError;
pub use reply::{PipelineNotice, PipelineStage, Reply};

/// Everything a recording passes through.
#[derive(Clone)]
pub struct Pipeline {
    /// What a recording may ask of us.
    pub limits: AudioLimits,
    /// Who writes it down.
    pub transcriber: PaidTranscriber,
    /// Who answers.
    pub chat: PaidModel,
    /// What helps to hear right.
    pub hints: Hints,
    /// How to answer.
    pub system_prompt: String,
    /// The longest time an answer may take, from the question to its last word.
    pub answer_timeout: Duration,
}

/// A recording that has been written down.
#[derive(Debug)]
pub struct TranscribedRecording {
    /// The words. Never empty: silence is a [`PipelineError`].
    pub transcript: Transcript,
    /// How long the recording plays.
    pub duration: Duration,
}

/// An answer that is complete.
#[derive(Debug)]
pub struct CompletedAnswer {
    /// All that was said.
    pub text: AnswerText,
    /// How it ended.
    pub end: AnswerEnd,
}

/// The words of an answer.
pub struct AnswerText(pub String);

impl std::fmt::Debug for AnswerText {
    /// Answers never reach a log: only their size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} bytes)", self.0.len())
    }
}

/// A recording that has been decoded.
pub struct DecodedRecording {
    clip: Clip,
    speech_times: SpeechTimes,
    recognition: Option<Box<dyn StreamingRecognition>>,
    upload: Option<PaidUpload>,
}

impl DecodedRecording {
    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.clip.duration()
    }
}

impl Pipeline {
    /// Decodes `recording` and writes down what is said in it.
    ///
    /// # Errors
    ///
    /// Why there are no words.
    pub async fn transcribe_recording(
        &self,
        permit: &Permit,
        recording: Recording,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<TranscribedRecording, PipelineError> {
        let decoded = self.decode(recording, hints, reply).await?;
        self.transcribe(permit, decoded, hints, reply).await
    }

    /// Decodes `recording`: from then on it is known how long it plays. Silence is a failure.
    ///
    /// # Errors
    ///
    /// Why it can't be heard.
    pub async fn decode(
        &self,
        recording: Recording,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        // Of a recording that is still being made, what has come can be listened to already, by
        // engines of this machine, which cost nothing.
        let is_growing = recording.is_growing();
        let ahead = is_growing
            .then(|| self.transcriber.start_streaming(hints))
            .flatten();
        let _warming = (is_growing && ahead.is_none()).then(|| self.spawn_warm_up());
        self.decode_with_feed(recording, ahead, UploadState::Inactive, reply)
            .await
    }

    /// Whether a recording that is still being made can be [uploaded](Self::decode_uploading) as it
    /// comes.
    #[must_use]
    pub fn supports_upload(&self) -> bool {
        self.transcriber.supports_upload()
    }

    /// As [`decode`](Self::decode), for a recording that is still being made: from the first speech
    /// in it on it is uploaded as it comes. The permit is for the first
    /// [`UPLOAD_SLICE`](paid_upload::UPLOAD_SLICE) of it; further ones are asked for.
    ///
    /// # Errors
    ///
    /// Why it can't be heard.
    pub async fn decode_with_upload(
        &self,
        recording: Recording,
        (permit, books): (Permit, (Payer, UsageAccount)),
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        // Whoever listens on this machine costs nothing.
        if let Some(ahead) = self.transcriber.start_streaming(hints) {
            return self
                .decode_with_feed(recording, Some(ahead), UploadState::Inactive, reply)
                .await;
        }
        let _warming = self.spawn_warm_up();
        let held = PendingUpload::new(&self.transcriber, permit, books, hints);
        self.decode_with_feed(recording, None, UploadState::Pending(held), reply)
            .await
    }

    /// Opens a connection to whoever is going to listen, until this is dropped.
    fn spawn_warm_up(&self) -> AbortOnDropHandle<()> {
        let transcriber = self.transcriber.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { transcriber.warm().await }))
    }

    async fn decode_with_feed(
        &self,
        recording: Recording,
        ahead: Option<Box<dyn StreamingRecognition>>,
        upload: UploadState,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        let span = tracing::info_span!("decode");
        async {
            reply.enter_stage(PipelineStage::Decoding);
            let listener = StreamingFeed {
                reply: Arc::clone(reply),
                recognition: ahead,
                upload,
            };
            let (survey, along) =
                audio::analyze_with(recording, self.limits.clone(), listener).await?;
            let duration = survey.clip.duration();
            tracing::info!(?duration, speech = ?survey.speech_duration, info = ?survey.info, "decoded");
            if survey.is_truncated {
                reply.show_notice(PipelineNotice::Truncated);
            }
            if survey.speech_duration.is_zero() {
                return Err(audio::AudioError::NoSpeech.into());
            }
            Ok(DecodedRecording {
                clip: survey.clip,
                speech_times: survey.speech_times,
                recognition: along.recognition,
                upload: along.upload.into_active(),
            })
        }
        .instrument(span)
        .await
    }

    /// The words of a recording that was uploaded while it was made, for which its upload has paid.
    /// None if there are none from there; the whole can still be [written down](Self::write_down).
    ///
    /// # Errors
    ///
    /// If nothing was said.
    pub async fn finish_upload(
        &self,
        decoded: &mut DecodedRecording,
        reply: &Arc<dyn Reply>,
    ) -> Result<Option<TranscribedRecording>, PipelineError> {
        let Some(upload) = decoded.upload.take() else {
            return Ok(None);
        };
        let spoken = decoded.speech_times.clone();
        let duration = decoded.duration();
        let span = tracing::info_span!("hear");
        async move {
            reply.enter_stage(PipelineStage::Transcribing);
            let transcript = match upload.finish(&ForwardingObserver(reply.as_ref())).await {
                Ok(transcript) => transcript,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(error, "an upload failed, and the whole is sent");
                    return Ok(None);
                }
            };
            report_transcript(transcript, &spoken, duration, reply).map(Some)
        }
        .instrument(span)
        .await
    }

    /// Writes down what is said in a decoded recording.
    ///
    /// # Errors
    ///
    /// Why there are no words.
    pub async fn transcribe(
        &self,
        permit: &Permit,
        decoded: DecodedRecording,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<TranscribedRecording, PipelineError> {
        let span = tracing::info_span!("hear");
        async {
            let duration = decoded.duration();
            reply.enter_stage(PipelineStage::Transcribing);
            let observer = ForwardingObserver(reply.as_ref());
            let early = match decoded.recognition {
                Some(ahead) => ahead.finish(&observer).await.map_err(|error| {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(error, "not listened ahead");
                }),
                None => Err(()),
            };
            let transcript = match early {
                Ok(transcript) => {
                    permit.charge_local_audio(duration);
                    transcript
                }
                // Whatever kept it from that, the whole may still do.
                Err(()) => {
                    let whole = &decoded.clip;
                    let written = self.transcriber.transcribe(permit, whole, hints, &observer);
                    written.await?
                }
            };
            report_transcript(transcript, &decoded.speech_times, duration, reply)
        }
        .instrument(span)
        .await
    }

    /// What the model would be given.
    #[must_use]
    pub fn conversation(&self, turns: Vec<ChatTurn>) -> Conversation {
        Conversation {
            system: self.system_prompt.clone(),
            turns,
        }
    }

    /// Asks the model the last of `turns`; the words stream into `reply` as they come.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn answer(
        &self,
        permit: &Permit,
        turns: Vec<ChatTurn>,
        reply: &Arc<dyn Reply>,
    ) -> Result<CompletedAnswer, PipelineError> {
        let span = tracing::info_span!("answer", model = self.chat.card().model);
        async {
            reply.enter_stage(PipelineStage::Answering);
            let conversation = self.conversation(turns);
            let partial = |partial: chat_request::AnswerDelta<'_>| match partial {
                chat_request::AnswerDelta::Append(more) => reply.append_answer(more),
                chat_request::AnswerDelta::Retract => reply.retract_answer(),
            };
            let answered = chat_request::request_answer(
                (&self.chat, permit),
                &conversation,
                self.answer_timeout,
                partial,
            );
            Ok(answered.await?)
        }
        .instrument(span)
        .await
    }
}

/// Tells the words of a recording that plays for so long.
fn report_transcript(
    transcript: Transcript,
    spoken: &SpeechTimes,
    duration: Duration,
    reply: &Arc<dyn Reply>,
) -> Result<TranscribedRecording, PipelineError> {
    let transcript = hallucination_filter::filter_transcript(transcript, spoken, duration);
    if transcript.text.trim().is_empty() {
        return Err(audio::AudioError::NoSpeech.into());
    }
    tracing::info!(?transcript, "transcribed");
    reply.show_transcript(&transcript);
    Ok(TranscribedRecording {
        transcript,
        duration,
    })
}

/// The turn in which a person says `transcript`, with a typed question about it if there is one.
pub fn user_turn(transcript: &str, typed: Option<&str>) -> ChatTurn {
    let text = match typed {
        None => transcript.to_owned(),
        Some(typed) => format!("{typed}\n\nThe recording says:\n{transcript}"),
    };
    ChatTurn {
        role: ChatRole::User,
        speaker_name: None,
        text,
    }
}

/// A transcriber's reports, passed on.
struct ForwardingObserver<'a>(&'a dyn Reply);

impl TranscriptionObserver for ForwardingObserver<'_> {
    fn on_start(&self, provider: &'static str) {
        self.0
            .show_notice(PipelineNotice::ProviderStarted { provider });
    }

    fn on_progress(&self, progress: TranscriptionProgress) {
        self.0.show_transcription_progress(progress);
    }

    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.0.show_notice(PipelineNotice::ProviderFallback {
            provider,
            error,
            next,
        });
    }
}
