//! Chat models behind a server with OpenAI's `POST /v1/chat/completions` or the older
//! `/v1/completions`.
//!
//! Based on OpenAI's OpenAPI file and the known differences of compatible servers (Ollama, llama.cpp,
//! vLLM, LM Studio, OpenRouter). [`AnswerReader`] accepts every body from which a person could read an
//! answer. `request_adaptation` learns which parts of a request a server rejects.

mod answer_reader;
mod answer_stream;
mod delta_parser;
mod gunzip;
mod lenient_json;
mod llm_gateway;
mod model_list;
mod reasoning_effort;
mod reasoning_filter;
mod repeat_filter;
mod request;
mod request_adaptation;
mod request_error;
mod sse_parser;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard, UsageMeter,
    token_budget,
};
use net::{RetryAdvice, RetryPolicy, with_retries};

use answer_stream::OpenAnswer;
use request_adaptation::{Adaptations, RequestShape};
use request_error::{Redaction, RequestError};

pub use answer_reader::{AnswerReadError, AnswerReader, BodyEnd};
pub use llm_gateway::LlmGatewayModel;

/// OpenAI's host; regional hosts prefix it, for example `eu.api.openai.com`.
const OPENAI_HOST: &str = "api.openai.com";

/// How often a request is adapted to what the server accepts: once per optional part, and once per
/// rejected effort or answer length.
const MAX_ADAPTATIONS: usize = 16;

/// How often a conversation is shortened for a server that reports it as too long.
const MAX_CUTS: usize = 6;

/// Server, model, request parameters and time limits.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Base URL, to which `/chat/completions` and `/models` are appended.
    /// Default: `https://api.openai.com/v1`.
    pub base: Url,
    /// The API key; self-hosted servers often need none.
    pub key: Option<SecretString>,
    /// The model, as the server names it. Default: `gpt-6-luna`.
    pub model: String,
    /// Which of the two APIs to use. Default: chat.
    pub api: CompletionApi,
    /// How long the model may reason before it answers; if `None`, the field is not sent.
    /// Default: `none` for OpenAI, since reasoning costs latency; not sent to other servers.
    pub reasoning_effort: Option<String>,
    /// The field that limits the answer's tokens. Default: `max_completion_tokens` for OpenAI,
    /// `max_tokens` for others, which all of them accept.
    pub token_field: TokenField,
    /// The most tokens of an answer. Default: 800.
    pub max_answer_tokens: u32,
    /// The most tokens of the conversation to send, estimated. Default: 8000.
    pub context_tokens: u32,
    /// Sampling temperature; if `None`, the field is not sent and the server decides.
    pub temperature: Option<f32>,
    /// The longest wait for the first word. Default: as long as the whole answer, since many models
    /// reason without sending anything.
    pub first_token_timeout: Duration,
    /// The longest pause within an answer; reasoning and keep-alives end a pause. Default: 30 s.
    pub between_tokens_timeout: Duration,
    /// Time limit of the whole answer, including retries. Default: 120 s.
    pub total_timeout: Duration,
    /// How often a request that failed before its first word is retried.
    pub retry: RetryPolicy,
}

/// The two APIs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CompletionApi {
    /// `POST /chat/completions`: messages with roles.
    Chat,
    /// `POST /completions`: one text to be continued, the API of GPT-3.
    Completions,
}

/// The possible names of the field that limits the answer's tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenField {
    /// `max_completion_tokens`, which OpenAI requires.
    MaxCompletionTokens,
    /// `max_tokens`, which all other servers accept.
    MaxTokens,
}

impl OpenAiSettings {
    /// The defaults for OpenAI.
    pub fn openai(key: Option<SecretString>) -> Self {
        Self {
            base: Url::parse("https://api.openai.com/v1").expect("a literal URL"),
            key,
            model: "gpt-6-luna".to_owned(),
            api: CompletionApi::Chat,
            reasoning_effort: Some("none".to_owned()),
            token_field: TokenField::MaxCompletionTokens,
            max_answer_tokens: 800,
            context_tokens: 8_000,
            temperature: None,
            first_token_timeout: Duration::from_secs(120),
            between_tokens_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            retry: RetryPolicy::default(),
        }
    }

