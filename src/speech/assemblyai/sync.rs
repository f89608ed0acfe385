//! AssemblyAI Sync: one request, one transcript.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio::time::Instant;

use super::Settings;
use super::api::{Api, send, send_only};
use super::errors::speech_error;
use super::hints::{context, languages, sync_key_terms};
use super::models;
use super::sync_live::{Exchange, Refusals};
use super::wire::{Heard, SyncConfig};
use crate::speech::upload::UploadLimits;
use crate::speech::{
    Capabilities, Hints, Input, LiveUpload, Observer, Progress, Refusal, SpeechError, Transcriber,
    Transcript,
};
use audio::{Clip, Pcm, SAMPLE_RATE, SHORTEST};
use net::{NetError, Retry, RetryPolicy, read_json, retrying};

const NAME: &str = "AssemblyAI Sync";
const MODEL_HEADER: &str = "x-aai-model";

/// How long a connection counts as warm. The client keeps unused ones for 90 s, but a server or a
/// box in between may be less patient.
const WARM_FOR: Duration = Duration::from_secs(10);

/// Transcribes clips of 80 ms to 120 s with `POST /v1/transcribe`, or with `/v1/transcribe/live`
/// while they are recorded.
///
/// The samples are sent as a WAV file. Nothing stays with the provider, so there is nothing to
/// delete.
pub struct SyncTranscriber {
    api: Api,
    model: String,
    retry: RetryPolicy,
    request: Duration,
    probe: Duration,
    total: Duration,
    capabilities: Capabilities,
    /// When the connection was warmed last.
    warmed: Mutex<Option<Instant>>,
    /// Whether clips can be sent while they are recorded.
    refusals: Arc<Refusals>,
}

impl SyncTranscriber {
    /// A transcriber that talks to [`Settings::sync_base`]. Makes no request.
    pub fn new(http: reqwest::Client, settings: &Settings) -> Self {
        Self {
            api: Api::new(http, &settings.sync_base, &settings.key),
            model: settings.sync_model.clone(),
            retry: settings.retry.clone(),
            request: settings.sync_request,
            probe: settings.request,
            total: settings.sync_total,
            capabilities: Capabilities {
                name: NAME,
                input: Input::Samples,
                shortest: SHORTEST,
                longest: Duration::from_secs(120),
                word_times: true,
                languages: models::languages(&settings.sync_model),
            },
            warmed: Mutex::default(),
            refusals: Arc::default(),
        }
    }

    /// Whether it is time to warm the connection; if so, it counts as done.
    fn is_cold(&self) -> bool {
        let mut warmed = self.warmed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let cold = warmed.is_none_or(|last| now.saturating_duration_since(last) >= WARM_FOR);
        if cold {
            *warmed = Some(now);
        }
        cold
    }

    fn config(&self, hints: &Hints) -> SyncConfig {
        SyncConfig {
            keyterms_prompt: sync_key_terms(&hints.key_terms),
            conversation_context: context(&hints.context),
            language_codes: languages(&hints.languages, self.capabilities.languages),
            timestamps: hints.word_times,
            sample_rate: None,
            channels: None,
        }
    }

    async fn exchange(&self, wav: Bytes, config: &str) -> Result<Heard, NetError> {
        let length = wav.len() as u64;
        // The body shares the samples: a retry copies nothing.
        let audio = Part::stream_with_length(Body::from(wav), length)
            .file_name("clip.wav")
            .mime_str("audio/wav")?;
        let config = Part::text(config.to_owned()).mime_str("application/json")?;
        let request = self
            .api
            .request(Method::POST, &["v1", "transcribe"], self.request)?
            .header(MODEL_HEADER, &self.model)
            .multipart(Form::new().part("audio", audio).part("config", config));
        let heard: Heard = read_json(send(request).await?).await?;
        if heard.has_text() {
            Ok(heard)
        } else {
            Err(NetError::Malformed {
                what: "no text in it".into(),
            })
        }
    }

