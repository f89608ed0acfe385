//! Extracts the parts of an answer from a JSON value: OpenAI's two APIs, and the formats that other
//! servers return (Ollama, llama.cpp, Anthropic, Gemini, Responses).

use serde_json::Value;

use crate::chat::TokenUsage;
use net::NetError;

/// The deepest nesting of arrays and objects that is followed.
const MAX_DEPTH: usize = 6;

/// What one JSON value adds to an answer.
#[derive(Default)]
pub(super) struct ResponseDelta {
    /// Text.
    pub(super) text: String,
    /// `text` is the whole answer so far, not an addition to it.
    pub(super) is_full_answer: bool,
    /// The value contains reasoning.
    pub(super) has_reasoning: bool,
    /// The value contains tool calls.
    pub(super) has_tool_calls: bool,
    /// Why the answer ends with this value.
    pub(super) finish_reason: Option<ServerFinishReason>,
    /// Tokens used so far.
    pub(super) usage: Option<TokenUsage>,
    /// The server says that nothing more follows.
    pub(super) is_last: bool,
    /// The value belongs to an answer, even if it adds nothing to it.
    pub(super) is_answer: bool,
}

/// Why the server says that the answer ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ServerFinishReason {
    Complete,
    Length,
    ContentFilter,
    /// The server failed.
    Failed,
}

/// Parses a value. `choice_index` is the index of the choice to read; the first value sets it.
pub(super) fn parse_delta(
    value: &Value,
    choice_index: &mut Option<u64>,
) -> Result<ResponseDelta, NetError> {
    let mut delta = ResponseDelta::default();
    parse_delta_into(value, choice_index, &mut delta, MAX_DEPTH)?;
    Ok(delta)
}

/// The error in a value whose event is named `error`.
pub(super) fn error_event_failure(value: &Value) -> NetError {
    NetError::from_error_body(
        value
            .get("error")
            .filter(|it| is_non_empty(it))
            .unwrap_or(value),
    )
}

fn parse_delta_into(
    value: &Value,
    choice_index: &mut Option<u64>,
    delta: &mut ResponseDelta,
    depth: usize,
) -> Result<(), NetError> {
    if let Some(values) = value.as_array() {
        for value in values {
            if depth > 0 {
                parse_delta_into(value, choice_index, delta, depth - 1)?;
            }
        }
        return Ok(());
    }
    if value.get("error").is_some_and(is_non_empty) {
        return Err(error_event_failure(value));
    }
    delta.merge_usage(value);
    for name in ["choices", "candidates"] {
        if let Some(choices) = value.get(name).filter(|it| !it.is_null()) {
            delta.is_answer = true;
            return delta.parse_choices(choices, choice_index);
        }
    }
    let kind = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if kind == "error" || kind.ends_with(".failed") || value["object"] == "error" {
        return Err(NetError::from_error_body(value));
    }
    // Nested in another object: DashScope, Cloudflare, Responses.
    for name in ["output", "result", "response"] {
        let inner = value.get(name).filter(|it| it.is_object() || it.is_array());
        if let Some(inner) = inner.filter(|_| depth > 0) {
            let before = delta.text.len();
            parse_delta_into(inner, choice_index, delta, depth - 1)?;
            // Responses repeats the whole answer at its end.
            delta.is_full_answer |= kind.starts_with("response.") && delta.text.len() > before;
        }
    }
    delta.parse_without_choices(value, kind)?;
    if !delta.is_answer && NetError::is_error_body(value) {
        return Err(NetError::from_error_body(value));
    }
    Ok(())
}

