//! AssemblyAI's streaming API (v3): transcribes live speech.
//!
//! One WebSocket per speaker, open while they speak and for
//! [`StreamingSettings::inactivity_timeout`] after that, since the service bills the time that a
//! session is open.

mod error;
mod live_session;
mod realtime_limiter;
mod sent_timeline;
mod settings;
mod signal_power;
mod socket;
mod tracked_utterance;
mod utterance_tracker;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::Url;

use super::hints::{MAX_LIVE_LANGUAGES, agent_context, live_key_terms, supported_languages};
use super::settings::AssemblyAiSettings;
use super::speech_models;
use crate::speech::live::{LiveTranscriber, LiveTranscription};
use crate::speech::{Hints, SpeechError};
use audio::SAMPLE_RATE;
use net::RetryPolicy;

use error::StreamingError;
use live_session::{LiveSessionConfig, PROVIDER_NAME, SERVER_INACTIVITY_MARGIN, run_live_session};
use socket::{StreamingConnectOptions, StreamingSocket};

pub use settings::StreamingSettings;

/// The longest `inactivity_timeout` that the service accepts.
const MAX_INACTIVITY_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Transcribes live speech over `/v3/ws`.
///
/// The audio of utterances without a final transcript is kept, so that it can be sent again in a
/// new session if a session breaks.
pub struct StreamingTranscriber {
    key: Option<HeaderValue>,
    settings: StreamingSettings,
    retry: RetryPolicy,
}

impl StreamingTranscriber {
    /// A transcriber for [`StreamingSettings::base`]. Makes no connection.
    pub fn new(settings: &AssemblyAiSettings) -> Self {
        let key = HeaderValue::from_str(settings.key.expose_secret()).ok();
        Self {
            key: key.map(|mut value| {
                value.set_sensitive(true);
                value
            }),
            settings: settings.streaming.clone(),
            retry: settings.retry.clone(),
        }
    }

    fn connect_options(&self, hints: &Hints) -> StreamingConnectOptions {
        StreamingConnectOptions {
            url: self.session_url(hints).into(),
            key: self.key.clone(),
            write_timeout: self.settings.write_timeout,
        }
    }

    /// The URL of a session. The key is not part of it.
    fn session_url(&self, hints: &Hints) -> Url {
        let mut url = self.settings.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v3", "ws"]);
        }
        // If this program ever fails to terminate a session, the service does.
        let inactivity = (self.settings.inactivity_timeout + SERVER_INACTIVITY_MARGIN)
            .min(MAX_INACTIVITY_TIMEOUT);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("speech_model", &self.settings.model)
            .append_pair("sample_rate", &SAMPLE_RATE.to_string())
            .append_pair("encoding", "pcm_s16le")
            .append_pair("inactivity_timeout", &inactivity.as_secs().to_string());
        let terms = live_key_terms(&hints.key_terms);
        if !terms.is_empty() {
            let terms = serde_json::Value::from(terms).to_string();
            query.append_pair("keyterms_prompt", &terms);
        }
        let known = speech_models::model_languages(&self.settings.model);
        let mut languages = supported_languages(&hints.languages, known);
        languages.truncate(MAX_LIVE_LANGUAGES);
        if !languages.is_empty() {
            let languages = serde_json::Value::from(languages).to_string();
            query.append_pair("language_codes", &languages);
        }
        let last_answer = hints.last_answer.as_deref().map(agent_context);
        if let Some(last_answer) = last_answer.filter(|last_answer| !last_answer.is_empty()) {
            query.append_pair("agent_context", &last_answer);
        }
        drop(query);
        url
    }
}

#[async_trait]
impl LiveTranscriber for StreamingTranscriber {
    fn name(&self) -> &'static str {
        PROVIDER_NAME
    }

    /// Uses the hints' key terms, languages and last answer.
    fn start_stream(&self, hints: Hints) -> LiveTranscription {
        let (transcription, provider_handle) =
            LiveTranscription::new(self.settings.max_queued_audio);
        tokio::spawn(run_live_session(LiveSessionConfig {
            connect_options: self.connect_options(&hints),
            settings: self.settings.clone(),
            retry: self.retry.clone(),
            provider_handle,
        }));
        transcription
    }

    /// Opens a session and terminates it at once.
    async fn probe(&self) -> Result<(), SpeechError> {
        let limit = self.settings.connect_timeout;
        let options = self.connect_options(&Hints::default());
        let to_speech_error = |error: StreamingError| error.to_speech_error(limit);
        let opened = timeout(limit, StreamingSocket::connect(&options)).await;
        let mut socket = opened
            .unwrap_or_else(|_| Err(StreamingError::connect_timed_out()))
            .map_err(to_speech_error)?;
        let begun = match timeout(limit, socket.wait_for_begin()).await {
            Ok(Ok(())) => socket.send_terminate().await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StreamingError::connect_timed_out()),
        };
        if let Err(error) = begun {
            socket.abort().await;
            return Err(to_speech_error(error));
        }
        // The service reports the session's duration, then closes.
        let until_closed = async { while socket.next_message().await.is_ok() {} };
        let _ = timeout(self.settings.terminate_timeout, until_closed).await;
        socket.close(self.settings.terminate_timeout).await;
        Ok(())
    }
}
