//! The events of the gateway.

use serde::Deserialize;
use serde_json::Value;
use serenity::all::{
    ChannelId, CommandInteraction, ComponentInteraction, Guild, GuildId, Message, MessageId, User,
    VoiceState,
};

use super::{Undecodable, read, shapes, tell};

/// A session has begun.
#[derive(Debug, Deserialize)]
pub(in crate::discord) struct Ready {
    /// What it is gone on with.
    pub(in crate::discord) session_id: String,
    /// Where that is to be done.
    pub(in crate::discord) resume_gateway_url: Option<String>,
    /// The bot.
    pub(in crate::discord) user: Option<User>,
    guilds: Vec<Place>,
}

impl Ready {
    /// The servers of this shard.
    pub(in crate::discord) fn guilds(&self) -> Vec<GuildId> {
        self.guilds
            .iter()
            .map(|it| GuildId::new(it.id.get()))
            .collect()
    }
}

/// A channel or a server, of which only the id matters.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct Place {
    pub(in crate::discord) id: ChannelId,
}

/// A message is deleted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct Deleted {
    pub(in crate::discord) id: MessageId,
}

/// Many are.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::discord) struct Bulk {
    pub(in crate::discord) ids: Vec<MessageId>,
}

/// A server has gone out of sight.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct Gone {
    pub(in crate::discord) id: GuildId,
    /// Because of an outage. Otherwise the bot was removed.
    #[serde(default)]
    pub(in crate::discord) unavailable: bool,
}

/// A call is at this voice server.
#[derive(Clone, Deserialize)]
pub(in crate::discord) struct VoiceServer {
    pub(in crate::discord) guild_id: GuildId,
    pub(in crate::discord) token: String,
    /// None: the one there was is gone, and the next is not known yet.
    pub(in crate::discord) endpoint: Option<String>,
}

/// What somebody uses.
pub(in crate::discord) enum Interacted {
    Command(Box<CommandInteraction>),
    Component(Box<ComponentInteraction>),
    /// Nothing that the bot has.
    Other,
}

pub(in crate::discord) fn ready(data: &Value) -> Result<Ready, Undecodable> {
    read("READY", &shapes::READY, data)
}

pub(in crate::discord) fn message_created(data: &Value) -> Result<Message, Undecodable> {
    read("MESSAGE_CREATE", &shapes::MESSAGE, data)
}

pub(in crate::discord) fn deleted(data: &Value) -> Result<Deleted, Undecodable> {
    read("MESSAGE_DELETE", &shapes::WITH_ID, data)
}

pub(in crate::discord) fn bulk(data: &Value) -> Result<Bulk, Undecodable> {
    read("MESSAGE_DELETE_BULK", &shapes::BULK, data)
}

/// A channel or thread that has changed, or is gone.
pub(in crate::discord) fn channel(what: &'static str, data: &Value) -> Result<Place, Undecodable> {
    read(what, &shapes::WITH_ID, data)
}

/// None: the server is not available now.
pub(in crate::discord) fn guild(data: &Value) -> Result<Option<Guild>, Undecodable> {
    if data.get("unavailable") == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    read("GUILD_CREATE", &shapes::GUILD_CREATE, data).map(Some)
}

pub(in crate::discord) fn gone(data: &Value) -> Result<Gone, Undecodable> {
    read("GUILD_DELETE", &shapes::GUILD_DELETE, data)
}

pub(in crate::discord) fn voice_state(data: &Value) -> Result<VoiceState, Undecodable> {
    read("VOICE_STATE_UPDATE", &shapes::VOICE_STATE, data)
}

pub(in crate::discord) fn voice_server(data: &Value) -> Result<VoiceServer, Undecodable> {
    read("VOICE_SERVER_UPDATE", &shapes::VOICE_SERVER, data)
}

pub(in crate::discord) fn interaction(data: &Value) -> Result<Interacted, Undecodable> {
    const WHAT: &str = "INTERACTION_CREATE";
    match data.get("type").and_then(Value::as_u64) {
        Some(2) => {
            read(WHAT, &shapes::COMMAND, data).map(|command| Interacted::Command(Box::new(command)))
        }
        Some(3) => read(WHAT, &shapes::COMPONENT, data)
            .map(|component| Interacted::Component(Box::new(component))),
        Some(_) => Ok(Interacted::Other),
        None => {
            tell::lost(WHAT, "type");
            Err(Undecodable {
                what: WHAT,
                field: "type".to_owned(),
            })
        }
    }
}
