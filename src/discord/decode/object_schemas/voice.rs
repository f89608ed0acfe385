//! Voice states and voice servers.

use serde_json::Value;

use super::super::schema::FieldPolicy::{
    ExpectedOrDefault, Optional, OptionalStrict, OrDefault, Required,
};
use super::super::schema::Schema;
use super::super::schema::Schema::{Bool, Custom, Iso8601, List, Object, Snowflake, Text};
use super::field_schema;
use super::user::MEMBER;

/// A user's voice state.
pub(in super::super) static VOICE_STATE: Schema = Object(&[
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

pub(super) static VOICE_STATES: Schema = List(&GUILD_VOICE_STATE);

pub(in super::super) static VOICE_SERVER_UPDATE: Schema = Object(&[
    field_schema("guild_id", &Snowflake, Required),
    field_schema("token", &Text, Required),
    field_schema("endpoint", &Text, Optional),
]);
