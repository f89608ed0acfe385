//! The pipeline from recording to answer, and everything that runs it: job queue, admission,
//! consent, voice sessions.
//!
//! This module knows neither Discord nor a terminal. A caller passes a [`Reply`] and gets progress
//! and results through it. Start with [`Pipeline`], then [`job_runner`] for one job and
//! [`job_scheduler`] for many.

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

/// Decodes, transcribes and answers one recording at a time.
#[derive(Clone)]
pub struct Pipeline {
    /// Limits on the size and length of a recording.
    pub limits: AudioLimits,
    /// The speech-to-text provider, or a chain of them.
    pub transcriber: PaidTranscriber,
    /// The chat model that writes the answer.
    pub chat: PaidModel,
    /// Languages and key terms that help the recognizer.
    pub hints: Hints,
    /// The system prompt for the chat model.
    pub system_prompt: String,
    /// Time limit for an answer, from the request to its last word.
    pub answer_timeout: Duration,
}

/// The transcript of one recording.
#[derive(Debug)]
pub struct TranscribedRecording {
    /// Never empty: a silent recording is a [`PipelineError`].
    pub transcript: Transcript,
    /// Playing time of the recording.
    pub duration: Duration,
}

/// A complete answer.
#[derive(Debug)]
pub struct CompletedAnswer {
    /// The full text.
    pub text: AnswerText,
    /// Why the model stopped, and the tokens it reports.
    pub end: AnswerEnd,
}

/// The text of an answer.
pub struct AnswerText(pub String);

impl std::fmt::Debug for AnswerText {
    /// Prints only the size: answers must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} bytes)", self.0.len())
    }
}

/// A decoded recording, with any recognition or upload that already runs for it.
pub struct DecodedRecording {
    clip: Clip,
    speech_times: SpeechTimes,
    recognition: Option<Box<dyn StreamingRecognition>>,
    upload: Option<PaidUpload>,
}

impl DecodedRecording {
    /// Playing time of the recording.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.clip.duration()
    }
}

impl Pipeline {
    /// Decodes and transcribes `recording`.
    ///
    /// # Errors
    ///
    /// If the recording can't be decoded, has no speech, or can't be transcribed.
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

    /// Decodes `recording`. Only now is its real playing time known. A silent recording is an
    /// error.
    ///
    /// # Errors
    ///
    /// If it can't be decoded or has no speech.
    pub async fn decode(
        &self,
        recording: Recording,
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        // A recording that is still growing can already be recognized while it arrives, by an
        // engine on this machine, which costs nothing.
        let is_growing = recording.is_growing();
        let ahead = is_growing
            .then(|| self.transcriber.start_streaming(hints))
            .flatten();
        let _warming = (is_growing && ahead.is_none()).then(|| self.spawn_warm_up());
        self.decode_with_feed(recording, ahead, UploadState::Inactive, reply)
            .await
    }

    /// Whether a recording that is still growing can be [uploaded](Self::decode_with_upload) while
    /// it arrives.
    #[must_use]
    pub fn supports_upload(&self) -> bool {
        self.transcriber.supports_upload()
    }

    /// Like [`decode`](Self::decode), for a recording that is still growing: uploads it from its
    /// first speech on while it arrives. `permit` covers the first
    /// [`UPLOAD_SLICE`](paid_upload::UPLOAD_SLICE); a new permit is requested for each further
    /// slice.
    ///
    /// # Errors
    ///
    /// If it can't be decoded or has no speech.
    pub async fn decode_with_upload(
        &self,
        recording: Recording,
        (permit, books): (Permit, (Payer, UsageAccount)),
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        // Prefer a local engine: it costs nothing.
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

    /// Opens a connection to the provider ahead of time, and keeps it warm until the handle is
    /// dropped.
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

    /// Transcript of a recording that was uploaded while it grew; its upload has paid for it.
    /// `None` if there was no upload or it failed: the caller can still
    /// [transcribe](Self::transcribe) the whole clip.
    ///
    /// # Errors
    ///
    /// If the transcript holds no speech.
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

    /// Transcribes a decoded recording.
    ///
    /// # Errors
    ///
    /// If the provider fails or the transcript holds no speech.
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
                // Whatever stopped the early recognition, the whole clip may still work.
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

    /// The conversation as it would be sent to the model.
    #[must_use]
    pub fn conversation(&self, turns: Vec<ChatTurn>) -> Conversation {
        Conversation {
            system: self.system_prompt.clone(),
            turns,
        }
    }

    /// Asks the model to answer the last of `turns`, and streams the text into `reply`.
    ///
    /// # Errors
    ///
    /// If the model fails, times out, or returns no text.
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

/// Filters the transcript, shows it, and returns it together with the recording's `duration`.
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

/// The user turn for `transcript`, together with the typed question about it, if any.
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

/// Forwards a transcriber's progress reports to a reply.
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
