//! AssemblyAI's Sync API: one request, one transcript.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio::time::Instant;

use super::api_client::{ApiClient, send_checked, send_discarding_body};
use super::error_mapping::audio_request_error;
use super::hints::{conversation_context, supported_languages, sync_key_terms};
use super::live_upload::{LiveUploadRequest, UploadBackoff};
use super::settings::AssemblyAiSettings;
use super::speech_models;
use super::wire::{SyncConfig, TranscriptResponse};
use crate::speech::upload::LiveUploadLimits;
use crate::speech::{
    Capabilities, Hints, LiveUpload, RefusedParameter, SpeechError, Transcriber, TranscriberInput,
    Transcript, TranscriptionObserver, TranscriptionProgress,
};
use audio::{Clip, MIN_DURATION, Pcm, SAMPLE_RATE};
use net::{NetError, RetryAdvice, RetryPolicy, read_json, with_retries};

const PROVIDER_NAME: &str = "AssemblyAI Sync";
const MODEL_HEADER: &str = "x-aai-model";

/// How long a connection counts as warm. The client keeps idle ones for 90 s, but the server or a
/// middlebox may close them sooner.
const PREWARM_TTL: Duration = Duration::from_secs(10);

/// Transcribes clips of 80 ms to 120 s with `POST /v1/transcribe`, or with `/v1/transcribe/live`
/// while they are being recorded.
///
/// The samples are sent as a WAV file. The provider keeps nothing, so there is nothing to delete.
pub struct SyncTranscriber {
    api: ApiClient,
    model: String,
    retry: RetryPolicy,
    request_timeout: Duration,
    probe_timeout: Duration,
    total_timeout: Duration,
    capabilities: Capabilities,
    /// When the connection was last warmed.
    last_prewarm: Mutex<Option<Instant>>,
    /// Decides whether clips can be sent while they are being recorded.
    upload_backoff: Arc<UploadBackoff>,
}

impl SyncTranscriber {
    /// A transcriber for [`AssemblyAiSettings::sync_base`]. Makes no request.
    pub fn new(http: reqwest::Client, settings: &AssemblyAiSettings) -> Self {
        Self {
            api: ApiClient::new(http, &settings.sync_base, &settings.key),
            model: settings.sync_model.clone(),
            retry: settings.retry.clone(),
            request_timeout: settings.sync_request_timeout,
            probe_timeout: settings.request_timeout,
            total_timeout: settings.sync_total_timeout,
            capabilities: Capabilities {
                name: PROVIDER_NAME,
                input: TranscriberInput::Samples,
                min_duration: MIN_DURATION,
                max_duration: Duration::from_secs(120),
                word_timestamps: true,
                languages: speech_models::model_languages(&settings.sync_model),
            },
            last_prewarm: Mutex::default(),
            upload_backoff: Arc::default(),
        }
    }

    /// Whether the connection should be warmed now; if so, records that it was.
    fn claim_prewarm(&self) -> bool {
        let mut last = self
            .last_prewarm
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let cold = last.is_none_or(|last| now.saturating_duration_since(last) >= PREWARM_TTL);
        if cold {
            *last = Some(now);
        }
        cold
    }

    fn sync_config(&self, hints: &Hints) -> SyncConfig {
        SyncConfig {
            keyterms_prompt: sync_key_terms(&hints.key_terms),
            conversation_context: conversation_context(&hints.context),
            language_codes: supported_languages(&hints.languages, self.capabilities.languages),
            timestamps: hints.word_timestamps,
            sample_rate: None,
            channels: None,
        }
    }

    async fn post_clip(&self, wav: Bytes, config: &str) -> Result<TranscriptResponse, NetError> {
        let length = wav.len() as u64;
        // The body shares the samples, so a retry copies nothing.
        let audio = Part::stream_with_length(Body::from(wav), length)
            .file_name("clip.wav")
            .mime_str("audio/wav")?;
        let config = Part::text(config.to_owned()).mime_str("application/json")?;
        let request = self
            .api
            .request(Method::POST, &["v1", "transcribe"], self.request_timeout)?
            .header(MODEL_HEADER, &self.model)
            .multipart(Form::new().part("audio", audio).part("config", config));
        let response: TranscriptResponse = read_json(send_checked(request).await?).await?;
        if response.has_text() {
            Ok(response)
        } else {
            Err(NetError::Malformed {
                what: "the response has no text".into(),
            })
        }
    }

