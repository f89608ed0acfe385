//! `POST /v1/moderations`.

use serde_json::{Map, Value, json};

use super::errors::invalid;
use super::{State, validate};
use crate::answer::Answer;
use crate::exchange::Request;

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

pub(super) fn answer(state: &State, request: &Request) -> Answer {
    let body = match validate::object(request) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let texts = match body.get("input") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) if !items.is_empty() => items.iter().map(text_of).collect(),
        _ => return invalid(None, Some("input"), "Invalid 'input': expected text."),
    };
    let flagged = state.script().flagged.clone();
    let results: Vec<Value> = texts
        .iter()
        .map(|text| {
            let text = text.to_lowercase();
            result(flagged.iter().any(|word| text.contains(word)))
        })
        .collect();
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or("omni-moderation-latest");
    Answer::ok(&json!({"id": "modr-sandbox", "model": model, "results": results}))
}

fn text_of(item: &Value) -> String {
    item.as_str()
        .or_else(|| item.get("text").and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

fn result(flagged: bool) -> Value {
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
