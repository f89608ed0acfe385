//! The error of an exchange with a server.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::error_body::{self, ErrorBody};
use super::error_cause::ErrorCause;
use super::error_code::ErrorCode;
use super::redacted_text::{RedactedText, loggable_id};
use super::retry::RetryAdvice;

/// Why an exchange with a server failed. Safe to print: [`RedactedText`], [`ErrorCode`] and
/// [`ErrorCause`] keep foreign text and addresses out.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No connection: name not found, refused, TLS.
    #[error("no connection")]
    Connect(#[source] ErrorCause),
    /// Connected, but the exchange was not complete in time.
    #[error("no answer in time")]
    TimedOut(#[source] ErrorCause),
    /// The connection broke during the request or the response.
    #[error("the connection broke")]
    Broken(#[source] ErrorCause),
    /// No websocket connection: name not found, refused, TLS, not a websocket, or not in time.
    #[error("no connection")]
    SocketConnect(#[source] ErrorCause),
    /// A websocket connection broke or stopped responding, without a close frame.
    #[error("the connection broke")]
    SocketBroken(#[source] ErrorCause),
    /// The server closed a websocket with a close code.
    #[error("the server closed the connection ({code}): {message}")]
    Closed {
        /// The close code.
        code: u16,
        /// The reason that the server gave.
        message: RedactedText,
    },
    /// A status other than 2xx.
    #[error("HTTP {}{}: {message}", .status.as_u16(), .code.map(|code| format!(" ({code})")).unwrap_or_default())]
    Status {
        /// The status.
        status: StatusCode,
        /// The machine-readable code or type in the body, where there is one.
        code: Option<ErrorCode>,
        /// The message in the body, or else the standard reason of the status.
        message: RedactedText,
        /// The delay in `retry-after-ms` or `retry-after`.
        retry_after: Option<Duration>,
        /// The header `x-should-retry`.
        should_retry: Option<bool>,
        /// The header `x-request-id`, for the provider's support.
        request_id: Option<String>,
    },
    /// A 2xx response with an invalid body.
    #[error("the answer is malformed: {what}")]
    Malformed {
        /// What is wrong; contains no part of the body.
        what: ErrorCause,
    },
    /// The response body exceeds the limit.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The API key has characters that an HTTP header can't hold. Nothing was sent.
    #[error("the key can't be sent: it holds characters that no header can carry")]
    InvalidKeyHeader,
    /// The file to upload could not be read.
    #[error("the file to be sent can't be read")]
    Upload(#[source] std::io::Error),
}

/// The headers of an error response.
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
    /// Whether the server certainly did not process the request, so that nothing is billed: it was
    /// not reached, or refused the request. After a 504 the server behind the gateway may have
    /// processed it.
    pub fn is_unbilled(&self) -> bool {
        match self {
            Self::Connect(_) | Self::SocketConnect(_) | Self::InvalidKeyHeader => true,
            Self::Status { status, .. } => *status != StatusCode::GATEWAY_TIMEOUT,
            _ => false,
        }
    }

    pub(super) fn from_status(status: StatusCode, headers: ErrorHeaders, body: &[u8]) -> Self {
        let parsed = ErrorBody::parse(body);
        Self::Status {
            status,
            code: parsed.code,
            message: parsed
                .message
                .or_else(|| status.canonical_reason().map(RedactedText::new))
                .unwrap_or_default(),
            retry_after: headers.retry_after,
            should_retry: headers.should_retry,
            request_id: headers.request_id,
        }
    }

    /// The error in the body of a 200 response, with the status that fits its code or message.
    pub fn from_error_body(value: &Value) -> Self {
        let parsed = ErrorBody::from_value(value);
        let message = parsed.message.unwrap_or_default();
        let status = parsed.status.unwrap_or_else(|| {
            let by_code = parsed
                .code
                .and_then(ErrorCode::known)
                .and_then(status_of_code);
            by_code.unwrap_or_else(|| status_for_message(&message))
        });
        Self::Status {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            code: parsed.code,
            message,
            retry_after: None,
            should_retry: None,
            request_id: None,
        }
    }

    /// Whether a JSON value is an error and not a result.
    pub fn is_error_body(value: &Value) -> bool {
        error_body::is_error_body(value)
    }

    /// A websocket handshake that was refused with this status.
    pub fn from_rejected_handshake(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        Self::from_status(status, ErrorHeaders::parse(headers), body)
    }

    /// A body that can't be parsed. Keeps the position of the error, not the text around it.
    pub fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed {
            what: ErrorCause::from_error(error),
        }
    }

    /// The HTTP status, if there is one.
    pub fn http_status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The machine-readable code, if it is a known one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Status { code, .. } => code.and_then(ErrorCode::known),
            _ => None,
        }
    }

    /// The provider's message for a status or close code, if there is one.
    pub fn provider_message(&self) -> Option<&RedactedText> {
        match self {
            Self::Status { message, .. } | Self::Closed { message, .. } => Some(message),
            _ => None,
        }
    }

    /// Whether to retry, as the official SDKs do: after connection errors, 408, 409, 429 and 5xx;
    /// `x-should-retry` and `retry-after` take precedence.
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
                let is_retryable = should_retry.unwrap_or(
                    matches!(status.as_u16(), 408 | 409 | 429) || status.is_server_error(),
                );
                match (is_retryable, retry_after) {
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

/// The HTTP status that providers use for a code.
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

/// The HTTP status that fits an error message without a code.
fn status_for_message(message: &RedactedText) -> u16 {
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
    let found = table
        .iter()
        .find(|(_, substrings)| message.contains_any(substrings));
    found.map_or(400, |(status, _)| *status)
}
