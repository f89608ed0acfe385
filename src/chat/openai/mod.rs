//! Chat models behind a server with OpenAI's `POST /v1/chat/completions` or the older
//! `/v1/completions`.
//!
//! Based on OpenAI's OpenAPI file and the known differences of compatible servers (Ollama,
//! llama.cpp, vLLM, LM Studio, OpenRouter). [`AnswerReader`] accepts every body from which a person
//! could read an answer. `request_adaptation` learns which parts of a request a server rejects.

mod answer_reader;
mod answer_stream;
mod delta_parser;
mod gunzip;
mod lenient_json;
mod llm_gateway;
mod markdown_position;
mod model_list;
mod reasoning_effort;
mod reasoning_filter;
mod reasoning_tags;
mod repeat_filter;
mod request;
mod request_adaptation;
mod request_error;
mod settings;
mod sse_parser;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::{
    AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard, UsageMeter,
    token_budget,
};
use net::{RetryAdvice, with_retries};

use answer_stream::OpenAnswer;
use request_adaptation::{Adaptations, RequestShape};
use request_error::{Redaction, RequestError};

pub use answer_reader::{AnswerReadError, AnswerReader, BodyEnd};
pub use llm_gateway::LlmGatewayModel;
pub use settings::{CompletionApi, OpenAiSettings, TokenField, is_openai};

/// How often a request is adapted to what the server accepts: once per optional part, and once per
/// rejected effort or answer length.
const MAX_ADAPTATIONS: usize = 16;

/// How often a conversation is shortened for a server that reports it as too long.
const MAX_CUTS: usize = 6;

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
            Err(error) if error.is_unbilled() => meter.on_refund(),
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
        let mut answer = OpenAnswer::new(response, &self.settings, &self.adaptations);
        answer.wait_for_first_word().await?;
        Ok(answer)
    }

    /// Sends the request with retries, and adapts it if the server rejects a part of it.
    async fn open_answer_adapted(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<OpenAnswer, RequestError> {
        let mut adaptations_left = MAX_ADAPTATIONS;
        loop {
            let shape = self
                .adaptations
                .apply(RequestShape::from_settings(&self.settings));
            let body = request::build_request(&self.settings, &shape, conversation);
            // A request that can be adapted is not retried unchanged.
            let advice =
                |error: &RequestError| match request_adaptation::adaptation_for(&shape, error) {
                    Some(_) => RetryAdvice::Never,
                    None => request_error::retry_advice(error),
                };
            let attempt = || self.open_answer(&body, meter);
            let opened = with_retries(&self.settings.retry, advice, attempt).await;
            match opened {
                Err(error)
                    if adaptations_left > 0 && self.adaptations.learn_from(&shape, &error) =>
                {
                    adaptations_left -= 1;
                    tracing::info!(%error, "the server rejected the request; adapting it");
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
                "the conversation is too long for the server; shortening it"
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
            Ok(Ok(answer)) => {
                Ok(answer.into_stream((deadline, self.settings.total_timeout), redaction))
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
