//! The fields that the bot reads, per object: <https://discord.com/developers/docs/resources>.
//!
//! To read one more field, add a row: fields without a row never reach the model.

use serde_json::{Map, Value, json};

use super::schema::FieldPolicy::{
    Constant, ExpectedOrDefault, Optional, OptionalOrDefault, OptionalStrict, OrDefault, Required,
};
use super::schema::Schema::{
    Bitfield, Bool, ClampedInteger, Custom, EnumValue, Iso8601, List, Object, PermissionBits,
    Seconds, Snowflake, SnowflakeMap as ById, Text, TextOrInteger,
};
use super::schema::{FieldPolicy, FieldSchema, InvalidFields, Schema, normalize_object};

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;

/// Placeholder for an unknown user.
const UNKNOWN_USER: &str = r#"{"id": "1", "username": ""}"#;

/// Placeholder for an unknown time: the start of Discord's epoch.
const UNKNOWN_TIME: &str = r#""2015-01-01T00:00:00Z""#;

const fn field_schema(
    name: &'static str,
    schema: &'static Schema,
    policy: FieldPolicy,
) -> FieldSchema {
    FieldSchema {
        name,
        schema,
        policy,
    }
}

/// A field that the model requires and the bot never reads.
const fn unread_field(name: &'static str, default: &'static str) -> FieldSchema {
    field_schema(name, &Text, Constant(default))
}

static IDS: Schema = List(&Snowflake);
static TEXTS: Schema = List(&Text);

