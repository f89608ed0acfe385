//! `/v3/ws`: words while somebody is still talking.

mod session;
mod session_config;
mod session_log;
mod socket;
mod token;
mod turn;
mod vad;

pub(super) use session_log::StreamingSessionLog;
pub use session_log::{StreamingSession, StreamingSessionEnd};
pub(super) use token::{StreamingTokens, issue_token};

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;

use super::{AssemblyAiState, errors};
use crate::fault::Fault;
use crate::mock_response::MockResponse;
use crate::request_handler::BufferedRequest;

/// The largest message that is read: ten times the longest allowed chunk at 48 kHz.
const MAX_MESSAGE: usize = 1024 * 1024;

/// A session ends with these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct CloseReason {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl CloseReason {
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// A message or parameter that is not as published.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(3006, reason)
    }
}

/// Changes the protocol; everything else happens on the socket. Key and parameters are checked
/// there too, as the provider does.
pub(super) async fn respond(
    state: &Arc<AssemblyAiState>,
    request: BufferedRequest,
    fault: &Fault,
) -> MockResponse {
    let key = request.header("authorization").map(str::to_owned);
    let key = token::token_in_query(request.query()).or(key);
    let query = request.query().to_owned();
    let mut parts = request.parts;
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return errors::api_error(StatusCode::BAD_REQUEST, "Expected a WebSocket handshake");
    };
    let state = Arc::clone(state);
    let faults = fault.socket_faults().cloned().collect();
    let response = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(|socket| socket::run_session(state, socket, key, query, faults));
    MockResponse::upgrade(response)
}