impl ResponseDelta {
    fn parse_choices(
        &mut self,
        choices: &Value,
        choice_index: &mut Option<u64>,
    ) -> Result<(), NetError> {
        let index = |choice: &Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let list = match choices {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        // We never request more than one choice.
        let first = list.iter().map(index).min();
        let wanted = match (*choice_index, first) {
            (Some(wanted), _) | (None, Some(wanted)) => *choice_index.insert(wanted),
            (None, None) => return Ok(()),
        };
        for choice in list.iter().filter(|choice| index(choice) == wanted) {
            if choice.get("error").is_some_and(is_non_empty) {
                return Err(error_event_failure(choice));
            }
            self.parse_choice(choice, "");
        }
        Ok(())
    }

    /// Parses the formats without choices.
    fn parse_without_choices(&mut self, value: &Value, kind: &str) -> Result<(), NetError> {
        let is_ours = ["delta", "content", "response", "token", "done", "stop"]
            .iter()
            .chain(["generated_text", "output_text", "content_block", "text"].iter())
            .any(|name| value.get(name).is_some())
            || value.get("message").is_some_and(Value::is_object)
            || kind.starts_with("message_")
            || kind.starts_with("content_block_")
            || kind.starts_with("response.");
        if !is_ours {
            return Ok(());
        }
        self.is_answer = true;
        self.parse_choice(value, kind);
        let flag = |name: &str| value.get(name).and_then(Value::as_bool) == Some(true);
        self.is_last |= flag("done") || flag("stop");
        self.is_last |=
            ["message_stop", "response.completed", "response.incomplete"].contains(&kind);
        if kind == "response.incomplete" {
            self.finish_reason = Some(ServerFinishReason::Length);
        }
        Ok(())
    }

    fn parse_choice(&mut self, choice: &Value, kind: &str) {
        // If several of these fields exist, they have the same content.
        let mut texts = Vec::new();
        for name in [
            "delta",
            "message",
            "content",
            "text",
            "response",
            "token",
            "generated_text",
            "output_text",
        ] {
            let Some(value) = choice.get(name) else {
                continue;
            };
            let mut found = ResponseDelta::default();
            found.parse_content(value, MAX_DEPTH);
            self.has_reasoning |= found.has_reasoning;
            self.has_tool_calls |= found.has_tool_calls;
            let is_whole = name == "message" && kind.is_empty() && choice.get("done").is_none();
            texts.push((found.text, is_whole));
        }
        // A message is complete, even without text.
        self.is_full_answer |= texts.iter().any(|(_, is_whole)| *is_whole);
        self.has_reasoning |=
            has_reasoning_field(choice) || kind.contains("reasoning") || kind.contains("thinking");
        self.has_tool_calls |=
            has_tool_call_field(choice) || kind.contains("function_call") || kind.contains("tool");
        let is_answer_text = !(kind.contains("reasoning") || kind.contains("function_call"));
        if let Some((text, _)) = texts.into_iter().find(|(text, _)| !text.is_empty())
            && is_answer_text
        {
            self.text.push_str(&text);
            self.is_full_answer |= kind.ends_with(".done");
        }
        let reason = [
            "finish_reason",
            "finishReason",
            "stop_reason",
            "done_reason",
        ]
        .iter()
        .find_map(|name| choice.get(name).or_else(|| choice.get("delta")?.get(name)))
        .and_then(Value::as_str);
        self.finish_reason = reason.and_then(parse_finish_reason).or(self.finish_reason);
    }

    /// Parses a delta, a message, or their content: a string, an object, or an array of either.
    fn parse_content(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.text.push_str(text),
            Value::Array(parts) if depth > 0 => {
                for part in parts {
                    self.parse_content(part, depth - 1);
                }
            }
            Value::Object(_) if depth > 0 => {
                let kind = value
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let is_thought = kind.contains("think") || kind.contains("reason");
                if is_thought || value.get("thought").and_then(Value::as_bool) == Some(true) {
                    self.has_reasoning = true;
                    return;
                }
                self.has_reasoning |= has_reasoning_field(value);
                self.has_tool_calls |= has_tool_call_field(value) || kind.contains("tool");
                let inner = ["content", "text", "parts", "value", "output_text"]
                    .iter()
                    .filter_map(|name| value.get(name))
                    .find(|inner| is_non_empty(inner));
                if let Some(inner) = inner {
                    self.parse_content(inner, depth - 1);
                }
                if let Some(refusal) = value.get("refusal").and_then(Value::as_str) {
                    self.text.push_str(refusal);
                }
            }
            _ => {}
        }
    }

    fn merge_usage(&mut self, value: &Value) {
        let named = |names: &[&str], from: &Value| {
            let found = names.iter().find_map(|name| from.get(name))?;
            found
                .as_u64()
                .or_else(|| found.as_f64().map(|tokens| tokens as u64))
        };
        let prompt = [
            "prompt_tokens",
            "input_tokens",
            "promptTokenCount",
            "prompt_eval_count",
        ];
        let answer = [
            "completion_tokens",
            "output_tokens",
            "candidatesTokenCount",
            "eval_count",
        ];
        let inner = ["usage", "usageMetadata"]
            .iter()
            .find_map(|name| value.get(name));
        let inner = inner.or_else(|| value.get("message")?.get("usage"));
        let from = match inner.filter(|usage| usage.is_object()) {
            Some(usage) => usage,
            None if value.get("eval_count").is_some() => value,
            None => return,
        };
        self.usage = Some(TokenUsage {
            prompt_tokens: named(&prompt, from).unwrap_or(0),
            answer_tokens: named(&answer, from).unwrap_or(0),
        });
    }
}

fn has_reasoning_field(value: &Value) -> bool {
    [
        "reasoning_content",
        "reasoning",
        "thinking",
        "thought",
        "reasoning_text",
        "reasoning_details",
    ]
    .iter()
    .any(|name| value.get(name).is_some_and(is_non_empty))
}

fn has_tool_call_field(value: &Value) -> bool {
    ["tool_calls", "function_call", "functionCall"]
        .iter()
        .any(|name| value.get(name).is_some_and(is_non_empty))
}

/// Whether the value is neither null, false, zero nor empty.
fn is_non_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// The meaning of a finish reason. Some servers send a placeholder until the end.
fn parse_finish_reason(reason: &str) -> Option<ServerFinishReason> {
    let reason = reason.trim().to_ascii_lowercase();
    Some(match reason.as_str() {
        ""
        | "null"
        | "none"
        | "nil"
        | "undefined"
        | "unspecified"
        | "in_progress"
        | "finish_reason_unspecified" => return None,
        "length"
        | "max_tokens"
        | "max_output_tokens"
        | "max_completion_tokens"
        | "model_length"
        | "token_limit"
        | "context_length"
        | "max_length"
        | "model_context_window_exceeded" => ServerFinishReason::Length,
        "content_filter"
        | "safety"
        | "recitation"
        | "sensitive"
        | "blocklist"
        | "prohibited_content"
        | "spii"
        | "guardrail_intervened"
        | "refusal" => ServerFinishReason::ContentFilter,
        "error"
        | "network_error"
        | "insufficient_system_resource"
        | "abort"
        | "aborted"
        | "cancelled"
        | "canceled"
        | "engine_overloaded"
        | "timeout" => ServerFinishReason::Failed,
        _ => ServerFinishReason::Complete,
    })
}