    /// The defaults for the server at `base`, which may be OpenAI's own.
    pub fn compatible(base: Url, key: Option<SecretString>) -> Self {
        let defaults = Self::openai(key);
        if base.host_str().is_some_and(is_openai) {
            return Self { base, ..defaults };
        }
        Self {
            base,
            reasoning_effort: None,
            token_field: TokenField::MaxTokens,
            ..defaults
        }
    }

    /// Sets the model. OpenAI's reasoning models need its defaults wherever they are served.
    #[must_use]
    pub fn for_model(self, model: &str) -> Self {
        let defaults = Self::openai(None);
        let model = model.to_owned();
        if !is_openai_reasoning_model(&model) {
            return Self { model, ..self };
        }
        Self {
            model,
            reasoning_effort: defaults.reasoning_effort,
            token_field: defaults.token_field,
            ..self
        }
    }
}

/// Whether the host is OpenAI's, in any region.
pub fn is_openai(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.strip_suffix(OPENAI_HOST)
        .is_some_and(|region| region.is_empty() || region.ends_with('.'))
}

/// Whether this is one of OpenAI's reasoning models, which accept different parameters, wherever they
/// are served. Other models with GPT in their name (`gpt-oss`, `gpt-j`) are not.
fn is_openai_reasoning_model(model: &str) -> bool {
    let name = model.strip_prefix("openai/").unwrap_or(model);
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    let gpt = name.strip_prefix("gpt-").and_then(number);
    let thinks = name.strip_prefix('o').and_then(number);
    gpt.is_some_and(|version| version >= 5) || thinks.is_some()
}

/// A model behind an OpenAI-compatible server.
pub struct OpenAiChatModel {
    http: reqwest::Client,
    settings: OpenAiSettings,
    card: ModelCard,
    adaptations: Arc<Adaptations>,
}

