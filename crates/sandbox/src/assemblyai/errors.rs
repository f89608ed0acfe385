//! The error shapes of the surfaces.

use axum::http::StatusCode;
use serde_json::json;

use crate::mock_response::MockResponse;

/// An error of the pre-recorded surface: `{"error": …}`.
pub(super) fn api_error(status: StatusCode, message: &str) -> MockResponse {
    MockResponse::json(status, &json!({"error": message}))
}

/// What the pre-recorded surface publishes for a status.
pub(super) fn default_api_error(status: StatusCode, message: Option<&str>) -> MockResponse {
    let words = match status.as_u16() {
        400 => "Bad request",
        401 => "Authentication error, API token missing/invalid",
        402 => "Your current account balance is negative. Please top up to continue using the API.",
        403 => "Cannot access uploaded file",
        404 => "Not found",
        405 => "Method Not Allowed",
        413 => "File too large",
        422 => "Upload failed, please try again",
        429 => "Too Many Requests",
        503 => "Service unavailable",
        504 => "Gateway timeout",
        _ => "Internal Server Error",
    };
    api_error(status, message.unwrap_or(words))
}

/// An error of the Sync surface.
///
/// With `problem`, the form of RFC 9457, whose title is the code in Title Case. Before: audio,
/// capacity and inference `{"error_code", "message"}`; key and rate limit `{"detail"}`.
pub(super) fn sync_error(
    status: StatusCode,
    code: Option<&str>,
    message: &str,
    problem: bool,
) -> MockResponse {
    if problem {
        let title = code.map_or_else(
            || status.canonical_reason().unwrap_or("Error").to_owned(),
            title_case,
        );
        let body = json!({"status": status.as_u16(), "title": title, "detail": message});
        return MockResponse::json(status, &body)
            .header("content-type", "application/problem+json");
    }
    match code {
        Some(code) => MockResponse::json(status, &json!({"error_code": code, "message": message})),
        None => MockResponse::json(status, &json!({"detail": message})),
    }
}

/// `audio_too_large` is "Audio Too Large".
fn title_case(code: &str) -> String {
    let words = code.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What the Sync surface publishes for a status.
pub(super) fn default_sync_error(
    status: StatusCode,
    code: Option<&str>,
    message: Option<&str>,
    problem: bool,
) -> MockResponse {
    let (usual_code, words) = match status.as_u16() {
        400 => (Some("bad_request"), "invalid request"),
        401 => (None, "Missing or invalid API key"),
        402 => (None, "Insufficient funds"),
        403 => (None, "Forbidden"),
        404 => (None, "Not Found"),
        405 => (None, "Method Not Allowed"),
        413 => (
            Some("audio_too_large"),
            "audio duration 130000 ms exceeds limit 120000 ms",
        ),
        415 => (Some("unsupported_media_type"), "unsupported audio format"),
        422 => (Some("bad_request"), "unprocessable request"),
        429 => (None, "Rate limit exceeded"),
        503 => (Some("capacity_exceeded"), "server is at capacity"),
        504 => (
            Some("inference_timeout"),
            "request exceeded the 30 s deadline",
        ),
        _ => (Some("inference_error"), "internal model error"),
    };
    sync_error(
        status,
        code.or(usual_code),
        message.unwrap_or(words),
        problem,
    )
}
