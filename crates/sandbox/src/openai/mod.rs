//! OpenAI, and the servers that speak as it does.

mod answer_script;
mod chat;
mod completions;
mod dialect;
mod errors;
mod llm_gateway;
mod moderations;
mod sse;
mod validate;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fault::{Fault, FaultQueue};
use crate::mock_response::MockResponse;
use crate::recorder::{RecordedRequest, Recorder, Server};
use crate::request_handler::{BufferedRequest, MockService};

use answer_script::AnswerScript;
pub use answer_script::ListedModel;
pub use dialect::Dialect;
pub use llm_gateway::LlmGateway;
pub(crate) use llm_gateway::LlmGatewayState;

/// Where a fault of the OpenAI server strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OpenAiEndpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/models/{model}`.
    Model,
    /// `POST /v1/moderations`.
    Moderations,
}

/// The OpenAI server of a sandbox. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OpenAi {
    state: Arc<OpenAiState>,
    recorder: Recorder,
    origin: String,
}

#[derive(Debug)]
pub(crate) struct OpenAiState {
    script: Mutex<AnswerScript>,
    faults: FaultQueue<OpenAiEndpoint>,
    answer_counter: AtomicU64,
    /// Tokens that were read, and written.
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
}

impl OpenAiState {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            script: Mutex::new(AnswerScript::new(key.to_owned())),
            faults: FaultQueue::default(),
            answer_counter: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
        }
    }

    fn script(&self) -> MutexGuard<'_, AnswerScript> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenAi {
    pub(crate) fn new(state: Arc<OpenAiState>, recorder: Recorder, origin: String) -> Self {
        Self {
            state,
            recorder,
            origin,
        }
    }

    /// The base URL with `/v1`, as clients want it.
    pub fn url(&self) -> String {
        format!("{}/v1", self.origin)
    }

    /// The key that is accepted; empty where no key is required.
    pub fn key(&self) -> String {
        self.state.script().key.clone().unwrap_or_default()
    }

    /// Requests without a key, or with any, are served, as on a server at home.
    pub fn disable_auth(&self) {
        self.state.script().key = None;
    }

    /// The answer from now on, split at blanks.
    pub fn says(&self, text: &str) {
        self.set_answer_chunks(answer_script::split_before_blanks(text));
    }

    /// The answer from now on, in these pieces.
    pub fn set_answer_chunks<S: Into<String>>(&self, pieces: impl IntoIterator<Item = S>) {
        let pieces = pieces.into_iter().map(Into::into).collect();
        let mut script = self.state.script();
        script.queued.clear();
        script.chunks = pieces;
    }

    /// One answer after the other; after the last one, what [`says`](Self::says) says.
    pub fn queue_answers<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) {
        let texts = texts
            .into_iter()
            .map(|text| answer_script::split_before_blanks(text.as_ref()));
        self.state.script().queued.extend(texts);
    }

    /// The time before the first piece.
    pub fn set_first_chunk_delay(&self, time: Duration) {
        self.state.script().first_chunk_delay = time;
    }

    /// The time between two pieces of a stream.
    pub fn set_chunk_delay(&self, time: Duration) {
        self.state.script().chunk_delay = time;
    }

    /// The models there are. Requests for others get 404.
    ///
    /// Names that begin with `gpt-` or `o` and a digit are held to OpenAI's own rules
    /// (`max_completion_tokens` only, no temperature while reasoning); others are as lenient as
    /// the servers that run them.
    pub fn set_models<M: Into<ListedModel>>(&self, models: impl IntoIterator<Item = M>) {
        self.state.script().models = models.into_iter().map(Into::into).collect();
    }

    /// Requests with this field are refused from now on, as servers of this make refuse a field
    /// that they don't know.
    pub fn reject_field(&self, field: &str, dialect: Dialect) {
        self.state
            .script()
            .rejected_fields
            .push((field.to_owned(), dialect));
    }

    /// Moderation flags texts that contain this.
    pub fn flags(&self, text: &str) {
        self.state.script().flagged_texts.push(text.to_lowercase());
    }

    /// Tokens of all conversations so far that came whole and were not refused, and of all answers
    /// that were begun, as if nobody had left before their end.
    pub fn billed_tokens(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            of(&self.state.prompt_tokens),
            of(&self.state.completion_tokens),
        )
    }

    /// Queues a fault.
    pub fn add_fault(&self, endpoint: OpenAiEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.requests(Some(Server::OpenAi))
    }

    /// Waits for this many requests, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all there
    /// are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<RecordedRequest> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// requests there are.
    pub async fn wait_until(
        &self,
        enough: impl Fn(&[RecordedRequest]) -> bool,
    ) -> Vec<RecordedRequest> {
        self.recorder.wait_until(Some(Server::OpenAi), enough).await
    }
}

