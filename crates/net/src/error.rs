//! What can go wrong in one exchange.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::error_body::{self, ErrorBody};
use super::redacted_text::{ErrorCause, ErrorCode, RedactedText, loggable_id};
use super::retry::RetryAdvice;

/// Why one exchange with a server failed. However it is printed, it tells no word of anybody and
/// no address: [`RedactedText`], [`ErrorCode`] and [`ErrorCause`] see to it.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No connection: name not found, refused, TLS.
    #[error("no connection")]
    Connect(#[source] ErrorCause),
    /// Connected, and then not done in time.
    #[error("no answer in time")]
    TimedOut(#[source] ErrorCause),
    /// The connection broke in the middle of the request or the answer.
    #[error("the connection broke")]
    Broken(#[source] ErrorCause),
    /// No socket: name not found, refused, TLS, not a WebSocket, or not in time.
    #[error("no connection")]
    SocketConnect(#[source] ErrorCause),
    /// A socket broke, or fell silent, without a word of why.
    #[error("the connection broke")]
    SocketBroken(#[source] ErrorCause),
    /// The server closed a socket and said why.
    #[error("the server closed the connection ({code}): {message}")]
    Closed {
        /// The close code of the WebSocket.
        code: u16,
        /// The server's own words.
        message: RedactedText,
    },
    /// A status other than 2xx.
    #[error("HTTP {}{}: {message}", .status.as_u16(), .code.map(|code| format!(" ({code})")).unwrap_or_default())]
    Status {
        /// The status.
        status: StatusCode,
        /// The machine-readable code or type in the body, where there is one.
        code: Option<ErrorCode>,
        /// The provider's own words.
        message: RedactedText,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// What `x-should-retry` says.
        should_retry: Option<bool>,
        /// The server's id of the request, for its support.
        request_id: Option<String>,
    },
    /// A 2xx answer whose body is not what it should be.
    #[error("the answer is malformed: {what}")]
    Malformed {
        /// What does not fit. Never a part of the body.
        what: ErrorCause,
    },
    /// The body is larger than anything sensible.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The key has characters that no HTTP header can carry. Nothing was sent.
    #[error("the key can't be sent: it holds characters that no header can carry")]
    InvalidKeyHeader,
    /// The file to be sent could not be read.
    #[error("the file to be sent can't be read")]
    Upload(#[source] std::io::Error),
}

pub(super) struct ErrorHeaders {
    retry_after: Option<Duration>,
    should_retry: Option<bool>,
    request_id: Option<String>,
}

impl ErrorHeaders {
    pub(super) fn parse(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| {
            let value: f64 = text(name)?.trim().parse().ok()?;
            (value.is_finite() && value >= 0.0).then_some(value)
        };
        let seconds = number("retry-after-ms")
            .map(|milliseconds| milliseconds / 1_000.0)
            .or_else(|| number("retry-after"));
        Self {
            retry_after: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            should_retry: text("x-should-retry").and_then(|value| value.parse().ok()),
            request_id: text("x-request-id").and_then(loggable_id),
        }
    }
}

impl NetError {
    /// Whether the server has surely done nothing of what was asked, and so bills nothing: it was
    /// not reached, or said no. A gateway that waited in vain says nothing about the server behind.
    pub fn is_unbilled(&self) -> bool {
        match self {
            Self::Connect(_) | Self::SocketConnect(_) | Self::InvalidKeyHeader => true,
            Self::Status { status, .. } => *status != StatusCode::GATEWAY_TIMEOUT,
            _ => false,
        }
    }

    pub(super) fn from_status(status: StatusCode, headers: ErrorHeaders, body: &[u8]) -> Self {
        let said = ErrorBody::parse(body);
        Self::Status {
            status,
            code: said.code,
            message: said
                .message
                .or_else(|| status.canonical_reason().map(RedactedText::new))
                .unwrap_or_default(),
            retry_after: headers.retry_after,
            should_retry: headers.should_retry,
            request_id: headers.request_id,
        }
    }

    /// A failure that a server tells of in the body of a 200, as the status that it would have had
    /// by itself.
    pub fn from_error_body(value: &Value) -> Self {
        let said = ErrorBody::from_value(value);
        let words = said.message.unwrap_or_default();
        let status = said.status.unwrap_or_else(|| {
            let by_code = said
                .code
                .and_then(ErrorCode::known)
                .and_then(status_of_code);
            by_code.unwrap_or_else(|| status_for_message(&words))
        });
        Self::Status {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            code: said.code,
            message: words,
            retry_after: None,
            should_retry: None,
            request_id: None,
        }
    }

    /// Whether a value tells of a failure and of nothing else.
    pub fn is_error_body(value: &Value) -> bool {
        error_body::is_error_body(value)
    }

    /// A handshake that was refused with this status.
    pub fn from_rejected_handshake(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        Self::from_status(status, ErrorHeaders::parse(headers), body)
    }

    /// A body that does not parse. Only the place of the fault is kept, not the text around it.
    pub fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed {
            what: ErrorCause::from_error(error),
        }
    }

    /// The status, if there was one.
    pub fn http_status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The machine-readable code, if there was one that we know.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Status { code, .. } => code.and_then(ErrorCode::known),
            _ => None,
        }
    }

    /// The provider's own words about a status or a close code, if there were any.
    pub fn provider_message(&self) -> Option<&RedactedText> {
        match self {
            Self::Status { message, .. } | Self::Closed { message, .. } => Some(message),
            _ => None,
        }
    }

    /// Whether trying again may help: the reference policy of the official SDKs (connection
    /// errors, 408, 409, 429 and 5xx; `x-should-retry` and `RetryAdvice-After` go first).
    pub fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Connect(_)
            | Self::Broken(_)
            | Self::SocketConnect(_)
            | Self::SocketBroken(_)
            | Self::Closed { .. } => RetryAdvice::WithBackoff,
            Self::Status {
                status,
                retry_after,
                should_retry,
                ..
            } => {
                let worth_it = should_retry.unwrap_or(
                    matches!(status.as_u16(), 408 | 409 | 429) || status.is_server_error(),
                );
                match (worth_it, retry_after) {
                    (false, _) => RetryAdvice::Never,
                    (true, Some(wait)) => RetryAdvice::AfterDelay(*wait),
                    (true, None) => RetryAdvice::WithBackoff,
                }
            }
            Self::TimedOut(_)
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::InvalidKeyHeader
            | Self::Upload(_) => RetryAdvice::Never,
        }
    }
}

