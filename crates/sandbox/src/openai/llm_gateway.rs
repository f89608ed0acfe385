//! AssemblyAI's LLM Gateway: OpenAI's API with AssemblyAI's keys, accounts, models and errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ListedModel, OpenAiEndpoint, OpenAiState, chat};
use crate::fault::{Fault, FaultQueue};
use crate::mock_response::MockResponse;
use crate::recorder::{RecordedRequest, Recorder, Server};
use crate::request_handler::{BufferedRequest, MockService};

/// The models that are served at first.
const MODELS: [&str; 3] = [
    "claude-haiku-4-5-20251001",
    "claude-sonnet-4-6",
    "gpt-6-luna",
];

/// AssemblyAI's LLM Gateway. Cheap to clone. Of [`OpenAiEndpoint`], it has `ChatConfig` and `ModelsCommand`.
#[derive(Clone, Debug)]
pub struct LlmGateway {
    state: Arc<LlmGatewayState>,
    recorder: Recorder,
    origin: String,
}

#[derive(Debug)]
pub(crate) struct LlmGatewayState {
    /// What answers behind it.
    upstream: OpenAiState,
    key: String,
    is_free_plan: AtomicBool,
    retirement_time: AtomicU64,
    request_counter: AtomicU64,
}

impl LlmGateway {
    pub(crate) fn new(state: Arc<LlmGatewayState>, recorder: Recorder, origin: String) -> Self {
        Self {
            state,
            recorder,
            origin,
        }
    }

    /// The base URL with `/v1`, in place of `https://llm-gateway.assemblyai.com/v1`.
    pub fn url(&self) -> String {
        format!("{}/v1", self.origin)
    }

    /// The answer from now on.
    pub fn says(&self, text: &str) {
        let mut script = self.state.upstream.script();
        script.queued.clear();
        script.chunks = super::answer_script::split_before_blanks(text);
    }

    /// The account has no paid plan from now on.
    pub fn set_free_plan(&self) {
        self.state.is_free_plan.store(true, Ordering::Relaxed);
    }

    /// The models there are.
    pub fn set_models(&self, models: &[&str]) {
        self.state.upstream.script().models =
            models.iter().map(|it| ListedModel::new(it)).collect();
    }

    /// All models retire at this time, in Unix seconds.
    pub fn set_retirement_time(&self, seconds: u64) {
        self.state.retirement_time.store(seconds, Ordering::Relaxed);
    }

    /// Queues a fault.
    pub fn add_fault(&self, endpoint: OpenAiEndpoint, fault: Fault) {
        self.state.upstream.faults.add(endpoint, fault);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.requests(Some(Server::LlmGateway))
    }
}

impl LlmGatewayState {
    pub(crate) fn new(key: &str) -> Self {
        let upstream = OpenAiState::new(key);
        upstream.script().models = MODELS.map(ListedModel::new).into();
        Self {
            upstream,
            key: key.to_owned(),
            is_free_plan: AtomicBool::new(false),
            retirement_time: AtomicU64::new(0),
            request_counter: AtomicU64::new(0),
        }
    }

    fn request_id(&self) -> String {
        let number = self.request_counter.fetch_add(1, Ordering::Relaxed);
        format!("{number:08x}-0000-4000-8000-000000000000")
    }

    /// What a handler refuses.
    fn gateway_error(&self, status: StatusCode, message: &str, errors: &[&str]) -> MockResponse {
        MockResponse::json(
            status,
            &json!({
                "message": message,
                "code": status.as_u16(),
                "request_id": self.request_id(),
                "metadata": {"errors": errors},
            }),
        )
    }

    /// With `Bearer`, as OpenAI's clients send it, or bare, as AssemblyAI's do.
    fn check_key(&self, request: &BufferedRequest) -> Result<(), MockResponse> {
        let given = request.header("authorization").unwrap_or_default();
        if given.strip_prefix("Bearer ").unwrap_or(given) != self.key {
            let error = json!({"code": 401, "message": "Unauthorized - Invalid API key"});
            return Err(MockResponse::json(
                StatusCode::UNAUTHORIZED,
                &json!({"error": error}),
            ));
        }
        if self.is_free_plan.load(Ordering::Relaxed) {
            return Err(MockResponse::json(
                StatusCode::FORBIDDEN,
                &json!({
                    "error": "Your account does not have access to LLM Gateway. Upgrade to a paid plan to use it.",
                    "status": 403,
                    "request_id": self.request_id(),
                }),
            ));
        }
        Ok(())
    }

