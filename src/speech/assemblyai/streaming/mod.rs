//! AssemblyAI streaming (v3): words while somebody is still talking.
//!
//! One WebSocket per speaker, open while they speak and [`StreamingSettings::inactivity`] longer,
//! since the time is billed for which it is open.

mod hearing;
mod loudness;
mod pace;
mod socket;
mod speaker;
mod timeline;
mod trouble;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::Url;

use super::Settings;
use super::hints::{LIVE_LANGUAGES, agent_context, languages, live_key_terms};
use super::models;
use crate::speech::live::{LiveSpeaker, LiveTranscriber};
use crate::speech::{Hints, SpeechError};
use audio::SAMPLE_RATE;
use net::RetryPolicy;

use socket::{Address, Socket};
use speaker::{SERVICE_WAITS, Speaker, serve};
use trouble::Trouble;

const NAME: &str = "AssemblyAI streaming";

/// The longest `inactivity_timeout` that the service takes.
const LONGEST_INACTIVITY: Duration = Duration::from_secs(3_600);

/// How live sessions are held.
#[derive(Clone, Debug)]
pub struct StreamingSettings {
    /// Base of the streaming API.
    pub base: Url,
    /// The model. Default: [`models::STREAMING`].
    pub model: String,
    /// How long a session is kept after the last speech. Default: 10 s.
    pub inactivity: Duration,
    /// How much audio may wait for a connection. Default: 30 s.
    pub room: Duration,
    /// The time limit of one connection, up to `Begin`. Default: 10 s.
    pub connect: Duration,
    /// The time limit of one message to be written. Default: 5 s.
    pub write: Duration,
    /// How long words are waited for once they have been asked for. Default: 3 s.
    pub answer: Duration,
    /// How long more words are waited for after an answer that seems to lack some.
    /// Default: 700 ms.
    pub more: Duration,
    /// How long a terminated session may take to end. Default: 3 s.
    pub goodbye: Duration,
}

impl StreamingSettings {
    /// The defaults, at this address.
    pub(super) fn at(base: Url) -> Self {
        Self {
            base,
            model: models::STREAMING.to_owned(),
            inactivity: Duration::from_secs(10),
            room: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            write: Duration::from_secs(5),
            answer: Duration::from_secs(3),
            more: Duration::from_millis(700),
            goodbye: Duration::from_secs(3),
        }
    }
}

/// Writes down speech while it is spoken, over `/v3/ws`.
///
/// The audio of utterances without final words is kept, so that a session that breaks is followed
/// by another that hears it again.
pub struct StreamingTranscriber {
    key: Option<HeaderValue>,
    settings: StreamingSettings,
    retry: RetryPolicy,
}

impl StreamingTranscriber {
    /// A transcriber that talks to [`StreamingSettings::base`]. Makes no connection.
    pub fn new(settings: &Settings) -> Self {
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

    fn address(&self, hints: &Hints) -> Address {
        Address {
            url: self.url(hints).into(),
            key: self.key.clone(),
            write: self.settings.write,
        }
    }

    /// The address of a session. The key is not in it.
    fn url(&self, hints: &Hints) -> Url {
        let mut url = self.settings.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v3", "ws"]);
        }
        // Should we ever fail to terminate a session, the service does.
        let inactivity = (self.settings.inactivity + SERVICE_WAITS).min(LONGEST_INACTIVITY);
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
        let known = models::languages(&self.settings.model);
        let mut languages = languages(&hints.languages, known);
        languages.truncate(LIVE_LANGUAGES);
        if !languages.is_empty() {
            let languages = serde_json::Value::from(languages).to_string();
            query.append_pair("language_codes", &languages);
        }
        let answered = hints.answered.as_deref().map(agent_context);
        if let Some(answered) = answered.filter(|answered| !answered.is_empty()) {
            query.append_pair("agent_context", &answered);
        }
        drop(query);
        url
    }
}

#[async_trait]
impl LiveTranscriber for StreamingTranscriber {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Of the hints, key terms, languages and the last answer are used.
    fn listen(&self, hints: Hints) -> LiveSpeaker {
        let (speaker, line) = LiveSpeaker::new(self.settings.room);
        tokio::spawn(serve(Speaker {
            address: self.address(&hints),
            settings: self.settings.clone(),
            retry: self.retry.clone(),
            line,
        }));
        speaker
    }

    /// Opens a session and terminates it at once.
    async fn probe(&self) -> Result<(), SpeechError> {
        let limit = self.settings.connect;
        let address = self.address(&Hints::default());
        let told = |trouble: Trouble| trouble.speech(limit);
        let opened = timeout(limit, Socket::connect(&address)).await;
        let mut socket = opened
            .unwrap_or_else(|_| Err(Trouble::no_answer()))
            .map_err(told)?;
        let begun = match timeout(limit, socket.begin()).await {
            Ok(Ok(())) => socket.terminate().await,
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(Trouble::no_answer()),
        };
        if let Err(trouble) = begun {
            socket.give_up().await;
            return Err(told(trouble));
        }
        // The service tells how long the session was, and closes.
        let farewell = async { while socket.next().await.is_ok() {} };
        let _ = timeout(self.settings.goodbye, farewell).await;
        socket.close(self.settings.goodbye).await;
        Ok(())
    }
}