impl OpenAiChatModel {
    /// Creates the model. Makes no request.
    pub fn new(http: reqwest::Client, settings: OpenAiSettings) -> Self {
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
            adaptations: Arc::default(),
            settings,
        }
    }

    /// A request to `path` under the base URL, with the key if there is one.
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

    /// Sends one request and waits for the first word or the end, whichever comes first.
    async fn open_answer(
        &self,
        body: &wire::CompletionRequestBody<'_>,
        meter: &dyn UsageMeter,
    ) -> Result<OpenAnswer, RequestError> {
        meter.on_charge();
        let opened = self.open_answer_unmetered(body).await;
        match &opened {
            Err(failed) if failed.is_unbilled() => meter.on_refund(),
            Err(RequestError::EmptyAnswer(_, Some(usage))) => meter.on_unanswered_usage(*usage),
            _ => {}
        }
        opened
    }

    async fn open_answer_unmetered(
        &self,
        body: &wire::CompletionRequestBody<'_>,
    ) -> Result<OpenAnswer, RequestError> {
        let path = match self.settings.api {
            CompletionApi::Chat => "chat/completions",
            CompletionApi::Completions => "completions",
        };
        let request = self.request(reqwest::Method::POST, path).json(body);
        let response = request.send().await.map_err(::net::NetError::from)?;
        let response = request_error::check_response(response, path).await?;
        let mut answering = OpenAnswer::new(response, &self.settings, &self.adaptations);
        answering.wait_for_first_word().await?;
        Ok(answering)
    }

    /// Sends the request with retries, and adapts it if the server rejects a part of it.
    async fn open_answer_adapted(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<OpenAnswer, RequestError> {
        let mut left = MAX_ADAPTATIONS;
        loop {
            let shape = self
                .adaptations
                .apply(RequestShape::from_settings(&self.settings));
            let body = request::build_request(&self.settings, &shape, conversation);
            // A request that can be adapted is not retried unchanged.
            let judge =
                |failed: &RequestError| match request_adaptation::adaptation_for(&shape, failed) {
                    Some(_) => RetryAdvice::Never,
                    None => request_error::retry_advice(failed),
                };
            let ask = || self.open_answer(&body, meter);
            let opened = with_retries(&self.settings.retry, judge, ask).await;
            match opened {
                Err(failed) if left > 0 && self.adaptations.learn_from(&shape, &failed) => {
                    left -= 1;
                    tracing::info!(error = %failed, "the server wants to be asked otherwise");
                }
                other => return other,
            }
        }
    }

    /// Like [`open_answer_adapted`](Self::open_answer_adapted), but drops turns while the server
    /// reports that the conversation is too long.
    async fn open_answer_within_context(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<OpenAnswer, RequestError> {
        let mut opened = self.open_answer_adapted(conversation, meter).await;
        let mut kept = conversation.clone();
        for _ in 0..MAX_CUTS {
            let too_long = opened.as_ref().is_err_and(RequestError::is_too_long);
            let Some(shorter) = token_budget::trim_to_half(&kept).filter(|_| too_long) else {
                break;
            };
            tracing::info!(
                turns = shorter.turns.len(),
                "the server can't read so much at once"
            );
            opened = self.open_answer_adapted(&shorter, meter).await;
            if opened.is_ok() {
                self.adaptations
                    .note_context_tokens(token_budget::estimate_conversation_tokens(&shorter));
            }
            kept = shorter;
        }
        opened
    }
}

#[async_trait]
impl ChatModel for OpenAiChatModel {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        self.answer_metered(conversation, &()).await
    }

    fn estimate_prompt_tokens(&self, conversation: &Conversation) -> u32 {
        token_budget::estimate_conversation_tokens(conversation).min(self.settings.context_tokens)
    }

    fn max_answer_tokens(&self) -> u32 {
        self.settings.max_answer_tokens
    }

    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<AnswerStream, ChatError> {
        let conversation = token_budget::trim_to_limit(
            conversation,
            (
                self.settings.context_tokens,
                self.adaptations.context_tokens(),
            ),
        )?;
        let redaction = Redaction::new(&conversation, self.settings.key.as_ref());
        let deadline = tokio::time::Instant::now() + self.settings.total_timeout;
        let opened = tokio::time::timeout_at(
            deadline,
            self.open_answer_within_context(&conversation, meter),
        )
        .await;
        match opened {
            Ok(Ok(answering)) => {
                Ok(answering.into_stream((deadline, self.settings.total_timeout), redaction))
            }
            Ok(Err(error)) => Err(request_error::to_chat_error(
                error,
                &self.settings,
                &redaction,
            )),
            Err(_) => Err(ChatError::TimedOut(self.settings.total_timeout)),
        }
    }

    /// `GET /models`. Servers without it count as working.
    async fn probe(&self) -> Result<ChatProbe, ChatError> {
        model_list::probe_model_list(self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(base: &str, model: &str) -> (TokenField, Option<String>) {
        let base = Url::parse(base).expect("a URL");
        let settings = OpenAiSettings::compatible(base, None).for_model(model);
        (settings.token_field, settings.reasoning_effort)
    }

    #[test]
    fn openais_rules_hold_wherever_its_models_are() {
        let openai = (TokenField::MaxCompletionTokens, Some("none".to_owned()));
        let others = (TokenField::MaxTokens, None);
        for host in ["api", "eu.api", "us.api", "ae.api", "jp.api"] {
            let base = format!("https://{host}.openai.com/v1");
            assert_eq!(rules(&base, "gpt-6-luna"), openai, "{host}");
            assert_eq!(rules(&base, "ft:anything"), openai, "{host}");
        }
        for model in [
            "gpt-6-luna",
            "openai/gpt-6.2-sol",
            "gpt-5.4",
            "o3",
            "gpt-10",
        ] {
            assert_eq!(rules("https://proxy.example/v1", model), openai, "{model}");
        }
        for model in [
            "gpt-oss-20b",
            "gpt-4o",
            "gpt-j",
            "olmo-2",
            "llama3",
            "orca",
            "gpt4all",
        ] {
            assert_eq!(rules("http://localhost:11434/v1", model), others, "{model}");
        }
        for base in [
            "https://evilapi.openai.com.example/v1",
            "https://notapi.openai.com/v1",
        ] {
            assert_eq!(rules(base, "llama3"), others, "{base}");
        }
    }
}
