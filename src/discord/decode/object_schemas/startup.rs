//! What the bot reads while it starts: its application, the gateway and READY.

use super::super::schema::FieldPolicy::{ExpectedOrDefault, Optional, OrDefault, Required};
use super::super::schema::Schema;
use super::super::schema::Schema::{Bitfield, ClampedInteger, List, Object, Snowflake, Text};
use super::user::USER;
use super::{U32, field_schema};

pub(in super::super) static READY: Schema = Object(&[
    field_schema("session_id", &Text, Required),
    field_schema("resume_gateway_url", &Text, Optional),
    field_schema("user", &USER, Optional),
    field_schema(
        "guilds",
        &List(&Object(&[field_schema("id", &Snowflake, Required)])),
        ExpectedOrDefault("[]"),
    ),
]);

pub(in super::super) static APPLICATION: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("name", &Text, ExpectedOrDefault(r#""""#)),
    field_schema("flags", &Bitfield, OrDefault("0")),
]);

pub(in super::super) static GATEWAY_BOT: Schema = Object(&[
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