impl From<reqwest::Error> for NetError {
    fn from(error: reqwest::Error) -> Self {
        let cause = ErrorCause::from_error(&error);
        if error.is_connect() || error.is_builder() {
            Self::Connect(cause)
        } else if error.is_timeout() {
            Self::TimedOut(cause)
        } else {
            Self::Broken(cause)
        }
    }
}

/// The status that providers send a code with.
fn status_of_code(code: &str) -> Option<u16> {
    Some(match code {
        "insufficient_quota"
        | "rate_limit_exceeded"
        | "rate_limit_error"
        | "rate_limit"
        | "slow_down"
        | "too_many_requests"
        | "requests"
        | "tokens"
        | "RESOURCE_EXHAUSTED"
        | "quota_exceeded" => 429,
        "insufficient_credits" | "insufficient_funds" => 402,
        "authentication_error"
        | "invalid_api_key"
        | "unauthorized"
        | "Unauthorized"
        | "UNAUTHENTICATED" => 401,
        "permission_error" | "permission_denied" | "forbidden" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "model_not_found" | "not_found" | "NotFoundError" | "unknown_url"
        | "NOT_FOUND" => 404,
        "overloaded_error"
        | "model_overloaded"
        | "engine_overloaded"
        | "service_unavailable"
        | "unavailable_error"
        | "capacity_exceeded"
        | "UNAVAILABLE" => 503,
        "server_error"
        | "internal_error"
        | "internal_server_error"
        | "InternalServerError"
        | "api_error"
        | "INTERNAL"
        | "inference_error" => 500,
        "timeout" | "inference_timeout" => 504,
        "invalid_request_error"
        | "context_length_exceeded"
        | "exceed_context_size_error"
        | "BadRequestError"
        | "bad_request"
        | "INVALID_ARGUMENT"
        | "unsupported_parameter"
        | "unknown_parameter"
        | "invalid_value"
        | "unsupported_value" => 400,
        _ => return None,
    })
}

/// The same where there are only words.
fn status_for_message(words: &RedactedText) -> u16 {
    let table: [(u16, &[&str]); 5] = [
        (
            404,
            &[
                "not found",
                "unexpected endpoint",
                "no such model",
                "does not exist",
            ],
        ),
        (
            401,
            &["api key", "api-key", "unauthorized", "authentication"],
        ),
        (402, &["quota", "insufficient credit", "billing"]),
        (429, &["rate limit", "too many requests"]),
        (
            503,
            &[
                "overloaded",
                "try again later",
                "server is busy",
                "no capacity",
                "loading model",
            ],
        ),
    ];
    let found = table.iter().find(|(_, signs)| words.contains_any(signs));
    found.map_or(400, |(status, _)| *status)
}
