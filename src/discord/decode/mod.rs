//! Turns Discord's JSON into serenity's models without losing an object to one bad field.
//!
//! serenity deserializes an object whole or not at all: an out-of-range number in a field that
//! nobody reads loses the event. So [`object_schemas`] lists, per object, the fields that the bot
//! reads, and [`schema`] normalizes any JSON to an object that the model accepts. Unlisted fields
//! are ignored, invalid ones are replaced by a default, and only a missing required field (an ID, a
//! channel) makes the object [`Undecodable`].
//!
//! Invalid fields are counted and logged by event and path, never with their values.

mod decode_report;
mod events;
mod lenient_json;
mod object_schemas;
mod rest;
mod schema;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use decode_report::report_undecodable;
pub(super) use events::{
    DecodedInteraction, GuildDelete, Ready, VoiceServerUpdate, channel_event, guild_create,
    guild_delete, interaction_create, message_create, message_delete, message_delete_bulk, ready,
    voice_server_update, voice_state_update,
};
pub(super) use lenient_json::parse_lenient;
pub(super) use rest::{
    Application, GatewayBot, SessionStartLimit, application, channel_object, current_user_guilds,
    gateway_bot, member, message, message_id, messages, partial_guild, threads, user,
};

use schema::{InvalidFields, Schema};

/// An object that lacks a required field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: {field} can't be read")]
pub(super) struct Undecodable {
    /// The event or response.
    pub(super) what: &'static str,
    /// Path of the required field that is missing or invalid.
    pub(super) field: String,
}

/// Normalizes `value` by `schema` and deserializes the result.
fn decode_object<T: DeserializeOwned>(
    what: &'static str,
    schema: &Schema,
    value: &Value,
) -> Result<T, Undecodable> {
    let mut invalid = InvalidFields::default();
    let normalized = schema.normalize(value, &mut invalid);
    let decoded = match normalized {
        // A schema that produces what its model rejects is a bug of ours.
        Some(normalized) => T::deserialize(normalized).map_err(|_| "(model)".to_owned()),
        None => Err(invalid.last_path().unwrap_or("(whole)").to_owned()),
    };
    decode_report::report_invalid_fields(what, invalid);
    decoded.map_err(|field| {
        report_undecodable(what, &field);
        Undecodable { what, field }
    })
}
