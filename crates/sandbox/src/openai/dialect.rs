//! Servers that speak as OpenAI does, and refuse in their own words.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::OpenAiState;
use super::answer_script::estimate_tokens;
use super::validate::ValidatedRequest;
use crate::mock_response::MockResponse;

/// How a server says that it does not know a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// `{"error": {"message", "type", "param", "code"}}`.
    OpenAi,
    /// The message is an object with a list.
    Mistral,
    /// A list with an error, whose code is a number.
    Gemini,
    /// `detail` is a list: FastAPI, and vLLM in some versions.
    FastApi,
    /// The message is vague, `metadata.errors` is not; the code is a number.
    AssemblyAi,
    /// The error is a sentence.
    Ollama,
    /// The code is a number, and the provider's own words are JSON in a text.
    OpenRouter,
    /// HTTP 500, the code is a number.
    LlamaCpp,
    /// HTTP 200, and an error in it.
    LmStudio,
}

impl Dialect {
    fn unknown_field_response(self, field: &str) -> MockResponse {
        let bad = StatusCode::BAD_REQUEST;
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let unknown = format!("Unknown parameter: '{field}'.");
        let detail = json!([{
            "type": "extra_forbidden",
            "loc": ["body", field],
            "msg": "Extra inputs are not permitted",
            "input": true,
        }]);
        let (status, body) = match self {
            Self::OpenAi => (
                bad,
                json!({"error": {
                    "message": unknown, "type": "invalid_request_error", "param": field,
                    "code": "unknown_parameter",
                }}),
            ),
            Self::Mistral => (
                unprocessable,
                json!({
                    "object": "error", "message": {"detail": detail},
                    "type": "invalid_request_error", "param": null, "code": null,
                }),
            ),
            Self::Gemini => (
                bad,
                json!([{"error": {
                    "code": 400,
                    "message": format!(
                        "Invalid JSON payload received. Unknown name \"{field}\": Cannot find field."
                    ),
                    "status": "INVALID_ARGUMENT",
                }}]),
            ),
            Self::FastApi => (unprocessable, json!({"detail": detail})),
            Self::AssemblyAi => (
                bad,
                json!({
                    "message": "Invalid request", "code": 400, "request_id": "r-1",
                    "metadata": {"errors": [format!("{field} is not supported")]},
                }),
            ),
            Self::Ollama => (bad, json!({"error": format!("invalid option: {field}")})),
            Self::OpenRouter => {
                let raw = json!({"error": {"message": unknown}}).to_string();
                let error = json!({
                    "message": "Provider returned error", "code": 400,
                    "metadata": {"raw": raw, "provider_name": "sandbox"},
                });
                (bad, json!({"error": error}))
            }
            Self::LlamaCpp => (
                StatusCode::INTERNAL_SERVER_ERROR,
                json!({"error": {"code": 500, "message": unknown, "type": "server_error"}}),
            ),
            Self::LmStudio => (StatusCode::OK, json!({"error": unknown})),
        };
        MockResponse::json(status, &body)
    }
}

/// What a request holds that this server, or the template of this model, does not bear.
pub(super) fn check_supported(
    state: &OpenAiState,
    common: &ValidatedRequest,
) -> Result<(), MockResponse> {
    let script = state.script();
    let refused = script
        .rejected_fields
        .iter()
        .find(|(field, _)| common.body.contains_key(field));
    if let Some((field, dialect)) = refused {
        return Err(dialect.unknown_field_response(field));
    }
    let Some(model) = script.models.iter().find(|it| it.id == common.model) else {
        return Ok(());
    };
    let messages = common.body.get("messages").and_then(Value::as_array);
    let roles: Vec<&str> = messages
        .map(|messages| {
            messages
                .iter()
                .filter_map(|it| it["role"].as_str())
                .collect()
        })
        .unwrap_or_default();
    if model.rejects_system_prompt && roles.contains(&"system") {
        return Err(template_error("System role not supported"));
    }
    let turns = roles.iter().filter(|role| **role != "system");
    let alternate = turns
        .enumerate()
        .all(|(place, role)| *role == ["user", "assistant"][place % 2]);
    if model.requires_alternating_roles && !alternate {
        return Err(template_error(
            "Conversation roles must alternate user/assistant/user/assistant/...",
        ));
    }
    let prompt = messages.map_or(0, |messages| estimate_tokens(&json!(messages).to_string()));
    match model.context_tokens {
        Some(limit) if prompt > limit => Err(MockResponse::json(
            StatusCode::BAD_REQUEST,
            &json!({"error": {
                "code": 400,
                "message": format!(
                    "the request exceeds the available context size ({limit} tokens), try increasing it"
                ),
                "type": "exceed_context_size_error",
                "n_prompt_tokens": prompt,
                "n_ctx": limit,
            }}),
        )),
        _ => Ok(()),
    }
}

/// llama.cpp's error for a template that raises an exception.
fn template_error(words: &str) -> MockResponse {
    MockResponse::json(
        StatusCode::INTERNAL_SERVER_ERROR,
        &json!({"error": {
            "code": 500,
            "message": format!("Jinja Exception: {words}"),
            "type": "server_error",
        }}),
    )
}
