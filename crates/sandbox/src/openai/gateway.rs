//! AssemblyAI's LLM Gateway: OpenAI's API with AssemblyAI's keys, accounts, models and errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Model, OpenAiEndpoint, State, chat};
use crate::answer::Answer;
use crate::exchange::{Provider, Request};
use crate::fault::{Fault, Faults};
use crate::recorder::{Recorded, Recorder, Server};

/// The models that are served at first.
const MODELS: [&str; 3] = [
    "claude-haiku-4-5-20251001",
    "claude-sonnet-4-6",
    "gpt-6-luna",
];

/// AssemblyAI's LLM Gateway. Cheap to clone. Of [`OpenAiEndpoint`], it has `Chat` and `Models`.
#[derive(Clone, Debug)]
pub struct LlmGateway {
    gateway: Arc<Gateway>,
    recorder: Recorder,
    origin: String,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    /// What answers behind it.
    behind: State,
    key: String,
    free: AtomicBool,
    retires: AtomicU64,
    requests: AtomicU64,
}

impl LlmGateway {
    pub(crate) fn new(gateway: Arc<Gateway>, recorder: Recorder, origin: String) -> Self {
        Self {
            gateway,
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
        let mut script = self.gateway.behind.script();
        script.in_turn.clear();
        script.pieces = super::script::split(text);
    }

    /// The account has no paid plan from now on.
    pub fn is_free(&self) {
        self.gateway.free.store(true, Ordering::Relaxed);
    }

    /// The models there are.
    pub fn models(&self, models: &[&str]) {
        self.gateway.behind.script().models = models.iter().map(|it| Model::new(it)).collect();
    }

    /// All models retire at this time, in Unix seconds.
    pub fn retires_at(&self, seconds: u64) {
        self.gateway.retires.store(seconds, Ordering::Relaxed);
    }

    /// Queues a fault.
    pub fn fault(&self, endpoint: OpenAiEndpoint, fault: Fault) {
        self.gateway.behind.faults.add(endpoint, fault);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests(Some(Server::LlmGateway))
    }
}

impl Gateway {
    pub(crate) fn new(key: &str) -> Self {
        let behind = State::new(key);
        behind.script().models = MODELS.map(Model::new).into();
        Self {
            behind,
            key: key.to_owned(),
            free: AtomicBool::new(false),
            retires: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{number:08x}-0000-4000-8000-000000000000")
    }

    /// What a handler refuses.
    fn refuse(&self, status: StatusCode, message: &str, errors: &[&str]) -> Answer {
        Answer::json(
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
    fn check_key(&self, request: &Request) -> Result<(), Answer> {
        let given = request.header("authorization").unwrap_or_default();
        if given.strip_prefix("Bearer ").unwrap_or(given) != self.key {
            let error = json!({"code": 401, "message": "Unauthorized - Invalid API key"});
            return Err(Answer::json(
                StatusCode::UNAUTHORIZED,
                &json!({"error": error}),
            ));
        }
        if self.free.load(Ordering::Relaxed) {
            return Err(Answer::json(
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

    async fn chat(&self, request: &Request, fault: &Fault) -> Answer {
        let body: Value = serde_json::from_slice(&request.body.bytes).unwrap_or_default();
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        if messages.iter().any(|message| message["content"].is_array()) {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return self.refuse(status, "Internal Server Error", &[]);
        }
        let model = body["model"].as_str().unwrap_or_default();
        let known = self.behind.script().models.iter().any(|it| it.id == model);
        if !known {
            let why = format!("model: unknown model {model}");
            return self.refuse(StatusCode::BAD_REQUEST, "Invalid request", &[&why]);
        }
        let mut answer = chat::answer(&self.behind, request, fault).await;
        if answer.status.is_success() {
            let id = self.request_id();
            answer.alter(|whole| {
                whole["request_id"] = id.into();
                let usage = whole["usage"].clone();
                if usage.is_object() {
                    whole["usage"]["input_tokens"] = usage["prompt_tokens"].clone();
                    whole["usage"]["output_tokens"] = usage["completion_tokens"].clone();
                }
            });
            return answer;
        }
        let told: Value = serde_json::from_slice(&answer.body()).unwrap_or_default();
        let why = told["error"]["message"].as_str().unwrap_or_default();
        self.refuse(answer.status, "Invalid request", &[why])
    }

    fn list(&self) -> Answer {
        let retires = self.retires.load(Ordering::Relaxed);
        let models: Vec<Value> = self
            .behind
            .script()
            .models
            .iter()
            .map(|model| entry(&model.id, retires))
            .collect();
        Answer::ok(&json!({"data": models}))
    }
}

fn entry(id: &str, retires: u64) -> Value {
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

impl Provider for Gateway {
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

    fn faults(&self) -> &Faults<OpenAiEndpoint> {
        &self.behind.faults
    }

    fn error(
        &self,
        _: Option<OpenAiEndpoint>,
        status: StatusCode,
        _: Option<&str>,
        message: Option<&str>,
    ) -> Answer {
        let usual = status.canonical_reason().unwrap_or("Error");
        self.refuse(status, message.unwrap_or(usual), &[])
    }

    async fn answer(&self, endpoint: OpenAiEndpoint, request: Request, fault: &Fault) -> Answer {
        // Anybody may read the list.
        if endpoint == OpenAiEndpoint::Models {
            return self.list();
        }
        match self.check_key(&request) {
            Ok(()) => self.chat(&request, fault).await,
            Err(refused) => refused,
        }
    }
}