    async fn hear(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        let pcm = clip.pcm().ok_or(SpeechError::Unsuitable)?;
        let wav = wav(pcm.clone()).await;
        let config = serde_json::to_string(&self.config(hints))
            .map_err(|error| SpeechError::Unavailable(NetError::malformed(&error)))?;
        observer.progressed(Progress::Processing);
        let failed_inside = AtomicBool::new(false);
        let heard = retrying(
            &self.retry,
            |error| worth_retrying(error, &failed_inside),
            || async {
                observer.charged();
                let heard = self.exchange(wav.clone(), &config).await;
                if heard.as_ref().is_err_and(NetError::did_nothing) {
                    observer.refunded();
                }
                heard
            },
        )
        .await
        .map_err(|error| speech_error(error, self.request))?;
        Ok(heard.into_transcript(NAME, clip.duration()))
    }
}

#[async_trait]
impl Transcriber for SyncTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Ends within [`Settings::sync_total`].
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        if !self.capabilities.takes(clip) {
            return Err(SpeechError::Unsuitable);
        }
        observer.started(NAME);
        tokio::time::timeout(self.total, self.hear(clip, hints, observer))
            .await
            .unwrap_or(Err(SpeechError::TimedOut(self.total)))
    }

    /// Over `/v1/transcribe/live`. None for a while after the service has refused that.
    fn upload(&self, hints: &Hints) -> Option<LiveUpload> {
        if !self.refusals.allow() {
            return None;
        }
        let config = SyncConfig {
            sample_rate: Some(SAMPLE_RATE),
            channels: Some(1),
            ..self.config(hints)
        };
        let exchange = Exchange {
            api: self.api.clone(),
            model: (MODEL_HEADER, self.model.clone()),
            config: serde_json::to_string(&config).ok()?,
            longest: self.capabilities.longest,
            answer: self.request,
            provider: NAME,
        };
        let limits = UploadLimits {
            longest: self.capabilities.longest,
            answer: self.request,
        };
        let refusals = Arc::clone(&self.refusals);
        Some(LiveUpload::begin(NAME, limits, |body| async move {
            exchange.run(body, &refusals).await
        }))
    }

    fn takes_uploads(&self) -> bool {
        true
    }

    /// Asks for a transcript without sending audio: the server checks the key first, and only
    /// then misses the `audio` part (400 `bad_request`), which costs nothing. `GET /v1/warm`
    /// would not do, since it takes no key.
    async fn probe(&self) -> Result<(), SpeechError> {
        let request = self
            .api
            .request(Method::POST, &["v1", "transcribe"], self.probe)
            .map(|request| {
                request
                    .header(MODEL_HEADER, &self.model)
                    .multipart(Form::new().text("config", "{}"))
            });
        let answer = match request {
            Ok(request) => send_only(request).await,
            Err(error) => Err(error),
        };
        match answer.map_err(|error| speech_error(error, self.probe)) {
            Ok(())
            | Err(
                SpeechError::BadAudio { .. }
                | SpeechError::Failed { .. }
                | SpeechError::Refused {
                    what: Refusal::Request,
                    ..
                },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `GET /v1/warm`, which takes no key. Once in ten seconds at most, however often it is asked
    /// for; bounded by [`Settings::request`].
    async fn warm(&self) {
        if !self.is_cold() {
            return;
        }
        let request = self
            .api
            .without_key(Method::GET, &["v1", "warm"], self.probe)
            .header(MODEL_HEADER, &self.model);
        match send_only(request).await {
            Ok(()) | Err(NetError::Status { .. }) => {}
            // The clip that comes will tell, if it is still so.
            Err(error) => tracing::debug!(%error, "the connection could not be warmed"),
        }
    }
}

/// 429, 503 and broken connections: as often as the policy allows. Failures inside the server
/// (500, 504 …): once more, as published.
fn worth_retrying(error: &NetError, failed_inside: &AtomicBool) -> Retry {
    let inside = error
        .http_status()
        .is_some_and(|status| status.is_server_error() && status.as_u16() != 503);
    if inside && failed_inside.swap(true, Ordering::Relaxed) {
        return Retry::No;
    }
    error.retry()
}

/// The clip as a WAV file, made off the async threads: two minutes take some milliseconds.
pub(super) async fn wav(pcm: Pcm) -> Bytes {
    let fallback = pcm.clone();
    tokio::task::spawn_blocking(move || pcm.to_wav())
        .await
        // Only a runtime that is shutting down refuses the task.
        .unwrap_or_else(|_| fallback.to_wav())
}