    async fn chat(&self, request: &BufferedRequest, fault: &Fault) -> MockResponse {
        let body: Value = serde_json::from_slice(&request.body.bytes).unwrap_or_default();
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        if messages.iter().any(|message| message["content"].is_array()) {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return self.gateway_error(status, "Internal Server Error", &[]);
        }
        let model = body["model"].as_str().unwrap_or_default();
        let known = self
            .upstream
            .script()
            .models
            .iter()
            .any(|it| it.id == model);
        if !known {
            let why = format!("model: unknown model {model}");
            return self.gateway_error(StatusCode::BAD_REQUEST, "Invalid request", &[&why]);
        }
        let mut answer = chat::respond(&self.upstream, request, fault).await;
        if answer.status.is_success() {
            let id = self.request_id();
            answer.modify_json(|whole| {
                whole["request_id"] = id.into();
                let usage = whole["usage"].clone();
                if usage.is_object() {
                    whole["usage"]["input_tokens"] = usage["prompt_tokens"].clone();
                    whole["usage"]["output_tokens"] = usage["completion_tokens"].clone();
                }
            });
            return answer;
        }
        let told: Value = serde_json::from_slice(&answer.fixed_body()).unwrap_or_default();
        let why = told["error"]["message"].as_str().unwrap_or_default();
        self.gateway_error(answer.status, "Invalid request", &[why])
    }

    fn list_models(&self) -> MockResponse {
        let retires = self.retirement_time.load(Ordering::Relaxed);
        let models: Vec<Value> = self
            .upstream
            .script()
            .models
            .iter()
            .map(|model| model_entry(&model.id, retires))
            .collect();
        MockResponse::ok(&json!({"data": models}))
    }
}

fn model_entry(id: &str, retires: u64) -> Value {
    let creator = match id.split('-').next() {
        Some("claude") => "anthropic",
        Some("gemini") => "google",
        _ => "openai",
    };
    let provider = json!({"id": creator, "name": creator});
    let regions: &[&str] = match creator {
        "openai" => &["us", "global"],
        _ => &["us", "eu", "global"],
    };
    json!({
        "id": id,
        "name": id,
        "description": "A model of the sandbox.",
        "default_parameters": {"temperature": 1.0},
        "supported_parameters": ["max_tokens", "stream", "temperature", "tools"],
        "top_provider": {
            "is_moderated": false, "context_length": 200_000, "max_completion_tokens": 64_000,
        },
        "context_length": 200_000,
        "pricing": {
            "global": {"prompt": 1.0, "completions": 5.0},
            "us": {"prompt": 1.1, "completions": 5.5},
            "regional_increase_percent": 10.0,
        },
        "creator": creator,
        "retirement_date": retires,
        "available_regions": regions,
        "providers": [provider],
        "default_provider": provider,
    })
}

impl MockService for LlmGatewayState {
    type Endpoint = OpenAiEndpoint;

    const SERVER: Server = Server::LlmGateway;

    fn route(&self, method: &Method, path: &str) -> Result<OpenAiEndpoint, StatusCode> {
        match (method, path) {
            (&Method::POST, "/v1/chat/completions") => Ok(OpenAiEndpoint::Chat),
            (&Method::GET, "/v1/models") => Ok(OpenAiEndpoint::Models),
            (_, "/v1/chat/completions" | "/v1/models") => Err(StatusCode::METHOD_NOT_ALLOWED),
            _ => Err(StatusCode::NOT_FOUND),
        }
    }

    fn faults(&self) -> &FaultQueue<OpenAiEndpoint> {
        &self.upstream.faults
    }

    fn error_response(
        &self,
        _: Option<OpenAiEndpoint>,
        status: StatusCode,
        _: Option<&str>,
        message: Option<&str>,
    ) -> MockResponse {
        let usual = status.canonical_reason().unwrap_or("Error");
        self.gateway_error(status, message.unwrap_or(usual), &[])
    }

    async fn respond(
        &self,
        endpoint: OpenAiEndpoint,
        request: BufferedRequest,
        fault: &Fault,
    ) -> MockResponse {
        // Anybody may read the list.
        if endpoint == OpenAiEndpoint::Models {
            return self.list_models();
        }
        match self.check_key(&request) {
            Ok(()) => self.chat(&request, fault).await,
            Err(refused) => refused,
        }
    }
}
