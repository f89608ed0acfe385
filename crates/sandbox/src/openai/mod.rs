//! OpenAI, and the servers that speak as it does.

mod chat;
mod completions;
mod dialect;
mod errors;
mod gateway;
mod moderations;
mod script;
mod sse;
mod validate;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::exchange::{Provider, Request};
use crate::fault::{Fault, Faults};
use crate::recorder::{Recorded, Recorder, Server};

pub use dialect::Dialect;
pub(crate) use gateway::Gateway;
pub use gateway::LlmGateway;
pub use script::Model;
use script::Script;

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
    state: Arc<State>,
    recorder: Recorder,
    origin: String,
}

#[derive(Debug)]
pub(crate) struct State {
    script: Mutex<Script>,
    faults: Faults<OpenAiEndpoint>,
    answers: AtomicU64,
    /// Tokens that were read, and written.
    prompts: AtomicU64,
    written: AtomicU64,
}

impl State {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            script: Mutex::new(Script::new(key.to_owned())),
            faults: Faults::default(),
            answers: AtomicU64::new(0),
            prompts: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenAi {
    pub(crate) fn new(state: Arc<State>, recorder: Recorder, origin: String) -> Self {
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

    /// The key that is accepted; empty after [`needs_no_key`](Self::needs_no_key).
    pub fn key(&self) -> String {
        self.state.script().key.clone().unwrap_or_default()
    }

    /// Requests without a key, or with any, are served, as on a server at home.
    pub fn needs_no_key(&self) {
        self.state.script().key = None;
    }

    /// The answer from now on, split at blanks.
    pub fn says(&self, text: &str) {
        self.says_pieces(script::split(text));
    }

    /// The answer from now on, in these pieces.
    pub fn says_pieces<S: Into<String>>(&self, pieces: impl IntoIterator<Item = S>) {
        let pieces = pieces.into_iter().map(Into::into).collect();
        let mut script = self.state.script();
        script.in_turn.clear();
        script.pieces = pieces;
    }

    /// One answer after the other; after the last one, what [`says`](Self::says) says.
    pub fn says_in_turn<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) {
        let texts = texts.into_iter().map(|text| script::split(text.as_ref()));
        self.state.script().in_turn.extend(texts);
    }

    /// The time before the first piece.
    pub fn takes(&self, time: Duration) {
        self.state.script().takes = time;
    }

    /// The time between two pieces of a stream.
    pub fn takes_between_pieces(&self, time: Duration) {
        self.state.script().between_pieces = time;
    }

    /// The models there are. Requests for others get 404.
    ///
    /// Names that begin with `gpt-` or `o` and a digit are held to OpenAI's own rules
    /// (`max_completion_tokens` only, no temperature while reasoning); others are as lenient as
    /// the servers that run them.
    pub fn models<M: Into<Model>>(&self, models: impl IntoIterator<Item = M>) {
        self.state.script().models = models.into_iter().map(Into::into).collect();
    }

    /// Requests with this field are refused from now on, as servers of this make refuse a field
    /// that they don't know.
    pub fn knows_no(&self, field: &str, dialect: Dialect) {
        self.state
            .script()
            .unknown
            .push((field.to_owned(), dialect));
    }

    /// Moderation flags texts that contain this.
    pub fn flags(&self, text: &str) {
        self.state.script().flagged.push(text.to_lowercase());
    }

    /// Tokens of all conversations so far that came whole and were not refused, and of all answers
    /// that were begun, as if nobody had left before their end.
    pub fn billed(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.state.prompts), of(&self.state.written))
    }

    /// Queues a fault.
    pub fn fault(&self, endpoint: OpenAiEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests(Some(Server::OpenAi))
    }

    /// Waits for this many requests, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all there
    /// are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// requests there are.
    pub async fn wait_until(&self, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        self.recorder.wait_until(Some(Server::OpenAi), enough).await
    }
}

impl Provider for State {
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

    fn faults(&self) -> &Faults<OpenAiEndpoint> {
        &self.faults
    }

    fn error(
        &self,
        endpoint: Option<OpenAiEndpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Answer {
        let answer = match (endpoint, status) {
            (None, StatusCode::NOT_FOUND) => errors::error(
                status,
                "invalid_request_error",
                None,
                None,
                message.unwrap_or("Invalid URL"),
            ),
            _ => errors::published(status, code, message),
        };
        self.stamp(answer)
    }

    fn bill(&self, endpoint: OpenAiEndpoint, request: &Request) {
        if endpoint == OpenAiEndpoint::Chat && self.check_key(request).is_ok() {
            let body: Value = serde_json::from_slice(&request.body.bytes).unwrap_or_default();
            let prompt = script::tokens(&body["messages"].to_string());
            self.prompts.fetch_add(prompt, Ordering::Relaxed);
        }
    }

    async fn answer(&self, endpoint: OpenAiEndpoint, request: Request, fault: &Fault) -> Answer {
        if let Err(refused) = self.check_key(&request) {
            return self.stamp(refused);
        }
        let answer = match endpoint {
            OpenAiEndpoint::Chat => chat::answer(self, &request, fault).await,
            OpenAiEndpoint::Completions => completions::answer(self, &request, fault).await,
            OpenAiEndpoint::Moderations => moderations::answer(self, &request),
            OpenAiEndpoint::Models => self.list(),
            OpenAiEndpoint::Model => self.one(&request),
        };
        self.stamp(answer)
    }
}

impl State {
    fn stamp(&self, answer: Answer) -> Answer {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        answer
            .header("x-request-id", &format!("req_{number:016x}"))
            .header("openai-processing-ms", "1")
            .header("openai-version", "2020-10-01")
    }

    fn check_key(&self, request: &Request) -> Result<(), Answer> {
        let script = self.script();
        let Some(key) = &script.key else {
            return Ok(());
        };
        let given = request.header("authorization");
        match given.and_then(|given| given.strip_prefix("Bearer ")) {
            Some(given) if given == key => Ok(()),
            Some(_) => Err(errors::published(
                StatusCode::UNAUTHORIZED,
                None,
                Some(
                    "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
                ),
            )),
            None => Err(errors::error(
                StatusCode::UNAUTHORIZED,
                "invalid_request_error",
                None,
                None,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )),
        }
    }

    fn list(&self) -> Answer {
        let data: Vec<Value> = self.script().models.iter().map(Model::wire).collect();
        Answer::ok(&json!({"object": "list", "data": data}))
    }

    fn one(&self, request: &Request) -> Answer {
        let name = request.path().trim_start_matches("/v1/models/");
        let script = self.script();
        match script.models.iter().find(|model| model.id == name) {
            Some(model) => Answer::ok(&model.wire()),
            None => unknown_model(name),
        }
    }
}

fn unknown_model(name: &str) -> Answer {
    errors::error(
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
