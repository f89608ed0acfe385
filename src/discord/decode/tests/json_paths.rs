//! Changes values inside JSON, and finds the paths at which two values differ.

use serde_json::{Map, Value, json};

/// Path of a value inside another: field names and indices.
pub(super) type JsonPath = Vec<String>;

/// All paths in a value, starting with its own.
pub(super) fn collect_paths(value: &Value, path: &JsonPath, all: &mut Vec<JsonPath>) {
    all.push(path.clone());
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, it)| (name.clone(), it)).collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, it)| (index.to_string(), it))
            .collect(),
        _ => Vec::new(),
    };
    for (part, value) in inside {
        let mut child = path.clone();
        child.push(part);
        collect_paths(value, &child, all);
    }
}

/// Replacements for a field. `None` removes it.
pub(super) fn invalid_values() -> Vec<Option<Value>> {
    let mut all = vec![None];
    all.extend(
        [
            Value::Null,
            json!(true),
            json!(-1),
            json!(0),
            json!(255),
            json!(256),
            json!(70_000),
            json!(9_999),
            json!(1_u64 << 40),
            json!(u64::MAX),
            json!(1e300),
            json!(-2.5),
            json!(""),
            json!("strange"),
            json!("99999999999999999999999999"),
            json!([]),
            json!([null, "x", -7, {}]),
            json!({}),
            json!({"new": 1}),
        ]
        .map(Some),
    );
    all
}

pub(super) fn replace_at(value: &mut Value, path: &[String], replacement: Option<Value>) {
    let [first, rest @ ..] = path else {
        if let Some(replacement) = replacement {
            *value = replacement;
        }
        return;
    };
    let inside = match value {
        Value::Object(fields) if rest.is_empty() && replacement.is_none() => {
            fields.remove(first);
            return;
        }
        Value::Object(fields) => fields.get_mut(first),
        Value::Array(list) => {
            let index = first
                .parse::<usize>()
                .ok()
                .filter(|index| *index < list.len());
            match index {
                Some(index) if rest.is_empty() && replacement.is_none() => {
                    list.remove(index);
                    return;
                }
                Some(index) => list.get_mut(index),
                None => None,
            }
        }
        _ => None,
    };
    if let Some(inside) = inside {
        replace_at(inside, rest, replacement);
    }
}

/// Paths at which two values differ.
pub(super) fn collect_differences<'a>(
    a: &'a Value,
    b: &'a Value,
    path: &JsonPath,
    all: &mut Vec<JsonPath>,
) {
    let inside = |part: &String| {
        let mut child = path.clone();
        child.push(part.clone());
        child
    };
    static NOTHING: Value = Value::Null;
    match (a, b) {
        (a, b) if a == b => {}
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let part = |of: &'a Map<String, Value>| of.get(name).unwrap_or(&NOTHING);
                collect_differences(part(a), part(b), &inside(name), all);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                collect_differences(a, b, &inside(&index.to_string()), all);
            }
        }
        _ => all.push(path.clone()),
    }
}

/// Path in the model for a path in the JSON: serenity unwraps message snapshots.
pub(super) fn path_in_model(path: &[String]) -> JsonPath {
    let mut decoded = JsonPath::new();
    for (index, part) in path.iter().enumerate() {
        let wrapping = part == "message" && index >= 2 && path[index - 2] == "message_snapshots";
        if !wrapping {
            decoded.push(part.clone());
        }
    }
    decoded
}

pub(super) fn is_within(path: &[String], of: &str) -> bool {
    let dotted = path.join(".");
    of.is_empty() || dotted == of || dotted.starts_with(&format!("{of}."))
}
