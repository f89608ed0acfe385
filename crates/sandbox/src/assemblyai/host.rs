//! Which request is for whom, and whether its key is right.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde_json::json;

use super::sync_live::LiveUploadReader;
use super::{AssemblyAiEndpoint, AssemblyAiState, errors, prerecorded, streaming, sync};
use crate::fault::{Fault, FaultQueue};
use crate::mock_response::MockResponse;
use crate::recorder::Server;
use crate::request_handler::{BodyObserver, BufferedRequest, MockService};

/// Which of the provider's hosts a socket stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Surface {
    Sync,
    Api,
    Streaming,
    /// All three on one port.
    All,
}

/// One of the provider's hosts.
#[derive(Debug)]
pub(crate) struct AssemblyAiHost {
    state: Arc<AssemblyAiState>,
    surface: Surface,
}

impl AssemblyAiHost {
    pub(crate) fn new(state: Arc<AssemblyAiState>, surface: Surface) -> Self {
        Self { state, surface }
    }

    fn check_key(&self, endpoint: AssemblyAiEndpoint, parts: &Parts) -> Result<(), MockResponse> {
        let script = self.state.script();
        let key = parts.headers.get("authorization");
        if key.is_some_and(|key| key.as_bytes() == script.key.as_bytes()) {
            return Ok(());
        }
        let problem = script.use_rfc9457_errors;
        Err(match endpoint {
            AssemblyAiEndpoint::Sync | AssemblyAiEndpoint::SyncLive => {
                errors::default_sync_error(StatusCode::UNAUTHORIZED, None, None, problem)
            }
            _ => errors::default_api_error(StatusCode::UNAUTHORIZED, None),
        })
    }
}

fn find_endpoint(
    surface: Surface,
    method: &Method,
    path: &str,
) -> Result<AssemblyAiEndpoint, StatusCode> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (host, allowed): (Surface, &[(Method, AssemblyAiEndpoint)]) = match segments.as_slice() {
        ["v1", "transcribe"] | ["transcribe"] => {
            (Surface::Sync, &[(Method::POST, AssemblyAiEndpoint::Sync)])
        }
        ["v1", "transcribe", "live" | "stream"] | ["transcribe", "live" | "stream"] => (
            Surface::Sync,
            &[(Method::POST, AssemblyAiEndpoint::SyncLive)],
        ),
        ["v1", "warm"] | ["warm"] => (Surface::Sync, &[(Method::GET, AssemblyAiEndpoint::Warm)]),
        ["v2", "upload"] => (Surface::Api, &[(Method::POST, AssemblyAiEndpoint::Upload)]),
        ["v2", "transcript"] => (
            Surface::Api,
            &[
                (Method::POST, AssemblyAiEndpoint::Transcript),
                (Method::GET, AssemblyAiEndpoint::List),
            ],
        ),
        ["v2", "transcript", _] => (
            Surface::Api,
            &[
                (Method::GET, AssemblyAiEndpoint::Poll),
                (Method::DELETE, AssemblyAiEndpoint::Delete),
            ],
        ),
        [
            "v2",
            "transcript",
            _,
            "srt" | "vtt" | "sentences" | "paragraphs",
        ] => (Surface::Api, &[(Method::GET, AssemblyAiEndpoint::Export)]),
        ["v3", "ws"] => (
            Surface::Streaming,
            &[(Method::GET, AssemblyAiEndpoint::Streaming)],
        ),
        ["v3", "token"] => (
            Surface::Streaming,
            &[(Method::GET, AssemblyAiEndpoint::Token)],
        ),
        _ => return Err(StatusCode::NOT_FOUND),
    };
    if surface != Surface::All && surface != host {
        return Err(StatusCode::NOT_FOUND);
    }
    allowed
        .iter()
        .find(|(allowed, _)| allowed == method)
        .map(|(_, endpoint)| *endpoint)
        .ok_or(StatusCode::METHOD_NOT_ALLOWED)
}

impl MockService for AssemblyAiHost {
    type Endpoint = AssemblyAiEndpoint;

    const SERVER: Server = Server::AssemblyAi;

    fn route(&self, method: &Method, path: &str) -> Result<AssemblyAiEndpoint, StatusCode> {
        find_endpoint(self.surface, method, path)
    }

    fn faults(&self) -> &FaultQueue<AssemblyAiEndpoint> {
        &self.state.faults
    }

    fn error_response(
        &self,
        endpoint: Option<AssemblyAiEndpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> MockResponse {
        let sync = match endpoint {
            Some(endpoint) => matches!(
                endpoint,
                AssemblyAiEndpoint::Sync | AssemblyAiEndpoint::SyncLive | AssemblyAiEndpoint::Warm
            ),
            None => self.surface == Surface::Sync,
        };
        if sync {
            errors::default_sync_error(
                status,
                code,
                message,
                self.state.script().use_rfc9457_errors,
            )
        } else {
            errors::default_api_error(status, message)
        }
    }

    fn record_billing(&self, endpoint: AssemblyAiEndpoint, request: &BufferedRequest) {
        let is_live = endpoint == AssemblyAiEndpoint::SyncLive;
        if (is_live || endpoint == AssemblyAiEndpoint::Sync)
            && self.check_key(endpoint, &request.parts).is_ok()
        {
            let length = sync::clip_duration_ms(request, is_live).unwrap_or(0);
            self.state.bill(Duration::from_millis(length));
        }
    }

    fn observe_body(
        &self,
        endpoint: AssemblyAiEndpoint,
        parts: &Parts,
        fault: &Fault,
    ) -> Option<Box<dyn BodyObserver>> {
        if endpoint != AssemblyAiEndpoint::SyncLive {
            return None;
        }
        let refused = self.check_key(endpoint, parts).err();
        let upload = LiveUploadReader::new(&self.state, parts, fault, refused);
        Some(Box::new(upload))
    }

    async fn respond(
        &self,
        endpoint: AssemblyAiEndpoint,
        request: BufferedRequest,
        fault: &Fault,
    ) -> MockResponse {
        // Sync is warmed up by anybody; a live session checks the key once the socket is open.
        if !matches!(
            endpoint,
            AssemblyAiEndpoint::Streaming | AssemblyAiEndpoint::Warm
        ) && let Err(refused) = self.check_key(endpoint, &request.parts)
        {
            return refused;
        }
        let state = &*self.state;
        match endpoint {
            AssemblyAiEndpoint::Sync => sync::respond(state, &request, false).await,
            AssemblyAiEndpoint::SyncLive => sync::respond(state, &request, true).await,
            AssemblyAiEndpoint::Upload => prerecorded::upload(state, &request),
            AssemblyAiEndpoint::Transcript => prerecorded::create(state, &request, fault),
            AssemblyAiEndpoint::Poll => prerecorded::get(state, &request, fault),
            AssemblyAiEndpoint::Delete => prerecorded::delete(state, &request),
            AssemblyAiEndpoint::List => prerecorded::list(state, &request),
            AssemblyAiEndpoint::Export => prerecorded::export(state, &request),
            AssemblyAiEndpoint::Streaming => streaming::respond(&self.state, request, fault).await,
            AssemblyAiEndpoint::Token => streaming::issue_token(state, &request),
            AssemblyAiEndpoint::Warm => MockResponse::ok(&json!({"status": "ok"})),
        }
    }
}
