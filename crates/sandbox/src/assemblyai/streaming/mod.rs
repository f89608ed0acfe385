//! `/v3/ws`: words while somebody is still talking.

mod query;
mod record;
mod session;
mod socket;
mod token;
mod turn;
mod voice;

pub(super) use record::Sessions;
pub use record::{LiveSession, SessionEnd};
pub(super) use token::{Tokens, issue};

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;

use super::{State, errors};
use crate::answer::Answer;
use crate::exchange::Request;
use crate::fault::Fault;

/// The largest message that is read: ten times the longest allowed chunk at 48 kHz.
const MAX_MESSAGE: usize = 1024 * 1024;

/// A session ends with these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Close {
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
pub(super) async fn answer(state: &Arc<State>, request: Request, fault: &Fault) -> Answer {
    let key = request.header("authorization").map(str::to_owned);
    let key = token::of(request.query()).or(key);
    let query = request.query().to_owned();
    let mut parts = request.parts;
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return errors::api(StatusCode::BAD_REQUEST, "Expected a WebSocket handshake");
    };
    let state = Arc::clone(state);
    let faults = fault.socket_faults().cloned().collect();
    let response = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(|socket| socket::drive(state, socket, key, query, faults));
    Answer::upgrade(response)
}
