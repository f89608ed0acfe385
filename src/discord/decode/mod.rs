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

mod events;
mod json;
mod rest;
mod shape;
mod shapes;
mod tell;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use events::{
    Gone, Interacted, Ready, VoiceServer, bulk, channel, deleted, gone, guild, interaction,
    message_created, ready, voice_server, voice_state,
};
pub(super) use json::parse;
pub(super) use rest::{
    Application, GatewayBot, StartLimit, application, channel_found, gateway_bot, guild_found,
    guilds, id_of, member, message, messages, threads, user,
};
pub(super) use tell::lost;

use shape::{Notes, Shape};

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
fn read<T: DeserializeOwned>(
    what: &'static str,
    shape: &Shape,
    value: &Value,
) -> Result<T, Undecodable> {
    let mut notes = Notes::default();
    let made = shape.make(value, &mut notes);
    let decoded = match made {
        // A shape that lets through what its model does not take is our mistake.
        Some(made) => T::deserialize(made).map_err(|_| "(model)".to_owned()),
        None => Err(notes.last().unwrap_or("(whole)").to_owned()),
    };
    tell::odd(what, notes);
    decoded.map_err(|field| {
        lost(what, &field);
        Undecodable { what, field }
    })
}