    async fn transcribe_samples(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        let pcm = clip.pcm().ok_or(SpeechError::UnsupportedClip)?;
        let wav = encode_wav(pcm.clone()).await;
        let config = serde_json::to_string(&self.sync_config(hints))
            .map_err(|error| SpeechError::Unavailable(NetError::malformed(&error)))?;
        observer.on_progress(TranscriptionProgress::Processing);
        let had_server_failure = AtomicBool::new(false);
        let response = with_retries(
            &self.retry,
            |error| retry_advice(error, &had_server_failure),
            || async {
                observer.on_charge();
                let response = self.post_clip(wav.clone(), &config).await;
                if response.as_ref().is_err_and(NetError::is_unbilled) {
                    observer.on_refund();
                }
                response
            },
        )
        .await
        .map_err(|error| audio_request_error(error, self.request_timeout))?;
        Ok(response.into_transcript(PROVIDER_NAME, clip.duration()))
    }
}

#[async_trait]
impl Transcriber for SyncTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Ends within [`AssemblyAiSettings::sync_total_timeout`].
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        if !self.capabilities.accepts(clip) {
            return Err(SpeechError::UnsupportedClip);
        }
        observer.on_start(PROVIDER_NAME);
        tokio::time::timeout(
            self.total_timeout,
            self.transcribe_samples(clip, hints, observer),
        )
        .await
        .unwrap_or(Err(SpeechError::TimedOut(self.total_timeout)))
    }

    /// Uses `/v1/transcribe/live`. `None` for a while after the service refused it.
    fn start_upload(&self, hints: &Hints) -> Option<LiveUpload> {
        if !self.upload_backoff.is_allowed() {
            return None;
        }
        let config = SyncConfig {
            sample_rate: Some(SAMPLE_RATE),
            channels: Some(1),
            ..self.sync_config(hints)
        };
        let request = LiveUploadRequest {
            api: self.api.clone(),
            model: (MODEL_HEADER, self.model.clone()),
            config: serde_json::to_string(&config).ok()?,
            max_duration: self.capabilities.max_duration,
            answer_timeout: self.request_timeout,
            provider: PROVIDER_NAME,
        };
        let limits = LiveUploadLimits {
            max_duration: self.capabilities.max_duration,
            answer_timeout: self.request_timeout,
        };
        let backoff = Arc::clone(&self.upload_backoff);
        Some(LiveUpload::start(
            PROVIDER_NAME,
            limits,
            |body| async move { request.send(body, &backoff).await },
        ))
    }

    fn supports_upload(&self) -> bool {
        true
    }

    /// Requests a transcript without sending audio: the server checks the key first and only then
    /// reports the missing `audio` part (400 `bad_request`), which costs nothing. `GET /v1/warm`
    /// would not do, since it takes no key.
    async fn probe(&self) -> Result<(), SpeechError> {
        let request = self
            .api
            .request(Method::POST, &["v1", "transcribe"], self.probe_timeout)
            .map(|request| {
                request
                    .header(MODEL_HEADER, &self.model)
                    .multipart(Form::new().text("config", "{}"))
            });
        let answer = match request {
            Ok(request) => send_discarding_body(request).await,
            Err(error) => Err(error),
        };
        match answer.map_err(|error| audio_request_error(error, self.probe_timeout)) {
            Ok(())
            | Err(
                SpeechError::BadAudio { .. }
                | SpeechError::JobFailed { .. }
                | SpeechError::Refused {
                    what: RefusedParameter::Request,
                    ..
                },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `GET /v1/warm`, which takes no key. Sent at most once in ten seconds, however often it is
    /// called; limited by [`AssemblyAiSettings::request_timeout`].
    async fn prewarm(&self) {
        if !self.claim_prewarm() {
            return;
        }
        let request = self
            .api
            .request_without_key(Method::GET, &["v1", "warm"], self.probe_timeout)
            .header(MODEL_HEADER, &self.model);
        match send_discarding_body(request).await {
            Ok(()) | Err(NetError::Status { .. }) => {}
            // If the problem persists, the next clip will report it.
            Err(error) => tracing::debug!(%error, "the connection could not be warmed"),
        }
    }
}

/// 429, 503 and broken connections are retried as often as the policy allows; failures inside the
/// server (500, 504 …) once, as documented.
fn retry_advice(error: &NetError, had_server_failure: &AtomicBool) -> RetryAdvice {
    let is_server_failure = error
        .http_status()
        .is_some_and(|status| status.is_server_error() && status.as_u16() != 503);
    if is_server_failure && had_server_failure.swap(true, Ordering::Relaxed) {
        return RetryAdvice::Never;
    }
    error.retry_advice()
}

/// Encodes the clip as a WAV file on the blocking thread pool: two minutes take some milliseconds.
pub(super) async fn encode_wav(pcm: Pcm) -> Bytes {
    let fallback = pcm.clone();
    tokio::task::spawn_blocking(move || pcm.to_wav())
        .await
        // The task is refused only while the runtime shuts down.
        .unwrap_or_else(|_| fallback.to_wav())
}
