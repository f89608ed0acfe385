//! What a request may say.

use serde_json::{Map, Value};

use super::errors::{error_response, invalid_request};
use super::{OpenAiState, unknown_model};
use crate::mock_response::MockResponse;
use crate::request_handler::BufferedRequest;
use axum::http::StatusCode;

/// The fields of a chat completion request, from the published specification.
pub(super) const CHAT_FIELDS: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// The fields of a completion request, from the published specification.
pub(super) const COMPLETION_FIELDS: &[&str] = &[
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "model",
    "n",
    "presence_penalty",
    "prompt",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "top_p",
    "user",
];

const REASONING_EFFORTS: &[&str] = &["none", "low", "medium", "high", "xhigh", "max"];

/// Models that can't but think: `gpt-6.2-sol` and `gpt-6.2-astra`.
const ALWAYS_REASONING_MODELS: [&str; 2] = ["sol", "astra"];

/// What both kinds of completions have in common.
pub(super) struct ValidatedRequest {
    pub(super) body: Map<String, Value>,
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// The JSON object of a request.
pub(super) fn parse_object(request: &BufferedRequest) -> Result<Map<String, Value>, MockResponse> {
    if request.media_type().as_deref() != Some("application/json") {
        return Err(error_response(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request_error",
            None,
            None,
            "Unsupported content type. This API method only accepts 'application/json' requests.",
        ));
    }
    match serde_json::from_slice(&request.body.bytes) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(invalid_request(
            None,
            None,
            "We could not parse the JSON body of your request.",
        )),
    }
}

/// Whether a model is held to OpenAI's own rules.
pub(super) fn is_openai(model: &str) -> bool {
    model.starts_with("gpt-")
        || model
            .strip_prefix('o')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

pub(super) fn parse_request(
    state: &OpenAiState,
    request: &BufferedRequest,
    fields: &[&str],
) -> Result<ValidatedRequest, MockResponse> {
    let body = parse_object(request)?;
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return Err(invalid_request(
            None,
            Some("model"),
            "you must provide a model parameter",
        ));
    };
    if !state.script().models.iter().any(|known| known.id == model) {
        return Err(unknown_model(model));
    }
    if is_openai(model)
        && let Some(unknown) = body.keys().find(|key| !fields.contains(&key.as_str()))
    {
        let message = format!("Unrecognized request argument supplied: {unknown}");
        return Err(invalid_request(None, None, &message));
    }
    let stream = parse_bool(&body, "stream")?.unwrap_or(false);
    let options = body
        .get("stream_options")
        .filter(|options| !options.is_null());
    if options.is_some() && !stream {
        return Err(invalid_request(
            None,
            Some("stream_options"),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ));
    }
    let include_usage = options
        .and_then(|options| options.get("include_usage"))
        .and_then(Value::as_bool)
        .unwrap_or(false);
    check_range(&body, "temperature", 0.0, 2.0)?;
    check_range(&body, "top_p", 0.0, 1.0)?;
    check_range(&body, "frequency_penalty", -2.0, 2.0)?;
    check_range(&body, "presence_penalty", -2.0, 2.0)?;
    if body.get("n").is_some_and(|n| n.as_u64() != Some(1)) {
        return Err(invalid_request(
            None,
            Some("n"),
            "only n = 1 is served here",
        ));
    }
    Ok(ValidatedRequest {
        model: model.to_owned(),
        stream,
        include_usage,
        body,
    })
}

