//! Decodes responses of the REST API.

use serde::Deserialize;
use serde_json::Value;
use serenity::all::{
    ApplicationId, Channel, GuildChannel, GuildInfo, Member, Message, MessageId, MessageType,
    PartialGuild, PrivateChannel, User,
};

use super::{Undecodable, decode_object, object_schemas};

#[derive(Clone, Debug, Deserialize)]
pub(in crate::discord) struct Application {
    pub(in crate::discord) id: ApplicationId,
    pub(in crate::discord) name: String,
    pub(in crate::discord) flags: u64,
}

/// The gateway's URL and how to connect to it.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::discord) struct GatewayBot {
    pub(in crate::discord) url: String,
    /// Number of shards that Discord recommends.
    pub(in crate::discord) shards: u32,
    pub(in crate::discord) session_start_limit: SessionStartLimit,
}

/// How many sessions may be started:
/// <https://discord.com/developers/docs/events/gateway#session-start-limit-object>.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct SessionStartLimit {
    pub(in crate::discord) total: u32,
    pub(in crate::discord) remaining: u32,
    /// Milliseconds until `remaining` is back at `total`.
    pub(in crate::discord) reset_after: u32,
    /// IDENTIFYs allowed per five seconds.
    pub(in crate::discord) max_concurrency: u32,
}

#[derive(Deserialize)]
struct MessageIdOnly {
    id: MessageId,
}

pub(in crate::discord) fn application(answer: &Value) -> Result<Application, Undecodable> {
    decode_object("the application", &object_schemas::APPLICATION, answer)
}

pub(in crate::discord) fn gateway_bot(answer: &Value) -> Result<GatewayBot, Undecodable> {
    decode_object(
        "the gateway's address",
        &object_schemas::GATEWAY_BOT,
        answer,
    )
}

pub(in crate::discord) fn user(answer: &Value) -> Result<User, Undecodable> {
    decode_object("a user", &object_schemas::USER, answer)
}

/// The ID of a message that the bot sent or edited.
pub(in crate::discord) fn message_id(answer: &Value) -> Result<MessageId, Undecodable> {
    decode_object("a message of ours", &object_schemas::ID_ONLY, answer)
        .map(|MessageIdOnly { id }| id)
}

pub(in crate::discord) fn message(answer: &Value) -> Result<Message, Undecodable> {
    decode_object("a message", &object_schemas::MESSAGE, answer)
}

/// A page of messages. An undecodable message is replaced by a placeholder with its ID, an unknown
/// type and a bot as author: the length of the page still tells whether it was full, and the
/// placeholder is ignored.
pub(in crate::discord) fn messages(answer: &Value) -> Result<Vec<Message>, Undecodable> {
    decode_list("messages", answer, |element| {
        Ok(message(element).unwrap_or_else(|_| {
            let id = element.get("id").and_then(|id| id.as_str()?.parse().ok());
            let mut stand_in = Message::default();
            stand_in.id = id.unwrap_or_default();
            stand_in.kind = MessageType::Unknown(u8::MAX);
            stand_in.author.bot = true;
            stand_in
        }))
    })
}

/// A server channel, thread or direct message channel.
pub(in crate::discord) fn channel_object(answer: &Value) -> Result<Channel, Undecodable> {
    const WHAT: &str = "a channel";
    let private = matches!(answer.get("type").and_then(Value::as_u64), Some(1 | 3));
    if private {
        let channel: PrivateChannel =
            decode_object(WHAT, &object_schemas::PRIVATE_CHANNEL, answer)?;
        return Ok(Channel::Private(channel));
    }
    let channel: GuildChannel = decode_object(WHAT, &object_schemas::CHANNEL, answer)?;
    Ok(Channel::Guild(channel))
}

pub(in crate::discord) fn member(answer: &Value) -> Result<Member, Undecodable> {
    decode_object("a member", &object_schemas::MEMBER, answer)
}

pub(in crate::discord) fn partial_guild(answer: &Value) -> Result<PartialGuild, Undecodable> {
    decode_object("a server", &object_schemas::GUILD, answer)
}

/// The bot's servers that can be decoded, and the length of the page, which tells whether there are
/// more.
pub(in crate::discord) fn current_user_guilds(
    answer: &Value,
) -> Result<(Vec<GuildInfo>, usize), Undecodable> {
    let guilds = decode_list("servers", answer, |element| {
        decode_object(
            "one of the servers",
            &object_schemas::CURRENT_USER_GUILD,
            element,
        )
    })?;
    Ok((guilds, answer.as_array().map_or(0, Vec::len)))
}

/// The active threads of a server that can be decoded.
pub(in crate::discord) fn threads(answer: &Value) -> Result<Vec<GuildChannel>, Undecodable> {
    let none = Value::Array(Vec::new());
    let threads = answer.get("threads").unwrap_or(&none);
    decode_list("threads", threads, |element| {
        decode_object("a thread", &object_schemas::CHANNEL, element)
    })
}

/// Decodes the elements of an array, skipping those that can't be decoded.
fn decode_list<T>(
    what: &'static str,
    answer: &Value,
    decode: impl Fn(&Value) -> Result<T, Undecodable>,
) -> Result<Vec<T>, Undecodable> {
    let Value::Array(elements) = answer else {
        super::decode_report::report_undecodable(what, "(whole)");
        return Err(Undecodable {
            what,
            field: "(whole)".to_owned(),
        });
    };
    Ok(elements
        .iter()
        .filter_map(|element| decode(element).ok())
        .collect())
}
