//! `{"error": {message, type, param, code}}`.

use axum::http::StatusCode;
use serde_json::json;

use crate::mock_response::MockResponse;

/// An error, `param` naming the field at fault.
pub(super) fn error_response(
    status: StatusCode,
    kind: &str,
    code: Option<&str>,
    param: Option<&str>,
    message: &str,
) -> MockResponse {
    MockResponse::json(
        status,
        &json!({"error": {"message": message, "type": kind, "param": param, "code": code}}),
    )
}

/// A request that can't be served as it is: 400.
pub(super) fn invalid_request(
    code: Option<&str>,
    param: Option<&str>,
    message: &str,
) -> MockResponse {
    error_response(
        StatusCode::BAD_REQUEST,
        "invalid_request_error",
        code,
        param,
        message,
    )
}

/// What the provider says with a status.
pub(super) fn default_error(
    status: StatusCode,
    code: Option<&str>,
    message: Option<&str>,
) -> MockResponse {
    let invalid = "invalid_request_error";
    let (kind, usual_code, usual_message) = match status.as_u16() {
        401 => (
            invalid,
            Some("invalid_api_key"),
            "Incorrect API key provided.",
        ),
        403 => (
            invalid,
            Some("unsupported_country_region_territory"),
            "Country, region, or territory not supported",
        ),
        404 => (
            invalid,
            Some("model_not_found"),
            "The model does not exist or you do not have access to it.",
        ),
        405 => (
            invalid,
            Some("method_not_supported"),
            "Not allowed to use this method on this path.",
        ),
        413 => (invalid, None, "Request too large."),
        429 => (
            "requests",
            Some("rate_limit_exceeded"),
            "Rate limit reached for requests.",
        ),
        503 => (
            "server_error",
            Some("server_is_overloaded"),
            "The server is currently overloaded with other requests.",
        ),
        400..=499 => (invalid, None, "The request can't be processed."),
        _ => (
            "server_error",
            None,
            "The server had an error while processing your request.",
        ),
    };
    let kind = match code {
        Some("insufficient_quota") => "insufficient_quota",
        _ => kind,
    };
    error_response(
        status,
        kind,
        code.or(usual_code),
        None,
        message.unwrap_or(usual_message),
    )
}