impl MockService for OpenAiState {
    type Endpoint = OpenAiEndpoint;

    const SERVER: Server = Server::OpenAi;

    fn route(&self, method: &Method, path: &str) -> Result<OpenAiEndpoint, StatusCode> {
        let (wanted, endpoint) = match path {
            "/v1/chat/completions" => (Method::POST, OpenAiEndpoint::Chat),
            "/v1/completions" => (Method::POST, OpenAiEndpoint::Completions),
            "/v1/moderations" => (Method::POST, OpenAiEndpoint::Moderations),
            "/v1/models" => (Method::GET, OpenAiEndpoint::Models),
            _ if path.starts_with("/v1/models/") => (Method::GET, OpenAiEndpoint::Model),
            _ => return Err(StatusCode::NOT_FOUND),
        };
        if *method == wanted {
            Ok(endpoint)
        } else {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    fn faults(&self) -> &FaultQueue<OpenAiEndpoint> {
        &self.faults
    }

    fn error_response(
        &self,
        endpoint: Option<OpenAiEndpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> MockResponse {
        let answer = match (endpoint, status) {
            (None, StatusCode::NOT_FOUND) => errors::error_response(
                status,
                "invalid_request_error",
                None,
                None,
                message.unwrap_or("Invalid URL"),
            ),
            _ => errors::default_error(status, code, message),
        };
        self.add_response_headers(answer)
    }

    fn record_billing(&self, endpoint: OpenAiEndpoint, request: &BufferedRequest) {
        if endpoint == OpenAiEndpoint::Chat && self.check_key(request).is_ok() {
            let body: Value = serde_json::from_slice(&request.body.bytes).unwrap_or_default();
            let prompt = answer_script::estimate_tokens(&body["messages"].to_string());
            self.prompt_tokens.fetch_add(prompt, Ordering::Relaxed);
        }
    }

    async fn respond(
        &self,
        endpoint: OpenAiEndpoint,
        request: BufferedRequest,
        fault: &Fault,
    ) -> MockResponse {
        if let Err(refused) = self.check_key(&request) {
            return self.add_response_headers(refused);
        }
        let answer = match endpoint {
            OpenAiEndpoint::Chat => chat::respond(self, &request, fault).await,
            OpenAiEndpoint::Completions => completions::respond(self, &request, fault).await,
            OpenAiEndpoint::Moderations => moderations::respond(self, &request),
            OpenAiEndpoint::Models => self.list_models(),
            OpenAiEndpoint::Model => self.get_model(&request),
        };
        self.add_response_headers(answer)
    }
}

impl OpenAiState {
    fn add_response_headers(&self, answer: MockResponse) -> MockResponse {
        let number = self.answer_counter.fetch_add(1, Ordering::Relaxed);
        answer
            .header("x-request-id", &format!("req_{number:016x}"))
            .header("openai-processing-ms", "1")
            .header("openai-version", "2020-10-01")
    }

    fn check_key(&self, request: &BufferedRequest) -> Result<(), MockResponse> {
        let script = self.script();
        let Some(key) = &script.key else {
            return Ok(());
        };
        let given = request.header("authorization");
        match given.and_then(|given| given.strip_prefix("Bearer ")) {
            Some(given) if given == key => Ok(()),
            Some(_) => Err(errors::default_error(
                StatusCode::UNAUTHORIZED,
                None,
                Some(
                    "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
                ),
            )),
            None => Err(errors::error_response(
                StatusCode::UNAUTHORIZED,
                "invalid_request_error",
                None,
                None,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )),
        }
    }

    fn list_models(&self) -> MockResponse {
        let data: Vec<Value> = self
            .script()
            .models
            .iter()
            .map(ListedModel::to_json)
            .collect();
        MockResponse::ok(&json!({"object": "list", "data": data}))
    }

    fn get_model(&self, request: &BufferedRequest) -> MockResponse {
        let name = request.path().trim_start_matches("/v1/models/");
        let script = self.script();
        match script.models.iter().find(|model| model.id == name) {
            Some(model) => MockResponse::ok(&model.to_json()),
            None => unknown_model(name),
        }
    }
}

fn unknown_model(name: &str) -> MockResponse {
    errors::error_response(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        Some("model_not_found"),
        None,
        &format!("The model `{name}` does not exist or you do not have access to it."),
    )
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
