//! Errors in Discord's own shape.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::mock_response::MockResponse;

/// Why something is refused.
#[derive(Debug)]
pub(super) struct DiscordError {
    pub(super) status: StatusCode,
    pub(super) code: u32,
    pub(super) message: String,
    pub(super) field_errors: Option<Value>,
}

impl DiscordError {
    pub(super) fn new(status: u16, code: u32, message: &str) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status"),
            code,
            message: message.to_owned(),
            field_errors: None,
        }
    }

    pub(super) fn unknown(code: u32, what: &str) -> Self {
        Self::new(404, code, &format!("Unknown {what}"))
    }

    /// A field that does not fit.
    pub(super) fn invalid_form(field: &str, code: &str, message: &str) -> Self {
        let mut error = Self::new(400, 50_035, "Invalid Form Body");
        error.field_errors =
            Some(json!({field: {"_errors": [{"code": code, "message": message}]}}));
        error
    }

    pub(super) fn forbidden() -> Self {
        Self::new(403, 50_013, "Missing Permissions")
    }

    pub(super) fn to_response(&self) -> MockResponse {
        let mut body = json!({"code": self.code, "message": self.message});
        if let Some(errors) = &self.field_errors {
            body["errors"] = errors.clone();
        }
        MockResponse::json(self.status, &body)
    }
}
