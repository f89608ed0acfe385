//! Interactions: commands with their options, and buttons.

use serde_json::{Map, Value, json};

use super::super::schema::FieldPolicy::{
    Constant, ExpectedOrDefault, Optional, OptionalStrict, OrDefault, Required,
};
use super::super::schema::Schema::{
    Bool, ClampedInteger, Custom, EnumValue, List, Object, PermissionBits, Snowflake, SnowflakeMap,
    Text,
};
use super::super::schema::{FieldSchema, InvalidFields, Schema, normalize_object};
use super::channel::PARTIAL_CHANNEL;
use super::guild::ROLE;
use super::message::{ATTACHMENT, MESSAGE, MESSAGE_FIELDS};
use super::user::{MEMBER, PARTIAL_MEMBER, UNKNOWN_USER, USER};
use super::{U32, field_schema, unread_field};

/// Objects that the options or the target of a command refer to.
static RESOLVED_DATA: Schema = Object(&[
    field_schema("users", &SnowflakeMap(&USER), OrDefault("{}")),
    field_schema("members", &SnowflakeMap(&PARTIAL_MEMBER), OrDefault("{}")),
    field_schema("roles", &SnowflakeMap(&ROLE), OrDefault("{}")),
    field_schema("channels", &SnowflakeMap(&PARTIAL_CHANNEL), OrDefault("{}")),
    field_schema("messages", &SnowflakeMap(&MESSAGE), OrDefault("{}")),
    field_schema("attachments", &SnowflakeMap(&ATTACHMENT), OrDefault("{}")),
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

pub(in super::super) static COMMAND_INTERACTION: Schema = Custom(|value, invalid| {
    const DATA: &[FieldSchema] = &[field_schema(
        "data",
        &COMMAND_DATA,
        ExpectedOrDefault(UNKNOWN_COMMAND),
    )];
    normalize_interaction(value, DATA, invalid)
});

pub(in super::super) static COMPONENT_INTERACTION: Schema = Custom(|value, invalid| {
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