pub(super) static USER: Schema = Object(USER_FIELDS);
const USER_FIELDS: &[FieldSchema] = &[
    field_schema("id", &Snowflake, Required),
    field_schema("username", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("global_name", &Text, Optional),
    field_schema("bot", &Bool, OrDefault("false")),
    field_schema("system", &Bool, OrDefault("false")),
];
static USERS: Schema = List(&USER);

/// A member as it appears in messages and resolved data, without its user.
static PARTIAL_MEMBER: Schema = Object(&[
    field_schema("user", &USER, Optional),
    field_schema("nick", &Text, Optional),
    field_schema("roles", &IDS, ExpectedOrDefault("[]")),
    field_schema("permissions", &PermissionBits, Optional),
    field_schema("joined_at", &Iso8601, Optional),
    field_schema("deaf", &Bool, OrDefault("false")),
    field_schema("mute", &Bool, OrDefault("false")),
]);

pub(super) static MEMBER: Schema = Object(&[
    field_schema("user", &USER, Required),
    field_schema("nick", &Text, Optional),
    field_schema("roles", &IDS, ExpectedOrDefault("[]")),
    field_schema("permissions", &PermissionBits, Optional),
    field_schema("joined_at", &Iso8601, Optional),
    field_schema("communication_disabled_until", &Iso8601, Optional),
    field_schema("pending", &Bool, OrDefault("false")),
    field_schema("deaf", &Bool, OrDefault("false")),
    field_schema("mute", &Bool, OrDefault("false")),
    unread_field("flags", "0"),
]);
static MEMBERS: Schema = List(&MEMBER);

static ATTACHMENT: Schema = Object(&[
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

pub(super) static MESSAGE: Schema = Object(MESSAGE_FIELDS);
const MESSAGE_FIELDS: &[FieldSchema] = &[
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
pub(super) static CHANNEL: Schema = Object(&[
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
pub(super) static PRIVATE_CHANNEL: Schema = Object(&[
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
static PARTIAL_CHANNEL: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("type", &EnumValue, ExpectedOrDefault("0")),
    field_schema("name", &Text, Optional),
    field_schema("permissions", &PermissionBits, Optional),
    field_schema("parent_id", &Snowflake, Optional),
]);

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

/// A user's voice state.
pub(super) static VOICE_STATE: Schema = Object(&[
    field_schema("guild_id", &Snowflake, OptionalStrict),
    field_schema("user_id", &Snowflake, Required),
    // Its absence means that the user has left.
    field_schema("channel_id", &Snowflake, OptionalStrict),
    field_schema("member", &MEMBER, Optional),
    field_schema("session_id", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("deaf", &Bool, OrDefault("false")),
    field_schema("mute", &Bool, OrDefault("false")),
    field_schema("self_deaf", &Bool, OrDefault("false")),
    field_schema("self_mute", &Bool, OrDefault("false")),
    field_schema("self_video", &Bool, OrDefault("false")),
    field_schema("self_stream", &Bool, OrDefault("false")),
    field_schema("suppress", &Bool, OrDefault("false")),
    field_schema("request_to_speak_timestamp", &Iso8601, Optional),
]);
/// A voice state inside GUILD_CREATE, which has no `guild_id` of its own.
static GUILD_VOICE_STATE: Schema = Custom(|value, invalid| {
    let mut value = value.clone();
    if let Value::Object(state) = &mut value {
        state.remove("guild_id");
    }
    VOICE_STATE.normalize(&value, invalid)
});
static VOICE_STATES: Schema = List(&GUILD_VOICE_STATE);

pub(super) static VOICE_SERVER_UPDATE: Schema = Object(&[
    field_schema("guild_id", &Snowflake, Required),
    field_schema("token", &Text, Required),
    field_schema("endpoint", &Text, Optional),
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
pub(super) static GUILD: Schema = Object(GUILD_FIELDS);

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

pub(super) static GUILD_CREATE: Schema = Custom(|value, invalid| {
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
pub(super) static GUILD_DELETE: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    // If invalid, assume an outage: data of a server that removed the bot is deleted.
    field_schema("unavailable", &Bool, OptionalOrDefault("true")),
]);

pub(super) static READY: Schema = Object(&[
    field_schema("session_id", &Text, Required),
    field_schema("resume_gateway_url", &Text, Optional),
    field_schema("user", &USER, Optional),
    field_schema(
        "guilds",
        &List(&Object(&[field_schema("id", &Snowflake, Required)])),
        ExpectedOrDefault("[]"),
    ),
]);

/// An object of which only the ID matters.
pub(super) static ID_ONLY: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("channel_id", &Snowflake, Optional),
    field_schema("guild_id", &Snowflake, Optional),
]);

pub(super) static MESSAGE_DELETE_BULK: Schema = Object(&[field_schema("ids", &IDS, Required)]);

/// Objects that the options or the target of a command refer to.
static RESOLVED_DATA: Schema = Object(&[
    field_schema("users", &ById(&USER), OrDefault("{}")),
    field_schema("members", &ById(&PARTIAL_MEMBER), OrDefault("{}")),
    field_schema("roles", &ById(&ROLE), OrDefault("{}")),
    field_schema("channels", &ById(&PARTIAL_CHANNEL), OrDefault("{}")),
    field_schema("messages", &ById(&MESSAGE), OrDefault("{}")),
    field_schema("attachments", &ById(&ATTACHMENT), OrDefault("{}")),
]);

static COMMAND_OPTIONS: Schema = List(&Custom(normalize_command_option));
static COMMAND_OPTION: Schema = Object(&[
    field_schema("name", &Text, Required),
    field_schema("type", &EnumValue, Required),
]);
static INTEGER: Schema = Custom(normalize_integer);
static FINITE_NUMBER: Schema = Custom(normalize_finite_number);

/// An option's value has the type that its `type` field names.
fn normalize_command_option(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    const SUB_COMMAND: u64 = 1;
    const GROUP: u64 = 2;
    let mut option = COMMAND_OPTION.normalize(value, invalid)?;
    let kind = option["type"].as_u64().unwrap_or_default();
    let (part, schema): (&'static str, &Schema) = match kind {
        SUB_COMMAND | GROUP => ("options", &COMMAND_OPTIONS),
        3 => ("value", &Text),
        4 => ("value", &INTEGER),
        5 => ("value", &Bool),
        6..=9 | 11 => ("value", &Snowflake),
        10 => ("value", &FINITE_NUMBER),
        _ => return Some(option),
    };
    let no_options = json!([]);
    let value = match value.get(part).filter(|value| !value.is_null()) {
        None if kind <= GROUP => &no_options,
        None => {
            invalid.within(part, InvalidFields::record);
            return None;
        }
        Some(value) => value,
    };
    let normalized = invalid.within(part, |invalid| schema.normalize(value, invalid))?;
    if let Value::Object(option) = &mut option {
        option.insert(part.to_owned(), normalized);
    }
    Some(option)
}

fn normalize_integer(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    let integer = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    if integer.is_none() {
        invalid.record();
    }
    integer.map(Value::from)
}

fn normalize_finite_number(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    let finite = value.as_f64();
    if finite.is_none() {
        invalid.record();
    }
    finite.map(Value::from)
}

/// A command without a name is answered as an unknown command.
const UNKNOWN_COMMAND: &str = r#"{"id": "1", "name": "", "type": 1}"#;

static COMMAND_DATA: Schema = Object(&[
    field_schema("id", &Snowflake, OrDefault(r#""1""#)),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("type", &EnumValue, OrDefault("1")),
    field_schema("resolved", &RESOLVED_DATA, OrDefault("{}")),
    field_schema("options", &COMMAND_OPTIONS, OrDefault("[]")),
    field_schema("target_id", &Snowflake, Optional),
]);

const UNKNOWN_BUTTON: &str = r#"{"custom_id": "", "component_type": 2}"#;

static COMPONENT_DATA: Schema = Object(&[
    field_schema("custom_id", &Text, ExpectedOrDefault(r#""""#)),
    // The bot's messages only have buttons.
    field_schema("component_type", &Text, Constant("2")),
]);

/// The message with the pressed button. It is one of the bot's own, even if its author is invalid.
static BUTTON_MESSAGE: Schema = Custom(|value, invalid| {
    let Value::Object(object) = value else {
        invalid.record();
        return None;
    };
    let mut object = object.clone();
    let unknown_user: Value = serde_json::from_str(UNKNOWN_USER).ok()?;
    let author = object.get("author").cloned().unwrap_or_default();
    let mut ignored = InvalidFields::default();
    if USER.normalize(&author, &mut ignored).is_none() {
        invalid.within("author", InvalidFields::record);
        object.insert("author".to_owned(), unknown_user);
    }
    normalize_object(&object, MESSAGE_FIELDS, invalid)
});

/// Who authorized the installation, by integration type.
fn normalize_integration_owners(value: &Value, invalid: &mut InvalidFields) -> Option<Value> {
    let Value::Object(owners) = value else {
        invalid.record();
        return None;
    };
    let mut normalized = Map::new();
    for (key, owner) in owners {
        // For a server install used in a direct message, the owner is 0.
        let in_direct_message = key == "0" && (owner == "0" || *owner == 0);
        match (key.as_str(), in_direct_message) {
            ("0", true) => {
                normalized.insert(key.clone(), "0".into());
            }
            ("0" | "1", _) => {
                if let Some(owner) =
                    invalid.within("[]", |invalid| Snowflake.normalize(owner, invalid))
                {
                    normalized.insert(key.clone(), owner);
                }
            }
            // An integration type that serenity does not know.
            _ => {}
        }
    }
    Some(Value::Object(normalized))
}

/// What all interactions share, besides `data`.
const INTERACTION_FIELDS: &[FieldSchema] = &[
    field_schema("id", &Snowflake, Required),
    field_schema("token", &Text, Required),
    field_schema("type", &EnumValue, Required),
    field_schema("application_id", &Snowflake, OrDefault(r#""1""#)),
    // Its absence marks a direct message.
    field_schema("guild_id", &Snowflake, OptionalStrict),
    field_schema("channel_id", &Snowflake, Required),
    field_schema("locale", &Text, OrDefault(r#""en-US""#)),
    field_schema("guild_locale", &Text, Optional),
    field_schema("app_permissions", &PermissionBits, Optional),
    field_schema(
        "authorizing_integration_owners",
        &Custom(normalize_integration_owners),
        OrDefault("{}"),
    ),
    field_schema("context", &EnumValue, Optional),
    field_schema(
        "attachment_size_limit",
        &ClampedInteger(U32),
        OrDefault("0"),
    ),
    unread_field("version", "1"),
    unread_field("entitlements", "[]"),
];

pub(super) static COMMAND_INTERACTION: Schema = Custom(|value, invalid| {
    const DATA: &[FieldSchema] = &[field_schema(
        "data",
        &COMMAND_DATA,
        ExpectedOrDefault(UNKNOWN_COMMAND),
    )];
    normalize_interaction(value, DATA, invalid)
});

pub(super) static COMPONENT_INTERACTION: Schema = Custom(|value, invalid| {
    const DATA: &[FieldSchema] = &[
        field_schema("data", &COMPONENT_DATA, ExpectedOrDefault(UNKNOWN_BUTTON)),
        field_schema("message", &BUTTON_MESSAGE, Required),
    ];
    normalize_interaction(value, DATA, invalid)
});

fn normalize_interaction(
    value: &Value,
    data: &[FieldSchema],
    invalid: &mut InvalidFields,
) -> Option<Value> {
    let Value::Object(object) = value else {
        invalid.record();
        return None;
    };
    let mut object = object.clone();
    if object.get("channel_id").is_none_or(Value::is_null)
        && let Some(id) = object.get("channel").and_then(|channel| channel.get("id"))
    {
        let id = id.clone();
        object.insert("channel_id".to_owned(), id);
    }
    let mut normalized = normalize_object(&object, INTERACTION_FIELDS, invalid)?;
    let data = normalize_object(&object, data, invalid)?;
    if let (Value::Object(normalized), Value::Object(data)) = (&mut normalized, data) {
        normalized.extend(data);
        insert_invoking_user(&object, normalized, invalid)?;
    }
    Some(normalized)
}

/// Inserts the invoking user, and in a server the member. A member with unreadable roles and
/// permissions gets none, so that every access check fails.
fn insert_invoking_user(
    interaction: &Map<String, Value>,
    normalized: &mut Map<String, Value>,
    invalid: &mut InvalidFields,
) -> Option<()> {
    let member = interaction.get("member").filter(|member| !member.is_null());
    let user = interaction
        .get("user")
        .filter(|user| !user.is_null())
        .or_else(|| member?.get("user"));
    let user = invalid.within("user", |invalid| match user {
        Some(user) => USER.normalize(user, invalid),
        None => {
            invalid.record();
            None
        }
    })?;
    if normalized.contains_key("guild_id") {
        let mut member = match member {
            Some(Value::Object(member)) => member.clone(),
            _ => {
                invalid.within("member", InvalidFields::record);
                Map::new()
            }
        };
        member.insert("user".to_owned(), user.clone());
        let member = invalid.within("member", |invalid| {
            MEMBER.normalize(&Value::Object(member), invalid)
        })?;
        normalized.insert("member".to_owned(), member);
    }
    normalized.insert("user".to_owned(), user);
    Some(())
}

pub(super) static APPLICATION: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("flags", &Bitfield, OrDefault("0")),
]);

pub(super) static GATEWAY_BOT: Schema = Object(&[
    field_schema("url", &Text, Required),
    field_schema("shards", &ClampedInteger(U32), ExpectedOrDefault("1")),
    field_schema(
        "session_start_limit",
        &SESSION_START_LIMIT,
        ExpectedOrDefault(
            "{\"total\": 1000, \"remaining\": 1000, \"reset_after\": 0, \"max_concurrency\": 1}",
        ),
    ),
]);

static SESSION_START_LIMIT: Schema = Object(&[
    field_schema("total", &ClampedInteger(U32), ExpectedOrDefault("1000")),
    field_schema("remaining", &ClampedInteger(U32), ExpectedOrDefault("1000")),
    field_schema("reset_after", &ClampedInteger(U32), ExpectedOrDefault("0")),
    field_schema(
        "max_concurrency",
        &ClampedInteger(U32),
        ExpectedOrDefault("1"),
    ),
]);

/// A server in the list of the bot's servers.
pub(super) static CURRENT_USER_GUILD: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("owner", &Bool, OrDefault("false")),
    field_schema("permissions", &PermissionBits, ExpectedOrDefault(r#""0""#)),
    field_schema("features", &TEXTS, OrDefault("[]")),
]);
