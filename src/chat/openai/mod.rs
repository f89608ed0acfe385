//! Any server that speaks OpenAI's `POST /v1/chat/completions`, or the older `/v1/completions`.
//!
//! Written after OpenAI's OpenAPI file and what compatible servers (Ollama, llama.cpp, vLLM,
//! LM Studio, OpenRouter) are known to do differently.

mod answer;
mod errors;
mod events;
mod guard;
mod models;
mod request;
mod stream;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{AnswerStream, ChatError, ChatModel, Conversation, Meter, ModelCard, Probe, budget};
use crate::net::{NetError, RetryPolicy, check_status, retrying};

use answer::Answering;
use errors::Redaction;
use request::{Adaptations, Shape};

pub use events::{EventError, EventReader};
pub use stream::{Cut, event_data};

/// The host of OpenAI itself, which differs from compatible servers in a few defaults.
const OPENAI_HOST: &str = "api.openai.com";

/// How often a request is changed to what a server accepts: once for each optional part of it.
const MAX_ADAPTATIONS: usize = 4;

/// How to ask a server, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `/chat/completions` and `/models` are appended to.
    /// Default: `https://api.openai.com/v1`.
    pub base: Url,
    /// The key; servers of people's own often need none.
    pub key: Option<SecretString>,
    /// The model as the server calls it. Default: `gpt-6-luna`.
    pub model: String,
    /// Which of the two APIs the server has. Default: chat.
    pub api: Api,
    /// How long the model may think before it answers; none: the field is not sent.
    /// Default: `none` at OpenAI, since thinking costs latency; not sent to other servers.
    pub reasoning_effort: Option<String>,
    /// The name of the field that bounds the answer. Default: `max_completion_tokens` at
    /// OpenAI, `max_tokens` elsewhere, which every server knows.
    pub token_field: TokenField,
    /// Tokens of the longest answer. Default: 800.
    pub max_answer_tokens: u32,
    /// Tokens of the conversation that are sent at most, estimated. Default: 8000.
    pub context_tokens: u32,
    /// How freely words are chosen; none: the field is not sent, the server decides.
    pub temperature: Option<f32>,
    /// How long the first word may take. Default: 60 s; models on small machines need it.
    pub first_token: Duration,
    /// The longest silence inside an answer. Default: 30 s.
    pub between_tokens: Duration,
    /// How long the whole answer may take, retries included. Default: 120 s.
    pub total: Duration,
    /// How often a request that failed before its first word is tried again.
    pub retry: RetryPolicy,
}

/// The two shapes of the API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Api {
    /// `POST /chat/completions`: messages with roles.
    Chat,
    /// `POST /completions`: one text that is continued, the shape of GPT-3.
    Completions,
}

/// The names of the field that bounds an answer's tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenField {
    /// What OpenAI wants.
    MaxCompletionTokens,
    /// What everybody else reads.
    MaxTokens,
}

impl Settings {
    /// The defaults for OpenAI itself.
    pub fn openai(key: Option<SecretString>) -> Self {
        Self {
            base: Url::parse("https://api.openai.com/v1").expect("a literal URL"),
            key,
            model: "gpt-6-luna".to_owned(),
            api: Api::Chat,
            reasoning_effort: Some("none".to_owned()),
            token_field: TokenField::MaxCompletionTokens,
            max_answer_tokens: 800,
            context_tokens: 8_000,
            temperature: None,
            first_token: Duration::from_secs(60),
            between_tokens: Duration::from_secs(30),
            total: Duration::from_secs(120),
            retry: RetryPolicy::default(),
        }
    }

    /// The defaults for the server at `base`, which may be OpenAI's own.
    pub fn compatible(base: Url, key: Option<SecretString>) -> Self {
        let defaults = Self::openai(key);
        if base.host_str() == Some(OPENAI_HOST) {
            return Self { base, ..defaults };
        }
        Self {
            base,
            reasoning_effort: None,
            token_field: TokenField::MaxTokens,
            ..defaults
        }
    }
}

