//! Servers and roles.

use serde_json::Value;

use super::super::schema::FieldPolicy::{
    Constant, ExpectedOrDefault, Optional, OptionalOrDefault, OrDefault, Required,
};
use super::super::schema::Schema::{
    Bool, ClampedInteger, Custom, Iso8601, List, Object, PermissionBits, Snowflake, Text,
};
use super::super::schema::{FieldSchema, Schema, normalize_object};
use super::channel::CHANNELS;
use super::user::MEMBERS;
use super::voice::VOICE_STATES;
use super::{TEXTS, U16, UNKNOWN_TIME, field_schema, unread_field};

pub(super) static ROLE: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("permissions", &PermissionBits, ExpectedOrDefault(r#""0""#)),
    field_schema("managed", &Bool, OrDefault("false")),
    field_schema("mentionable", &Bool, OrDefault("false")),
    field_schema("position", &ClampedInteger(U16), Constant("0")),
    field_schema("tags", &ROLE_TAGS, OrDefault("{}")),
    unread_field("color", "0"),
    unread_field("colors", r#"{"primary_color": 0}"#),
    unread_field("hoist", "false"),
]);

static ROLES: Schema = List(&ROLE);

/// Identifies the bot or integration that a managed role belongs to.
static ROLE_TAGS: Schema = Object(&[
    field_schema("bot_id", &Snowflake, Optional),
    field_schema("integration_id", &Snowflake, Optional),
]);

/// The server itself, without channels and members.
const GUILD_FIELDS: &[FieldSchema] = &[
    field_schema("id", &Snowflake, Required),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("owner_id", &Snowflake, ExpectedOrDefault(r#""1""#)),
    field_schema("roles", &ROLES, ExpectedOrDefault("[]")),
    field_schema("features", &TEXTS, OrDefault("[]")),
    field_schema("preferred_locale", &Text, OrDefault(r#""en-US""#)),
    unread_field("verification_level", "0"),
    unread_field("default_message_notifications", "0"),
    unread_field("explicit_content_filter", "0"),
    unread_field("mfa_level", "0"),
    unread_field("system_channel_flags", "0"),
    unread_field("premium_tier", "0"),
    unread_field("nsfw_level", "0"),
    unread_field("premium_progress_bar_enabled", "false"),
    unread_field("emojis", "[]"),
    unread_field("stickers", "[]"),
];

pub(in super::super) static GUILD: Schema = Object(GUILD_FIELDS);

/// Fields that only GUILD_CREATE has.
const GUILD_CREATE_FIELDS: &[FieldSchema] = &[
    field_schema("voice_states", &VOICE_STATES, ExpectedOrDefault("[]")),
    field_schema("members", &MEMBERS, ExpectedOrDefault("[]")),
    field_schema("channels", &CHANNELS, ExpectedOrDefault("[]")),
    field_schema("threads", &CHANNELS, OrDefault("[]")),
    field_schema("member_count", &ClampedInteger(u64::MAX), OrDefault("0")),
    field_schema("joined_at", &Iso8601, OrDefault(UNKNOWN_TIME)),
    field_schema("unavailable", &Bool, OrDefault("false")),
    unread_field("large", "false"),
    unread_field("presences", "[]"),
    unread_field("stage_instances", "[]"),
    unread_field("guild_scheduled_events", "[]"),
];

pub(in super::super) static GUILD_CREATE: Schema = Custom(|value, invalid| {
    let Value::Object(object) = value else {
        invalid.record();
        return None;
    };
    let mut guild = normalize_object(object, GUILD_FIELDS, invalid)?;
    let content = normalize_object(object, GUILD_CREATE_FIELDS, invalid)?;
    if let (Value::Object(guild), Value::Object(content)) = (&mut guild, content) {
        guild.extend(content);
    }
    Some(guild)
});

/// A server that became unavailable, or that removed the bot.
pub(in super::super) static GUILD_DELETE: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    // If invalid, assume an outage: data of a server that removed the bot is deleted.
    field_schema("unavailable", &Bool, OptionalOrDefault("true")),
]);

/// A server in the list of the bot's servers.
pub(in super::super) static CURRENT_USER_GUILD: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("owner", &Bool, OrDefault("false")),
    field_schema("permissions", &PermissionBits, ExpectedOrDefault(r#""0""#)),
    field_schema("features", &TEXTS, OrDefault("[]")),
]);
