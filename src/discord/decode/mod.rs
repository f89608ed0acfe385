//! What Discord tells, read so that one odd field never costs the rest.
//!
//! serenity's models take all of an object or nothing: one number that is out of range, in a field
//! that nobody reads, and the whole event is gone. So nothing that Discord tells goes into a model
//! as it came. [`shapes`] names, per object, the fields that the bot reads and what must be in
//! them; [`shape`] makes from any JSON an object that the model takes. What is not named is not
//! looked at, what is odd gets the value that stands for "not said", and only what nothing can
//! stand for (an id, a channel) costs the object it is in: a message its page goes without.
//!
//! What was odd is counted and logged by its name, the event and the path, never with what was in
//! it.

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

/// Something that can't be read without what is missing in it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: {field} can't be read")]
pub(super) struct Undecodable {
    /// The event or answer.
    pub(super) what: &'static str,
    /// The path of the field that nothing can stand for.
    pub(super) field: String,
}

/// Reads a value as `shape` says into what stands for it here.
fn decode_object<T: DeserializeOwned>(
    what: &'static str,
    shape: &Schema,
    value: &Value,
) -> Result<T, Undecodable> {
    let mut notes = InvalidFields::default();
    let made = shape.normalize(value, &mut notes);
    let decoded = match made {
        // A shape that lets through what its model does not take is our mistake.
        Some(made) => T::deserialize(made).map_err(|_| "(model)".to_owned()),
        None => Err(notes.last_path().unwrap_or("(whole)").to_owned()),
    };
    decode_report::report_invalid_fields(what, notes);
    decoded.map_err(|field| {
        report_undecodable(what, &field);
        Undecodable { what, field }
    })
}
