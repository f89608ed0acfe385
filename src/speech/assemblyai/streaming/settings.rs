//! The settings of live sessions and their defaults.

use std::time::Duration;

use url::Url;

use crate::speech::assemblyai::speech_models;

/// Host, model and time limits of live sessions.
#[derive(Clone, Debug)]
pub struct StreamingSettings {
    /// Base URL of the streaming API.
    pub base: Url,
    /// The model. Default: [`speech_models::DEFAULT_STREAMING_MODEL`].
    pub model: String,
    /// How long a session stays open after the last speech. Default: 10 s.
    pub inactivity_timeout: Duration,
    /// The most audio that may be queued, for example while connecting. Default: 30 s.
    pub max_queued_audio: Duration,
    /// Time limit of one connection attempt, up to `Begin`. Default: 10 s.
    pub connect_timeout: Duration,
    /// Time limit of writing one message. Default: 5 s.
    pub write_timeout: Duration,
    /// How long to wait for an utterance's text after requesting it. Default: 3 s.
    pub answer_timeout: Duration,
    /// How long to wait for more words after a result that seems incomplete. Default: 700 ms.
    pub more_words_timeout: Duration,
    /// How long the service may take to confirm the end of a session. Default: 3 s.
    pub terminate_timeout: Duration,
}

impl StreamingSettings {
    /// The defaults, with this base URL.
    pub(in crate::speech::assemblyai) fn for_base(base: Url) -> Self {
        Self {
            base,
            model: speech_models::DEFAULT_STREAMING_MODEL.to_owned(),
            inactivity_timeout: Duration::from_secs(10),
            max_queued_audio: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(3),
            more_words_timeout: Duration::from_millis(700),
            terminate_timeout: Duration::from_secs(3),
        }
    }
}
