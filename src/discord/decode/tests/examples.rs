//! Example objects, generated from Discord's API description.
//!
//! `schemas.json` is the relevant part of <https://github.com/discord/discord-api-spec>. It has no
//! gateway events; those are assembled from its objects.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// Discord's descriptions of its objects.
static SCHEMAS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../schemas.json")).expect("schemas"));

/// An example of a named object with all its fields.
pub(super) fn named_example(name: &str) -> Value {
    example_from_schema(&json!({"$ref": name}))
}

pub(super) fn example_from_schema(schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return example_from_schema(&SCHEMAS[name]);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null"),
        kind => Some(kind),
    };
    let kind = kind.and_then(Value::as_str).unwrap_or("null");
    match (kind, schema["format"].as_str().unwrap_or_default()) {
        ("string", "snowflake") => json!("1234"),
        ("string", "date-time") => json!("2026-01-01T00:00:00.000000+00:00"),
        // Also permissions, which are numbers in a string.
        ("string", _) => json!("2048"),
        ("integer", _) => json!(3),
        ("number", _) => json!(1.5),
        ("boolean", _) => json!(true),
        ("array", _) => json!([example_from_schema(&schema["items"])]),
        ("object", _) => {
            let fields = schema["properties"].as_object();
            let fields = fields.into_iter().flatten();
            Value::Object(
                fields
                    .map(|(name, schema)| (name.clone(), example_from_schema(schema)))
                    .collect(),
            )
        }
        _ => Value::Null,
    }
}

/// The object with some fields added or replaced.
pub(super) fn with_fields(mut object: Value, fields: Value) -> Value {
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

/// A member without its user, as in messages.
pub(super) fn partial_member() -> Value {
    let mut member = named_example("GuildMemberResponse");
    if let Value::Object(member) = &mut member {
        member.remove("user");
    }
    member
}

/// A command with an option of each type.
pub(super) fn command() -> Value {
    let options: Vec<Value> = [
        (3, json!("words")),
        (4, json!(7)),
        (5, json!(true)),
        (6, json!("1234")),
        (7, json!("1234")),
        (8, json!("1234")),
        (10, json!(0.5)),
        (11, json!("1234")),
    ]
    .iter()
    .map(|(kind, value)| json!({"name": format!("option-{kind}"), "type": kind, "value": value}))
    .collect();
    json!({
        "id": "1234", "application_id": "1234", "type": 2, "token": "token", "version": 1,
        "guild_id": "1234", "channel_id": "1234", "channel": named_example("GuildChannelResponse"),
        "member": with_fields(named_example("GuildMemberResponse"), json!({"permissions": "2048"})),
        "app_permissions": "2048", "locale": "de", "guild_locale": "de",
        "entitlements": [{"id": "1234"}], "context": 0, "attachment_size_limit": 10_485_760,
        "authorizing_integration_owners": {"0": "1234", "1": "1234"},
        "data": {
            "id": "1234", "name": "ask", "type": 1, "guild_id": "1234", "target_id": "1234",
            "options": [{"name": "group", "type": 2, "options":
                [{"name": "sub", "type": 1, "options": options}]}],
            "resolved": {
                "users": {"1234": named_example("UserResponse")},
                "members": {"1234": partial_member()},
                "roles": {"1234": named_example("GuildRoleResponse")},
                "channels": {"1234": named_example("GuildChannelResponse")},
                "messages": {"1234": named_example("MessageResponse")},
                "attachments": {"1234": example_from_schema(&json!({"$ref": "MessageAttachmentResponse"}))},
            },
        },
    })
}

pub(super) fn component() -> Value {
    with_fields(
        command(),
        json!({
            "type": 3,
            "data": {"custom_id": "again:1", "component_type": 2, "id": 1},
            "message": named_example("MessageResponse"),
        }),
    )
}