/// A model behind an OpenAI-compatible server.
pub struct OpenAiModel {
    http: reqwest::Client,
    settings: Settings,
    card: ModelCard,
    adaptations: Adaptations,
}

impl OpenAiModel {
    /// Sends nothing yet.
    pub fn new(http: reqwest::Client, settings: Settings) -> Self {
        let host = settings.base.host_str().unwrap_or("unknown host");
        let host = match settings.base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self {
            http,
            card: ModelCard {
                model: settings.model.clone(),
                host,
                notice: None,
            },
            adaptations: Adaptations::default(),
            settings,
        }
    }

    /// A request to `path` under the base, with the key if there is one.
    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let mut url = self.settings.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        let request = self.http.request(method, url);
        match &self.settings.key {
            // reqwest marks the header as sensitive.
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    /// Asks once, and waits for the first word or the end, whichever comes first.
    async fn open(
        &self,
        body: &wire::Request<'_>,
        meter: &dyn Meter,
    ) -> Result<Answering, NetError> {
        meter.charged();
        let opened = self.open_unmetered(body).await;
        if opened.as_ref().is_err_and(NetError::did_nothing) {
            meter.refunded();
        }
        opened
    }

    async fn open_unmetered(&self, body: &wire::Request<'_>) -> Result<Answering, NetError> {
        let path = match self.settings.api {
            Api::Chat => "chat/completions",
            Api::Completions => "completions",
        };
        let request = self.request(reqwest::Method::POST, path).json(body);
        let response = check_status(request.send().await?).await?;
        let mut answering = Answering::new(response, &self.settings);
        answering.wait_for_first_word().await?;
        Ok(answering)
    }

    /// Asks, with retries, and with the request changed where the server says that it does not
    /// know an optional part of it.
    async fn open_adapted(
        &self,
        conversation: &Conversation,
        meter: &dyn Meter,
    ) -> Result<Answering, NetError> {
        for _ in 0..MAX_ADAPTATIONS {
            let shape = self.adaptations.apply(Shape::wanted(&self.settings));
            let body = request::body(&self.settings, shape, conversation);
            let opened = retrying(&self.settings.retry, errors::retry, || {
                self.open(&body, meter)
            })
            .await;
            match opened {
                Err(error) if self.adaptations.learn(shape, &error) => {
                    tracing::info!(%error, "the server does not know a field; asking without it");
                }
                other => return other,
            }
        }
        let shape = self.adaptations.apply(Shape::wanted(&self.settings));
        let body = request::body(&self.settings, shape, conversation);
        self.open(&body, meter).await
    }
}

#[async_trait]
impl ChatModel for OpenAiModel {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        self.answer_metered(conversation, &()).await
    }

    fn prompt_tokens(&self, conversation: &Conversation) -> u32 {
        budget::tokens(conversation).min(self.settings.context_tokens)
    }

    fn longest_answer(&self) -> u32 {
        self.settings.max_answer_tokens
    }

    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn Meter,
    ) -> Result<AnswerStream, ChatError> {
        let conversation = budget::cut(
            conversation,
            self.settings.context_tokens,
            budget::estimate_tokens,
        )?;
        let redaction = Redaction::new(&conversation, self.settings.key.as_ref());
        let deadline = tokio::time::Instant::now() + self.settings.total;
        let opened =
            tokio::time::timeout_at(deadline, self.open_adapted(&conversation, meter)).await;
        match opened {
            Ok(Ok(answering)) => Ok(answering.into_stream(deadline)),
            Ok(Err(error)) => Err(errors::chat_error(error, &self.settings, &redaction)),
            Err(_) => Err(ChatError::TimedOut(self.settings.total)),
        }
    }

    /// `GET /models`. Servers without it count as reachable.
    async fn probe(&self) -> Result<Probe, ChatError> {
        models::probe(self).await
    }
}
