//! Any server that speaks OpenAI's `POST /v1/chat/completions`, or the older `/v1/completions`.
//!
//! Written after OpenAI's OpenAPI file and what compatible servers (Ollama, llama.cpp, vLLM,
//! LM Studio, OpenRouter) are known to do differently. An answer that a person could read in the
//! bytes of a body is shown whole, whatever the body says it is; [`AnswerReader`] reads it. What a
//! server refuses of a request is learned in `adapt`.

mod adapt;
mod answer;
mod effort;
mod errors;
mod frames;
mod gateway;
mod models;
mod reader;
mod repair;
mod repeats;
mod request;
mod shapes;
mod thoughts;
mod unzip;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{AnswerStream, ChatError, ChatModel, Conversation, Meter, ModelCard, Probe, budget};
use net::{Retry, RetryPolicy, retrying};

use adapt::{Adaptations, Shape};
use answer::Answering;
use errors::{Failed, Redaction};

pub use gateway::LlmGatewayModel;
pub use reader::{AnswerReader, BodyEnd, ReadError};

/// The host of OpenAI itself; regions have names before it: `eu.api.openai.com`.
const OPENAI_HOST: &str = "api.openai.com";

/// How often a request is changed to what a server accepts: for each optional part of it, and for
/// each effort and length of an answer that it may not have.
const MAX_ADAPTATIONS: usize = 16;

/// How often a conversation is shortened for a server that can't read so much.
const MAX_CUTS: usize = 6;

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
    /// The longest silence before the first word. Default: as long as the whole answer, since many
    /// models think without a sign of life.
    pub first_token: Duration,
    /// The longest silence inside an answer; thoughts and signs of life are none. Default: 30 s.
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
            first_token: Duration::from_secs(120),
            between_tokens: Duration::from_secs(30),
            total: Duration::from_secs(120),
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

    /// The same for `model`: OpenAI's models have their rules wherever they are served.
    #[must_use]
    pub fn for_model(self, model: &str) -> Self {
        let defaults = Self::openai(None);
        let model = model.to_owned();
        if !is_openai_model(&model) {
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

/// Whether a host is OpenAI's own, in whatever region.
pub fn is_openai(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.strip_suffix(OPENAI_HOST)
        .is_some_and(|region| region.is_empty() || region.ends_with('.'))
}

/// Whether a model is one of OpenAI's that think, which have rules of their own wherever they are
/// served. Others that are called GPT (`gpt-oss`, `gpt-j`) have not.
fn is_openai_model(model: &str) -> bool {
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
pub struct OpenAiModel {
    http: reqwest::Client,
    settings: Settings,
    card: ModelCard,
    adaptations: Arc<Adaptations>,
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
            adaptations: Arc::default(),
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
    async fn open(&self, body: &wire::Request<'_>, meter: &dyn Meter) -> Result<Answering, Failed> {
        meter.charged();
        let opened = self.open_unmetered(body).await;
        match &opened {
            Err(failed) if failed.did_nothing() => meter.refunded(),
            Err(Failed::Empty(_, Some(usage))) => meter.spent(*usage),
            _ => {}
        }
        opened
    }

    async fn open_unmetered(&self, body: &wire::Request<'_>) -> Result<Answering, Failed> {
        let path = match self.settings.api {
            Api::Chat => "chat/completions",
            Api::Completions => "completions",
        };
        let request = self.request(reqwest::Method::POST, path).json(body);
        let response = request.send().await.map_err(::net::NetError::from)?;
        let response = errors::check(response, path).await?;
        let mut answering = Answering::new(response, &self.settings, &self.adaptations);
        answering.wait_for_first_word().await?;
        Ok(answering)
    }

    /// Asks, with retries, and with the request changed where the server says that it does not
    /// know a part of it.
    async fn open_adapted(
        &self,
        conversation: &Conversation,
        meter: &dyn Meter,
    ) -> Result<Answering, Failed> {
        let mut left = MAX_ADAPTATIONS;
        loop {
            let shape = self.adaptations.apply(Shape::wanted(&self.settings));
            let body = request::body(&self.settings, &shape, conversation);
            // What can be asked otherwise is not asked again as it was.
            let judge = |failed: &Failed| match adapt::lesson(&shape, failed) {
                Some(_) => Retry::No,
                None => errors::retry(failed),
            };
            let ask = || self.open(&body, meter);
            let opened = retrying(&self.settings.retry, judge, ask).await;
            match opened {
                Err(failed) if left > 0 && self.adaptations.learn(&shape, &failed) => {
                    left -= 1;
                    tracing::info!(error = %failed, "the server wants to be asked otherwise");
                }
                other => return other,
            }
        }
    }

    /// The same, with fewer turns each time that the server can't read so many.
    async fn open_within_context(
        &self,
        conversation: &Conversation,
        meter: &dyn Meter,
    ) -> Result<Answering, Failed> {
        let mut opened = self.open_adapted(conversation, meter).await;
        let mut kept = conversation.clone();
        for _ in 0..MAX_CUTS {
            let too_long = opened.as_ref().is_err_and(Failed::is_too_long);
            let Some(shorter) = budget::shorter(&kept).filter(|_| too_long) else {
                break;
            };
            tracing::info!(
                turns = shorter.turns.len(),
                "the server can't read so much at once"
            );
            opened = self.open_adapted(&shorter, meter).await;
            if opened.is_ok() {
                self.adaptations
                    .note_context_tokens(budget::tokens(&shorter));
            }
            kept = shorter;
        }
        opened
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
        let conversation = budget::cut_to_last(
            conversation,
            (
                self.settings.context_tokens,
                self.adaptations.context_tokens(),
            ),
        )?;
        let redaction = Redaction::new(&conversation, self.settings.key.as_ref());
        let deadline = tokio::time::Instant::now() + self.settings.total;
        let opened =
            tokio::time::timeout_at(deadline, self.open_within_context(&conversation, meter)).await;
        match opened {
            Ok(Ok(answering)) => {
                Ok(answering.into_stream((deadline, self.settings.total), redaction))
            }
            Ok(Err(error)) => Err(errors::chat_error(error, &self.settings, &redaction)),
            Err(_) => Err(ChatError::TimedOut(self.settings.total)),
        }
    }

    /// `GET /models`. Servers without it count as reachable.
    async fn probe(&self) -> Result<Probe, ChatError> {
        models::probe(self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(base: &str, model: &str) -> (TokenField, Option<String>) {
        let base = Url::parse(base).expect("a URL");
        let settings = Settings::compatible(base, None).for_model(model);
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
