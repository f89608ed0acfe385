//! Messages and what they contain.

use serde_json::{Value, json};

use super::super::schema::FieldPolicy::{
    ExpectedOrDefault, Optional, OptionalOrDefault, OptionalStrict, OrDefault, Required,
};
use super::super::schema::Schema::{
    Bitfield, Bool, ClampedInteger, Custom, EnumValue, Iso8601, List, Object, Seconds, Snowflake,
    Text, TextOrInteger,
};
use super::super::schema::{FieldSchema, Schema};
use super::user::{PARTIAL_MEMBER, USER, USERS};
use super::{IDS, U32, UNKNOWN_TIME, field_schema, unread_field};

pub(super) static ATTACHMENT: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("filename", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("size", &ClampedInteger(U32), ExpectedOrDefault("0")),
    field_schema("url", &Text, Required),
    field_schema("content_type", &Text, Optional),
    field_schema("duration_secs", &Seconds, Optional),
    field_schema("ephemeral", &Bool, OrDefault("false")),
    unread_field("proxy_url", r#""""#),
]);

static ATTACHMENTS: Schema = List(&ATTACHMENT);

static MESSAGE_REFERENCE: Schema = Object(&[
    field_schema("type", &EnumValue, OrDefault("0")),
    field_schema("message_id", &Snowflake, Optional),
    // The model requires it; the bot never reads it.
    field_schema("channel_id", &Snowflake, OrDefault(r#""1""#)),
    field_schema("guild_id", &Snowflake, Optional),
]);

/// The content of a forwarded message.
static MESSAGE_SNAPSHOT: Schema = Object(&[field_schema(
    "message",
    &Object(&[
        field_schema("content", &Text, OrDefault(r#""""#)),
        field_schema("timestamp", &Iso8601, OrDefault(UNKNOWN_TIME)),
        field_schema("edited_timestamp", &Iso8601, Optional),
        field_schema("type", &EnumValue, OrDefault("0")),
        field_schema("attachments", &ATTACHMENTS, ExpectedOrDefault("[]")),
        field_schema("mentions", &USERS, OrDefault("[]")),
        field_schema("mention_roles", &IDS, OrDefault("[]")),
        field_schema("flags", &Bitfield, Optional),
        unread_field("embeds", "[]"),
    ]),
    Required,
)]);

static MESSAGE_SNAPSHOTS: Schema = List(&MESSAGE_SNAPSHOT);

/// The interaction that a message responds to. The models of other types than commands need other
/// fields, which the bot never reads.
static INTERACTION_METADATA: Schema = Custom(|value, invalid| {
    let command = value.get("type").and_then(Value::as_u64) == Some(2);
    if !command {
        return Some(json!({"type": 0}));
    }
    COMMAND_INTERACTION_METADATA.normalize(value, invalid)
});

static COMMAND_INTERACTION_METADATA: Schema = Object(&[
    field_schema("type", &EnumValue, Required),
    field_schema("id", &Snowflake, OrDefault(r#""1""#)),
    field_schema("user", &USER, Required),
    unread_field("authorizing_integration_owners", "{}"),
]);

/// The message that this one replies to. A function breaks the cycle between the two statics.
static REFERENCED_MESSAGE: Schema = Custom(|value, invalid| MESSAGE.normalize(value, invalid));

pub(in super::super) static MESSAGE: Schema = Object(MESSAGE_FIELDS);

pub(super) const MESSAGE_FIELDS: &[FieldSchema] = &[
    field_schema("id", &Snowflake, Required),
    field_schema("channel_id", &Snowflake, Required),
    // Its absence marks a direct message.
    field_schema("guild_id", &Snowflake, OptionalStrict),
    field_schema("author", &USER, Required),
    field_schema("member", &PARTIAL_MEMBER, Optional),
    field_schema("content", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("timestamp", &Iso8601, ExpectedOrDefault(UNKNOWN_TIME)),
    field_schema("edited_timestamp", &Iso8601, Optional),
    field_schema("type", &EnumValue, ExpectedOrDefault("0")),
    field_schema("flags", &Bitfield, Optional),
    field_schema("attachments", &ATTACHMENTS, ExpectedOrDefault("[]")),
    field_schema("mentions", &USERS, ExpectedOrDefault("[]")),
    field_schema("mention_roles", &IDS, OrDefault("[]")),
    field_schema("mention_everyone", &Bool, OrDefault("false")),
    // Its presence marks a message that no user wrote.
    field_schema("webhook_id", &Snowflake, OptionalOrDefault(r#""1""#)),
    field_schema("application_id", &Snowflake, Optional),
    field_schema("nonce", &TextOrInteger, Optional),
    field_schema("message_reference", &MESSAGE_REFERENCE, Optional),
    field_schema("referenced_message", &REFERENCED_MESSAGE, Optional),
    field_schema("message_snapshots", &MESSAGE_SNAPSHOTS, OrDefault("[]")),
    field_schema("interaction_metadata", &INTERACTION_METADATA, Optional),
    unread_field("tts", "false"),
    unread_field("embeds", "[]"),
    unread_field("pinned", "false"),
];

pub(in super::super) static MESSAGE_DELETE_BULK: Schema =
    Object(&[field_schema("ids", &IDS, Required)]);
