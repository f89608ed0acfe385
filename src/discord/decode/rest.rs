//! The answers of the REST API.

use serde::Deserialize;
use serde_json::Value;
use serenity::all::{
    ApplicationId, Channel, GuildChannel, GuildInfo, Member, Message, MessageId, MessageType,
    PartialGuild, PrivateChannel, User,
};

use super::{Undecodable, read, shapes};

/// The bot's application.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::discord) struct Application {
    pub(in crate::discord) id: ApplicationId,
    pub(in crate::discord) name: String,
    pub(in crate::discord) flags: u64,
}

/// Where the gateway is, and how it is to be come to.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::discord) struct GatewayBot {
    pub(in crate::discord) url: String,
    /// How many connections the bot should have.
    pub(in crate::discord) shards: u32,
    pub(in crate::discord) session_start_limit: StartLimit,
}

/// How many sessions may be begun.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::discord) struct StartLimit {
    pub(in crate::discord) total: u32,
    pub(in crate::discord) remaining: u32,
    /// Milliseconds until all are back.
    pub(in crate::discord) reset_after: u32,
    /// How many at a time.
    pub(in crate::discord) max_concurrency: u32,
}

#[derive(Deserialize)]
struct WithId {
    id: MessageId,
}

pub(in crate::discord) fn application(answer: &Value) -> Result<Application, Undecodable> {
    read("the application", &shapes::APPLICATION, answer)
}

pub(in crate::discord) fn gateway_bot(answer: &Value) -> Result<GatewayBot, Undecodable> {
    read("the gateway's address", &shapes::GATEWAY_BOT, answer)
}

pub(in crate::discord) fn user(answer: &Value) -> Result<User, Undecodable> {
    read("a user", &shapes::USER, answer)
}

/// The id of a message that was sent or edited.
pub(in crate::discord) fn id_of(answer: &Value) -> Result<MessageId, Undecodable> {
    read("a message of ours", &shapes::WITH_ID, answer).map(|WithId { id }| id)
}

pub(in crate::discord) fn message(answer: &Value) -> Result<Message, Undecodable> {
    read("a message", &shapes::MESSAGE, answer)
}

/// A page of messages. One that can't be read keeps its place, so that a full page is known as one,
/// and is nobody's and nothing that anybody wrote.
pub(in crate::discord) fn messages(answer: &Value) -> Result<Vec<Message>, Undecodable> {
    each("messages", answer, |one| {
        Ok(message(one).unwrap_or_else(|_| {
            let id = one.get("id").and_then(|id| id.as_str()?.parse().ok());
            let mut stand_in = Message::default();
            stand_in.id = id.unwrap_or_default();
            stand_in.kind = MessageType::Unknown(u8::MAX);
            stand_in.author.bot = true;
            stand_in
        }))
    })
}

/// A channel of a server, or of two.
pub(in crate::discord) fn channel_found(answer: &Value) -> Result<Channel, Undecodable> {
    const WHAT: &str = "a channel";
    let private = matches!(answer.get("type").and_then(Value::as_u64), Some(1 | 3));
    if private {
        let found: PrivateChannel = read(WHAT, &shapes::PRIVATE_CHANNEL, answer)?;
        return Ok(Channel::Private(found));
    }
    let found: GuildChannel = read(WHAT, &shapes::CHANNEL, answer)?;
    Ok(Channel::Guild(found))
}

pub(in crate::discord) fn member(answer: &Value) -> Result<Member, Undecodable> {
    read("a member", &shapes::MEMBER, answer)
}

pub(in crate::discord) fn guild_found(answer: &Value) -> Result<PartialGuild, Undecodable> {
    read("a server", &shapes::GUILD, answer)
}

/// The servers of the bot that can be read, and how many were told: a full page is known by that.
pub(in crate::discord) fn guilds(answer: &Value) -> Result<(Vec<GuildInfo>, usize), Undecodable> {
    let found = each("servers", answer, |one| {
        read("one of the servers", &shapes::OWN_GUILD, one)
    })?;
    Ok((found, answer.as_array().map_or(0, Vec::len)))
}

/// The threads of a server that can be read.
pub(in crate::discord) fn threads(answer: &Value) -> Result<Vec<GuildChannel>, Undecodable> {
    let none = Value::Array(Vec::new());
    let threads = answer.get("threads").unwrap_or(&none);
    each("threads", threads, |one| {
        read("a thread", &shapes::CHANNEL, one)
    })
}

/// Those of a list that can be read.
fn each<T>(
    what: &'static str,
    answer: &Value,
    read: impl Fn(&Value) -> Result<T, Undecodable>,
) -> Result<Vec<T>, Undecodable> {
    let Value::Array(all) = answer else {
        super::tell::lost(what, "(whole)");
        return Err(Undecodable {
            what,
            field: "(whole)".to_owned(),
        });
    };
    Ok(all.iter().filter_map(|one| read(one).ok()).collect())
}
