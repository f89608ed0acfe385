//! Users and members.

use super::super::schema::FieldPolicy::{ExpectedOrDefault, Optional, OrDefault, Required};
use super::super::schema::Schema::{Bool, Iso8601, List, Object, PermissionBits, Snowflake, Text};
use super::super::schema::{FieldSchema, Schema};
use super::{IDS, field_schema, unread_field};

/// Placeholder for an unknown user.
pub(super) const UNKNOWN_USER: &str = r#"{"id": "1", "username": ""}"#;

pub(in super::super) static USER: Schema = Object(USER_FIELDS);

const USER_FIELDS: &[FieldSchema] = &[
    field_schema("id", &Snowflake, Required),
    field_schema("username", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("global_name", &Text, Optional),
    field_schema("bot", &Bool, OrDefault("false")),
    field_schema("system", &Bool, OrDefault("false")),
];

pub(super) static USERS: Schema = List(&USER);

/// A member as it appears in messages and resolved data, without its user.
pub(super) static PARTIAL_MEMBER: Schema = Object(&[
    field_schema("user", &USER, Optional),
    field_schema("nick", &Text, Optional),
    field_schema("roles", &IDS, ExpectedOrDefault("[]")),
    field_schema("permissions", &PermissionBits, Optional),
    field_schema("joined_at", &Iso8601, Optional),
    field_schema("deaf", &Bool, OrDefault("false")),
    field_schema("mute", &Bool, OrDefault("false")),
]);

pub(in super::super) static MEMBER: Schema = Object(&[
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

pub(super) static MEMBERS: Schema = List(&MEMBER);