/// The rules for chat alone.
pub(super) fn check_chat(common: &ValidatedRequest) -> Result<(), MockResponse> {
    let body = &common.body;
    let messages = body.get("messages").and_then(Value::as_array);
    let Some(messages) = messages else {
        return Err(invalid_request(
            Some("missing_required_parameter"),
            Some("messages"),
            "Missing required parameter: 'messages'.",
        ));
    };
    if messages.is_empty() {
        return Err(invalid_request(
            Some("empty_array"),
            Some("messages"),
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        ));
    }
    for (index, message) in messages.iter().enumerate() {
        check_message(index, message)?;
    }
    let effort = body.get("reasoning_effort").and_then(Value::as_str);
    if let Some(effort) = effort
        && !REASONING_EFFORTS.contains(&effort)
    {
        let message =
            format!("Invalid value: '{effort}'. Supported values are: {REASONING_EFFORTS:?}.");
        return Err(invalid_request(
            Some("invalid_value"),
            Some("reasoning_effort"),
            &message,
        ));
    }
    let always_thinks = ALWAYS_REASONING_MODELS
        .iter()
        .any(|name| common.model.ends_with(name));
    if effort == Some("none") && always_thinks {
        return Err(invalid_request(
            Some("unsupported_value"),
            Some("reasoning_effort"),
            "Unsupported value: 'reasoning_effort' does not support 'none' with this model. Supported values are: 'low', 'medium', 'high', 'xhigh', and 'max'.",
        ));
    }
    if !is_openai(&common.model) {
        return Ok(());
    }
    if body.contains_key("max_tokens") {
        return Err(invalid_request(
            Some("unsupported_parameter"),
            Some("max_tokens"),
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ));
    }
    // The model's own default effort is medium.
    let reasons = effort.unwrap_or("medium") != "none";
    for field in ["temperature", "tools"] {
        if reasons && body.contains_key(field) {
            let message = format!(
                "Unsupported parameter: '{field}' is not supported with this model unless 'reasoning_effort' is 'none'."
            );
            return Err(invalid_request(
                Some("unsupported_parameter"),
                Some(field),
                &message,
            ));
        }
    }
    Ok(())
}

fn check_message(index: usize, message: &Value) -> Result<(), MockResponse> {
    let role = message
        .get("role")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let known = [
        "developer",
        "system",
        "user",
        "assistant",
        "tool",
        "function",
    ];
    if !known.contains(&role) {
        let param = format!("messages[{index}].role");
        let text = format!("Invalid value: '{role}'. Supported values are: {known:?}.");
        return Err(invalid_request(Some("invalid_value"), Some(&param), &text));
    }
    let content = message.get("content").unwrap_or(&Value::Null);
    let fits = match content {
        Value::String(_) => true,
        Value::Array(parts) => {
            !parts.is_empty() && parts.iter().all(|part| part.get("type").is_some())
        }
        // An assistant may have called a tool instead.
        Value::Null => role == "assistant",
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let param = format!("messages[{index}].content");
    let text = format!("Invalid type for '{param}': expected one of a string or array of objects.");
    Err(invalid_request(Some("invalid_type"), Some(&param), &text))
}

/// A limit on the answer in tokens, 1 at least.
pub(super) fn token_limit(
    common: &ValidatedRequest,
    fields: &[&str],
) -> Result<Option<u64>, MockResponse> {
    for field in fields {
        match common.body.get(*field) {
            None | Some(Value::Null) => {}
            Some(value) => match value.as_u64().filter(|limit| *limit > 0) {
                Some(limit) => return Ok(Some(limit)),
                None => {
                    let message = format!("Invalid '{field}': expected an integer of at least 1.");
                    return Err(invalid_request(
                        Some("integer_below_min_value"),
                        Some(field),
                        &message,
                    ));
                }
            },
        }
    }
    Ok(None)
}

fn parse_bool(body: &Map<String, Value>, field: &str) -> Result<Option<bool>, MockResponse> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => {
            let message = format!("Invalid type for '{field}': expected a boolean.");
            Err(invalid_request(Some("invalid_type"), Some(field), &message))
        }
    }
}

fn check_range(
    body: &Map<String, Value>,
    field: &str,
    from: f64,
    to: f64,
) -> Result<(), MockResponse> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(value)
            if value
                .as_f64()
                .is_some_and(|value| (from..=to).contains(&value)) =>
        {
            Ok(())
        }
        Some(_) => {
            let message = format!("Invalid '{field}': expected a number from {from} to {to}.");
            Err(invalid_request(
                Some("invalid_value"),
                Some(field),
                &message,
            ))
        }
    }
}
