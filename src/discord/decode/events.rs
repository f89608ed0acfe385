//! Decodes gateway events.

use serde::Deserialize;
use serde_json::Value;
use serenity::all::{
    ChannelId, CommandInteraction, ComponentInteraction, Guild, GuildId, Message, MessageId, User,
    VoiceState,
};

use super::{Undecodable, decode_object, decode_report, object_schemas};

/// READY: a new session has started.
#[derive(Debug, Deserialize)]
pub(in crate::discord) struct Ready {
    /// Needed to resume the session.
    pub(in crate::discord) session_id: String,
    /// Where to resume it.
    pub(in crate::discord) resume_gateway_url: Option<String>,
    /// The bot's own user.
    pub(in crate::discord) user: Option<User>,
    guilds: Vec<IdOnly>,
}

impl Ready {
    /// The servers of this shard.
    pub(in crate::discord) fn guild_ids(&self) -> Vec<GuildId> {
        self.guilds
            .iter()
            .map(|it| GuildId::new(it.id.get()))
            .collect()
    }
}

/// A channel or server of which only the ID matters.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct IdOnly {
    pub(in crate::discord) id: ChannelId,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct MessageDelete {
    pub(in crate::discord) id: MessageId,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::discord) struct MessageDeleteBulk {
    pub(in crate::discord) ids: Vec<MessageId>,
}

/// The bot lost access to a server.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct GuildDelete {
    pub(in crate::discord) id: GuildId,
    /// True during an outage. Otherwise the bot was removed.
    #[serde(default)]
    pub(in crate::discord) unavailable: bool,
}

/// The voice server of a call, and the token for it.
#[derive(Clone, Deserialize)]
pub(in crate::discord) struct VoiceServerUpdate {
    pub(in crate::discord) guild_id: GuildId,
    pub(in crate::discord) token: String,
    /// `None` if the voice server went away and its replacement is not known yet.
    pub(in crate::discord) endpoint: Option<String>,
}

/// INTERACTION_CREATE, by type.
pub(in crate::discord) enum DecodedInteraction {
    Command(Box<CommandInteraction>),
    Component(Box<ComponentInteraction>),
    /// An interaction type that the bot does not offer.
    Other,
}

pub(in crate::discord) fn ready(data: &Value) -> Result<Ready, Undecodable> {
    decode_object("READY", &object_schemas::READY, data)
}

pub(in crate::discord) fn message_create(data: &Value) -> Result<Message, Undecodable> {
    decode_object("MESSAGE_CREATE", &object_schemas::MESSAGE, data)
}

pub(in crate::discord) fn message_delete(data: &Value) -> Result<MessageDelete, Undecodable> {
    decode_object("MESSAGE_DELETE", &object_schemas::ID_ONLY, data)
}

pub(in crate::discord) fn message_delete_bulk(
    data: &Value,
) -> Result<MessageDeleteBulk, Undecodable> {
    decode_object(
        "MESSAGE_DELETE_BULK",
        &object_schemas::MESSAGE_DELETE_BULK,
        data,
    )
}

/// CHANNEL_UPDATE, THREAD_DELETE and similar: a channel or thread that changed or was deleted.
pub(in crate::discord) fn channel_event(
    what: &'static str,
    data: &Value,
) -> Result<IdOnly, Undecodable> {
    decode_object(what, &object_schemas::ID_ONLY, data)
}

/// `None` if the server is currently unavailable.
pub(in crate::discord) fn guild_create(data: &Value) -> Result<Option<Guild>, Undecodable> {
    if data.get("unavailable") == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    decode_object("GUILD_CREATE", &object_schemas::GUILD_CREATE, data).map(Some)
}

pub(in crate::discord) fn guild_delete(data: &Value) -> Result<GuildDelete, Undecodable> {
    decode_object("GUILD_DELETE", &object_schemas::GUILD_DELETE, data)
}

pub(in crate::discord) fn voice_state_update(data: &Value) -> Result<VoiceState, Undecodable> {
    decode_object("VOICE_STATE_UPDATE", &object_schemas::VOICE_STATE, data)
}

pub(in crate::discord) fn voice_server_update(
    data: &Value,
) -> Result<VoiceServerUpdate, Undecodable> {
    decode_object(
        "VOICE_SERVER_UPDATE",
        &object_schemas::VOICE_SERVER_UPDATE,
        data,
    )
}

pub(in crate::discord) fn interaction_create(
    data: &Value,
) -> Result<DecodedInteraction, Undecodable> {
    const WHAT: &str = "INTERACTION_CREATE";
    match data.get("type").and_then(Value::as_u64) {
        Some(2) => decode_object(WHAT, &object_schemas::COMMAND_INTERACTION, data)
            .map(|command| DecodedInteraction::Command(Box::new(command))),
        Some(3) => decode_object(WHAT, &object_schemas::COMPONENT_INTERACTION, data)
            .map(|component| DecodedInteraction::Component(Box::new(component))),
        Some(_) => Ok(DecodedInteraction::Other),
        None => {
            decode_report::report_undecodable(WHAT, "type");
            Err(Undecodable {
                what: WHAT,
                field: "type".to_owned(),
            })
        }
    }
}
