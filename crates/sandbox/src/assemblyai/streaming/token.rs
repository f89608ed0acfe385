//! `GET /v3/token`: keys for browsers, good for one session that begins soon.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use super::super::{AssemblyAiState, errors};
use crate::mock_response::MockResponse;
use crate::recorder::query_param;
use crate::request_handler::BufferedRequest;

/// How long a token may be good for, in seconds.
const EXPIRES_IN_SECONDS: std::ops::RangeInclusive<u64> = 1..=600;

/// How long its session may last, in seconds.
const MAX_SESSION_SECONDS: std::ops::RangeInclusive<u64> = 60..=10_800;

/// The most tokens that are remembered.
const MAX_TOKENS: usize = 1_000;

/// Tokens that nobody has used, and until when they are good.
#[derive(Debug, Default)]
pub(crate) struct StreamingTokens(HashMap<String, Instant>);

impl StreamingTokens {
    /// Whether this is one. It is good for one session.
    pub(super) fn redeem(&mut self, token: &str) -> bool {
        let good = self.0.remove(token);
        good.is_some_and(|until| Instant::now() < until)
    }
}

/// The token in a query.
pub(super) fn token_in_query(query: &str) -> Option<String> {
    query_param(query, "token")
}

/// A new token, for whoever has shown the key.
pub(in super::super) fn issue_token(
    state: &AssemblyAiState,
    request: &BufferedRequest,
) -> MockResponse {
    let number = |name| query_param(request.query(), name).map(|it| it.parse::<u64>().ok());
    let expires = number("expires_in_seconds").flatten();
    let Some(expires) = expires.filter(|it| EXPIRES_IN_SECONDS.contains(it)) else {
        let why = "expires_in_seconds must be between 1 and 600";
        return errors::api_error(StatusCode::BAD_REQUEST, why);
    };
    let longest = number("max_session_duration_seconds");
    if longest.is_some_and(|it| !it.is_some_and(|it| MAX_SESSION_SECONDS.contains(&it))) {
        let why = "max_session_duration_seconds must be between 60 and 10800";
        return errors::api_error(StatusCode::BAD_REQUEST, why);
    }
    let token = format!("token-{}", state.next_id());
    let mut tokens = state.tokens();
    if tokens.0.len() == MAX_TOKENS {
        tokens.0.clear();
    }
    let until = Instant::now() + Duration::from_secs(expires);
    tokens.0.insert(token.clone(), until);
    MockResponse::ok(&json!({"token": token, "expires_in_seconds": expires}))
}
