//! The pipeline of one recording: decode, transcribe, answer.

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

use super::admission::{Payer, Permit};
use super::paid_providers::{PaidModel, PaidTranscriber};
use super::paid_upload::PaidUpload;
use super::streaming_feed::{PendingUpload, StreamingFeed, UploadState};
use super::{
    PipelineError, PipelineNotice, PipelineStage, Reply, chat_request, hallucination_filter,
};

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
        write!(f, "AnswerText({} bytes)", self.0.len())
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
        let recognition = is_growing
            .then(|| self.transcriber.start_streaming(hints))
            .flatten();
        let _warming = (is_growing && recognition.is_none()).then(|| self.spawn_warm_up());
        self.decode_with_feed(recording, recognition, UploadState::Inactive, reply)
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
    /// [`UPLOAD_SLICE`](super::paid_upload::UPLOAD_SLICE); a new permit is requested for each further
    /// slice.
    ///
    /// # Errors
    ///
    /// If it can't be decoded or has no speech.
    pub async fn decode_with_upload(
        &self,
        recording: Recording,
        (permit, payer_and_account): (Permit, (Payer, UsageAccount)),
        hints: &Hints,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        // Prefer a local engine: it costs nothing.
        if let Some(recognition) = self.transcriber.start_streaming(hints) {
            return self
                .decode_with_feed(recording, Some(recognition), UploadState::Inactive, reply)
                .await;
        }
        let _warming = self.spawn_warm_up();
        let pending = PendingUpload::new(&self.transcriber, permit, payer_and_account, hints);
        self.decode_with_feed(recording, None, UploadState::Pending(pending), reply)
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
        recognition: Option<Box<dyn StreamingRecognition>>,
        upload: UploadState,
        reply: &Arc<dyn Reply>,
    ) -> Result<DecodedRecording, PipelineError> {
        let span = tracing::info_span!("decode");
        async {
            reply.enter_stage(PipelineStage::Decoding);
            let feed = StreamingFeed {
                reply: Arc::clone(reply),
                recognition,
                upload,
            };
            let (analysis, feed) =
                audio::analyze_with(recording, self.limits.clone(), feed).await?;
            let duration = analysis.clip.duration();
            tracing::info!(?duration, speech = ?analysis.speech_duration, info = ?analysis.info, "decoded");
            if analysis.is_truncated {
                reply.show_notice(PipelineNotice::Truncated);
            }
            if analysis.speech_duration.is_zero() {
                return Err(audio::AudioError::NoSpeech.into());
            }
            Ok(DecodedRecording {
                clip: analysis.clip,
                speech_times: analysis.speech_times,
                recognition: feed.recognition,
                upload: feed.upload.into_active(),
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
        let speech_times = decoded.speech_times.clone();
        let duration = decoded.duration();
        let span = tracing::info_span!("hear");
        async move {
            reply.enter_stage(PipelineStage::Transcribing);
            let transcript = match upload.finish(&ForwardingObserver(reply.as_ref())).await {
                Ok(transcript) => transcript,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(error, "upload failed, sending the whole clip");
                    return Ok(None);
                }
            };
            report_transcript(transcript, &speech_times, duration, reply).map(Some)
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
            let early_result = match decoded.recognition {
                Some(recognition) => recognition.finish(&observer).await.map_err(|error| {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(
                        error,
                        "early recognition failed, transcribing the whole clip"
                    );
                }),
                None => Err(()),
            };
            let transcript = match early_result {
                Ok(transcript) => {
                    permit.charge_local_audio(duration);
                    transcript
                }
                // Whatever stopped the early recognition, the whole clip may still work.
                Err(()) => {
                    let clip = &decoded.clip;
                    self.transcriber
                        .transcribe(permit, clip, hints, &observer)
                        .await?
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
            let on_delta = |delta: chat_request::AnswerDelta<'_>| match delta {
                chat_request::AnswerDelta::Append(more) => reply.append_answer(more),
                chat_request::AnswerDelta::Retract => reply.retract_answer(),
            };
            let answered = chat_request::request_answer(
                (&self.chat, permit),
                &conversation,
                self.answer_timeout,
                on_delta,
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
    speech_times: &SpeechTimes,
    duration: Duration,
    reply: &Arc<dyn Reply>,
) -> Result<TranscribedRecording, PipelineError> {
    let transcript = hallucination_filter::filter_transcript(transcript, speech_times, duration);
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
