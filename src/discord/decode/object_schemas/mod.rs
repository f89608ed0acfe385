//! The fields that the bot reads, per object: <https://discord.com/developers/docs/resources>.
//!
//! To read one more field, add a row: fields without a row never reach the model.

mod channel;
mod guild;
mod interaction;
mod message;
mod startup;
mod user;
mod voice;

pub(super) use channel::{CHANNEL, PRIVATE_CHANNEL};
pub(super) use guild::{CURRENT_USER_GUILD, GUILD, GUILD_CREATE, GUILD_DELETE};
pub(super) use interaction::{COMMAND_INTERACTION, COMPONENT_INTERACTION};
pub(super) use message::{MESSAGE, MESSAGE_DELETE_BULK};
pub(super) use startup::{APPLICATION, GATEWAY_BOT, READY};
pub(super) use user::{MEMBER, USER};
pub(super) use voice::{VOICE_SERVER_UPDATE, VOICE_STATE};

use super::schema::FieldPolicy::{Constant, Optional, Required};
use super::schema::Schema::{List, Object, Snowflake, Text};
use super::schema::{FieldPolicy, FieldSchema, Schema};

const U16: u64 = u16::MAX as u64;

const U32: u64 = u32::MAX as u64;

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

/// An object of which only the ID matters.
pub(super) static ID_ONLY: Schema = Object(&[
    field_schema("id", &Snowflake, Required),
    field_schema("channel_id", &Snowflake, Optional),
    field_schema("guild_id", &Snowflake, Optional),
]);
