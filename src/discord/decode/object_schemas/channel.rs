//! Channels and threads.

use serde_json::{Value, json};

use super::super::schema::FieldPolicy::{
    Constant, ExpectedOrDefault, Optional, OrDefault, Required,
};
use super::super::schema::Schema::{
    Bool, ClampedInteger, Custom, EnumValue, Iso8601, List, Object, PermissionBits, Snowflake, Text,
};
use super::super::schema::{InvalidFields, Schema};
use super::user::USER;
use super::{U16, U32, field_schema, unread_field};

static PERMISSION_OVERWRITES: Schema = List(&Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("type", &Custom(normalize_overwrite_type), Required),
    field_schema("allow", &PermissionBits, ExpectedOrDefault(r#""0""#)),
    field_schema("deny", &PermissionBits, ExpectedOrDefault(r#""0""#)),
]));

/// serenity only knows overwrites for roles (0) and members (1).
fn normalize_overwrite_type(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    let kind = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let kind = kind.filter(|kind| *kind <= 1);
    if kind.is_none() {
        invalid.record();
    }
    kind.map(Value::from)
}

static THREAD_METADATA: Schema = Object(&[
    field_schema("archived", &Bool, OrDefault("false")),
    field_schema("locked", &Bool, OrDefault("false")),
    field_schema("archive_timestamp", &Iso8601, Optional),
    unread_field("auto_archive_duration", "1440"),
]);

/// A channel or thread of a server.
pub(in super::super) static CHANNEL: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("type", &EnumValue, ExpectedOrDefault("0")),
    field_schema("guild_id", &Snowflake, Optional),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("parent_id", &Snowflake, Optional),
    field_schema("owner_id", &Snowflake, Optional),
    field_schema(
        "permission_overwrites",
        &PERMISSION_OVERWRITES,
        OrDefault("[]"),
    ),
    field_schema("topic", &Text, Optional),
    field_schema("user_limit", &ClampedInteger(U32), Optional),
    field_schema("rate_limit_per_user", &ClampedInteger(U16), Optional),
    field_schema("thread_metadata", &THREAD_METADATA, Optional),
    field_schema("last_message_id", &Snowflake, Optional),
    field_schema("permissions", &PermissionBits, Optional),
    field_schema("nsfw", &Bool, OrDefault("false")),
    field_schema("position", &ClampedInteger(U16), Constant("0")),
]);

pub(super) static CHANNELS: Schema = List(&CHANNEL);

/// A direct message channel or group.
pub(in super::super) static PRIVATE_CHANNEL: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("last_message_id", &Snowflake, Optional),
    unread_field("type", "1"),
    // The model accepts exactly one recipient.
    field_schema(
        "recipients",
        &Custom(normalize_first_recipient),
        OrDefault(r#"[{"id": "1", "username": ""}]"#),
    ),
]);

fn normalize_first_recipient(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    let first = value.as_array().and_then(|all| all.first());
    let first =
        first.and_then(|first| invalid.within("[]", |invalid| USER.normalize(first, invalid)));
    if first.is_none() {
        invalid.record();
    }
    first.map(|first| json!([first]))
}

/// A channel in resolved data.
pub(super) static PARTIAL_CHANNEL: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("type", &EnumValue, ExpectedOrDefault("0")),
    field_schema("name", &Text, Optional),
    field_schema("permissions", &PermissionBits, Optional),
    field_schema("parent_id", &Snowflake, Optional),
]);
