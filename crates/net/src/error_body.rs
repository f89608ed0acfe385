//! Parses error bodies of all providers, whatever their shape, into code, status and message.

use serde_json::Value;

use super::error_code::ErrorCode;
use super::redacted_text::RedactedText;

/// How deep nested strings, arrays and objects are followed.
const MAX_DEPTH: usize = 12;

/// Parts of a message that are kept.
const MAX_PARTS: usize = 8;

/// Characters of a message that are collected, before [`RedactedText`] shortens it.
const MAX_MESSAGE_CHARS: usize = 2_000;

/// A parsed error body.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    /// The machine-readable code, preferably a known one.
    pub(super) code: Option<ErrorCode>,
    /// The HTTP status in the body.
    pub(super) status: Option<u16>,
    /// The message, including the name of the invalid field.
    pub(super) message: Option<RedactedText>,
}

/// Fields that hold a code, the most specific first.
const CODE_FIELDS: [&str; 5] = ["code", "error_code", "type", "status", "reason"];

/// Fields that hold a message, the most specific first.
const MESSAGE_FIELDS: [&str; 21] = [
    "message",
    "msg",
    "Message",
    "detail",
    "details",
    "error_message",
    "error_msg",
    "errorMessage",
    "error_description",
    "description",
    "faultstring",
    "fault",
    "errors",
    "error",
    "metadata",
    "raw",
    "reason",
    "param",
    "loc",
    "fieldViolations",
    "field",
];

/// Fields that repeat the request.
const ECHO_FIELDS: [&str; 5] = ["input", "ctx", "url", "body", "request"];

impl ErrorBody {
    /// Parses a body: JSON, or a short plain text.
    pub(super) fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => Self {
                message: plain_text_message(body),
                ..Self::default()
            },
        }
    }

    /// Parses a JSON value.
    pub(super) fn from_value(value: &Value) -> Self {
        let mut parsed = Self::default();
        parsed.collect_codes(value, MAX_DEPTH);
        let mut parts = Vec::new();
        collect_messages(value, &mut parts, MAX_DEPTH);
        let message: String = parts.join(" – ").chars().take(MAX_MESSAGE_CHARS).collect();
        parsed.message = (!message.trim().is_empty()).then(|| RedactedText::new(&message));
        parsed
    }

    fn collect_codes(&mut self, value: &Value, depth: usize) {
        if let Some(list) = value.as_array() {
            if let Some(first) = list.first().filter(|_| depth > 0) {
                self.collect_codes(first, depth - 1);
            }
            return;
        }
        for name in CODE_FIELDS {
            match value.get(name) {
                Some(Value::String(code)) if !code.is_empty() => {
                    if let Some(status) = code.parse().ok().filter(is_error_status) {
                        self.status = self.status.or(Some(status));
                    } else if self.code.is_none_or(|code| code.known().is_none()) {
                        let code = ErrorCode::new(code);
                        if self.code.is_none() || code.known().is_some() {
                            self.code = Some(code);
                        }
                    }
                }
                Some(Value::Number(number)) => {
                    let status = number
                        .as_u64()
                        .and_then(|number| u16::try_from(number).ok());
                    self.status = self.status.or(status.filter(is_error_status));
                }
                _ => {}
            }
        }
        // In a problem (RFC 9457) the title serves as the code; its `type` is a URL.
        if let Some(title) = value.get("title").and_then(Value::as_str)
            && self.code.is_none_or(|code| code.known().is_none())
        {
            self.code = Some(ErrorCode::from_title(title));
        }
        for name in ["error", "message", "errors", "detail", "metadata"] {
            if let Some(inner) = value.get(name).filter(|_| depth > 0) {
                self.collect_codes(inner, depth - 1);
            }
        }
    }
}

fn is_error_status(status: &u16) -> bool {
    (400..600).contains(status)
}

/// Whether a JSON value has a field that only errors have.
pub(super) fn is_error_body(value: &Value) -> bool {
    [
        "message",
        "msg",
        "detail",
        "errors",
        "error_message",
        "error_msg",
        "title",
        "fault",
    ]
    .iter()
    .any(|name| !matches!(value.get(name), None | Some(Value::Null)))
}

/// Collects the messages in `value`, each once.
fn collect_messages(value: &Value, parts: &mut Vec<String>, depth: usize) {
    if parts.len() >= MAX_PARTS || depth == 0 {
        return;
    }
    match value {
        Value::String(text) => {
            let text = text.trim();
            // Gateways pass on the error of the server behind them as a JSON string.
            match serde_json::from_str::<Value>(text) {
                Ok(inner @ (Value::Object(_) | Value::Array(_))) => {
                    collect_messages(&inner, parts, depth - 1);
                }
                _ if text.is_empty() || parts.iter().any(|part| part.contains(text)) => {}
                _ => parts.push(text.to_owned()),
            }
        }
        Value::Array(list) => {
            // The path of an invalid field: ["body", "stream_options", 0].
            let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            match names.filter(|names| names.iter().all(|name| is_field_name(name))) {
                Some(names) if !names.is_empty() => parts.push(names.join(".")),
                _ => {
                    for value in list {
                        collect_messages(value, parts, depth - 1);
                    }
                }
            }
        }
        Value::Object(object) => {
            for name in MESSAGE_FIELDS {
                if let Some(value) = object.get(name) {
                    collect_messages(value, parts, depth - 1);
                }
            }
            // A title adds nothing to a message.
            if let Some(title) = object.get("title").filter(|_| parts.is_empty()) {
                collect_messages(title, parts, depth - 1);
            }
            if parts.is_empty() {
                // Any field name: {"reasoning_effort": ["Unknown field."]}.
                for (name, value) in object {
                    if ECHO_FIELDS.contains(&name.as_str()) || CODE_FIELDS.contains(&name.as_str())
                    {
                        continue;
                    }
                    let before = parts.len();
                    collect_messages(value, parts, depth - 1);
                    if parts.len() > before {
                        parts.push(name.clone());
                    }
                }
            }
        }
        _ => {}
    }
}

fn is_field_name(text: &str) -> bool {
    !text.is_empty() && text.len() < 64 && !text.contains(char::is_whitespace)
}

/// The message of a plain text body. HTML and binary data are none.
fn plain_text_message(body: &[u8]) -> Option<RedactedText> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim().trim_start_matches('\u{feff}');
    let is_sentence = !text.is_empty()
        && !text.starts_with('<')
        && !text.contains('\u{fffd}')
        && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    is_sentence.then(|| RedactedText::new(text))
}

#[cfg(test)]
mod tests;
