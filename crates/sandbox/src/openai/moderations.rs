//! `POST /v1/moderations`.

use serde_json::{Map, Value, json};

use super::errors::invalid_request;
use super::{OpenAiState, validate};
use crate::mock_response::MockResponse;
use crate::request_handler::BufferedRequest;

/// The categories of the published specification.
const CATEGORIES: &[&str] = &[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

pub(super) fn respond(state: &OpenAiState, request: &BufferedRequest) -> MockResponse {
    let body = match validate::parse_object(request) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let texts = match body.get("input") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) if !items.is_empty() => items.iter().map(input_text).collect(),
        _ => return invalid_request(None, Some("input"), "Invalid 'input': expected text."),
    };
    let flagged = state.script().flagged_texts.clone();
    let results: Vec<Value> = texts
        .iter()
        .map(|text| {
            let text = text.to_lowercase();
            result_json(flagged.iter().any(|word| text.contains(word)))
        })
        .collect();
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or("omni-moderation-latest");
    MockResponse::ok(&json!({"id": "modr-sandbox", "model": model, "results": results}))
}

fn input_text(item: &Value) -> String {
    item.as_str()
        .or_else(|| item.get("text").and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

fn result_json(flagged: bool) -> Value {
    let of = |value: &dyn Fn(bool) -> Value| -> Map<String, Value> {
        CATEGORIES
            .iter()
            .map(|category| {
                let hit = flagged && *category == "harassment";
                ((*category).to_owned(), value(hit))
            })
            .collect()
    };
    json!({
        "flagged": flagged,
        "categories": of(&|hit| hit.into()),
        "category_scores": of(&|hit| if hit { 0.97 } else { 0.0001 }.into()),
        "category_applied_input_types": of(&|_| json!(["text"])),
    })
}
