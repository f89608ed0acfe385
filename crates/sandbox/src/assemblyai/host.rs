//! Which request is for whom, and whether its key is right.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde_json::json;

use super::live::Upload;
use super::{Endpoint, State, errors, prerecorded, streaming, sync};
use crate::answer::Answer;
use crate::exchange::{Provider, Request, Watch};
use crate::fault::{Fault, Faults};
use crate::recorder::Server;

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
pub(crate) struct Host {
    state: Arc<State>,
    surface: Surface,
}

impl Host {
    pub(crate) fn new(state: Arc<State>, surface: Surface) -> Self {
        Self { state, surface }
    }

    fn check_key(&self, endpoint: Endpoint, parts: &Parts) -> Result<(), Answer> {
        let script = self.state.script();
        let key = parts.headers.get("authorization");
        if key.is_some_and(|key| key.as_bytes() == script.key.as_bytes()) {
            return Ok(());
        }
        let problem = script.problems;
        Err(match endpoint {
            Endpoint::Sync | Endpoint::SyncLive => {
                errors::published_sync(StatusCode::UNAUTHORIZED, None, None, problem)
            }
            _ => errors::published_api(StatusCode::UNAUTHORIZED, None),
        })
    }
}

fn find(surface: Surface, method: &Method, path: &str) -> Result<Endpoint, StatusCode> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (host, allowed): (Surface, &[(Method, Endpoint)]) = match segments.as_slice() {
        ["v1", "transcribe"] | ["transcribe"] => (Surface::Sync, &[(Method::POST, Endpoint::Sync)]),
        ["v1", "transcribe", "live" | "stream"] | ["transcribe", "live" | "stream"] => {
            (Surface::Sync, &[(Method::POST, Endpoint::SyncLive)])
        }
        ["v1", "warm"] | ["warm"] => (Surface::Sync, &[(Method::GET, Endpoint::Warm)]),
        ["v2", "upload"] => (Surface::Api, &[(Method::POST, Endpoint::Upload)]),
        ["v2", "transcript"] => (
            Surface::Api,
            &[
                (Method::POST, Endpoint::Transcript),
                (Method::GET, Endpoint::List),
            ],
        ),
        ["v2", "transcript", _] => (
            Surface::Api,
            &[
                (Method::GET, Endpoint::Poll),
                (Method::DELETE, Endpoint::Delete),
            ],
        ),
        [
            "v2",
            "transcript",
            _,
            "srt" | "vtt" | "sentences" | "paragraphs",
        ] => (Surface::Api, &[(Method::GET, Endpoint::Export)]),
        ["v3", "ws"] => (Surface::Streaming, &[(Method::GET, Endpoint::Streaming)]),
        ["v3", "token"] => (Surface::Streaming, &[(Method::GET, Endpoint::Token)]),
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

impl Provider for Host {
    type Endpoint = Endpoint;

    const SERVER: Server = Server::AssemblyAi;

    fn route(&self, method: &Method, path: &str) -> Result<Endpoint, StatusCode> {
        find(self.surface, method, path)
    }

    fn faults(&self) -> &Faults<Endpoint> {
        &self.state.faults
    }

    fn error(
        &self,
        endpoint: Option<Endpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Answer {
        let sync = match endpoint {
            Some(endpoint) => matches!(
                endpoint,
                Endpoint::Sync | Endpoint::SyncLive | Endpoint::Warm
            ),
            None => self.surface == Surface::Sync,
        };
        if sync {
            errors::published_sync(status, code, message, self.state.script().problems)
        } else {
            errors::published_api(status, message)
        }
    }

    fn bill(&self, endpoint: Endpoint, request: &Request) {
        let is_live = endpoint == Endpoint::SyncLive;
        if (is_live || endpoint == Endpoint::Sync)
            && self.check_key(endpoint, &request.parts).is_ok()
        {
            let length = sync::length_ms(request, is_live).unwrap_or(0);
            self.state.bill(Duration::from_millis(length));
        }
    }

    fn watch(&self, endpoint: Endpoint, parts: &Parts, fault: &Fault) -> Option<Box<dyn Watch>> {
        if endpoint != Endpoint::SyncLive {
            return None;
        }
        let refused = self.check_key(endpoint, parts).err();
        let upload = Upload::new(&self.state, parts, fault, refused);
        Some(Box::new(upload))
    }

    async fn answer(&self, endpoint: Endpoint, request: Request, fault: &Fault) -> Answer {
        // Sync is warmed up by anybody; a live session checks the key once the socket is open.
        if !matches!(endpoint, Endpoint::Streaming | Endpoint::Warm)
            && let Err(refused) = self.check_key(endpoint, &request.parts)
        {
            return refused;
        }
        let state = &*self.state;
        match endpoint {
            Endpoint::Sync => sync::answer(state, &request, false).await,
            Endpoint::SyncLive => sync::answer(state, &request, true).await,
            Endpoint::Upload => prerecorded::upload(state, &request),
            Endpoint::Transcript => prerecorded::create(state, &request, fault),
            Endpoint::Poll => prerecorded::get(state, &request, fault),
            Endpoint::Delete => prerecorded::delete(state, &request),
            Endpoint::List => prerecorded::list(state, &request),
            Endpoint::Export => prerecorded::export(state, &request),
            Endpoint::Streaming => streaming::answer(&self.state, request, fault).await,
            Endpoint::Token => streaming::issue(state, &request),
            Endpoint::Warm => Answer::ok(&json!({"status": "ok"})),
        }
    }
}
