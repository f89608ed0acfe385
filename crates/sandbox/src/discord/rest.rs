//! The REST API, version 10: <https://discord.com/developers/docs/reference>.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::cdn;
use super::commands;
use super::errors::ApiError;
use super::gateway::Sessions;
use super::interactions;
use super::limits::Limits;
use super::messages::{self, Payload};
use super::voice::Voice;
use super::world::{CHANGE_NICKNAME, MANAGE_MESSAGES, READ_HISTORY, World, snowflake};
use crate::answer::Answer;
use crate::exchange::{Provider, Request};
use crate::fault::{Fault, Faults};
use crate::multipart;
use crate::recorder::{Server, query_value};

/// What Discord itself answers comes this way; without it, clients take a 429 for the word of
/// whoever stands before Discord.
const VIA: &str = "1.1 google";

/// The most characters of a nickname.
const MAX_NICK: usize = 32;

/// What is asked of Discord, and where a fault strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DiscordEndpoint {
    /// `GET /gateway/bot`.
    Gateway,
    /// `GET /applications/@me`, also as `/oauth2/applications/@me`.
    Application,
    /// `GET /users/{user}` and what is below it.
    Users,
    /// `GET /users/@me/guilds`.
    Guilds,
    /// `POST /users/@me/channels`.
    OpenDirect,
    /// `GET /channels/{channel}`.
    Channel,
    /// `GET /channels/{channel}/messages`.
    Messages,
    /// `GET /channels/{channel}/messages/{message}`.
    Message,
    /// `POST /channels/{channel}/messages`.
    CreateMessage,
    /// `PATCH /channels/{channel}/messages/{message}`.
    EditMessage,
    /// `DELETE /channels/{channel}/messages/{message}`.
    DeleteMessage,
    /// `POST /channels/{channel}/messages/bulk-delete`.
    BulkDelete,
    /// Reactions.
    Reactions,
    /// `POST /channels/{channel}/typing`.
    Typing,
    /// `GET /guilds/{guild}`.
    Guild,
    /// `GET /guilds/{guild}/members/{user}`.
    Member,
    /// `PATCH /guilds/{guild}/members/@me`: what the bot is called.
    Nick,
    /// `GET /guilds/{guild}/voice-states/{user}`.
    VoiceState,
    /// `GET /guilds/{guild}/threads/active`.
    Threads,
    /// `/applications/{application}/commands`, and those of a guild.
    Commands,
    /// `POST /interactions/{interaction}/{token}/callback`.
    Callback,
    /// `/webhooks/{application}/{token}` and what is below it.
    Response,
    /// Files.
    Cdn,
}

impl DiscordEndpoint {
    /// Limited per channel.
    pub(super) fn is_bucketed(self) -> bool {
        matches!(
            self,
            Self::CreateMessage | Self::EditMessage | Self::DeleteMessage
        )
    }

    /// Not counted against the global limit.
    pub(super) fn is_exempt(self) -> bool {
        matches!(self, Self::Callback | Self::Response | Self::Cdn)
    }

    /// The token in the path is enough.
    fn is_open(self) -> bool {
        self.is_exempt()
    }
}

/// Everything behind the doors.
#[derive(Debug)]
pub(crate) struct State {
    world: Mutex<World>,
    pub(super) limits: Mutex<Limits>,
    pub(super) sessions: Mutex<Sessions>,
    pub(super) faults: Faults<DiscordEndpoint>,
    /// Counts up with every change, for those who wait for one.
    pub(super) changed: watch::Sender<u64>,
    /// The gateway's address.
    pub(super) gateway: Mutex<String>,
    pub(crate) voice: Voice,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            world: Mutex::new(World::new()),
            limits: Mutex::default(),
            sessions: Mutex::default(),
            faults: Faults::default(),
            changed: watch::Sender::new(0),
            gateway: Mutex::default(),
            voice: Voice::new(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits that something is different.
    pub(super) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells the bot of a message, as each of its sessions may see it.
    pub(super) fn dispatch_message(&self, event: &str, id: u64) {
        {
            let world = self.world();
            let guild = world
                .messages
                .get(&id)
                .and_then(|message| world.guild_of(message.channel));
            let author = world.messages.get(&id);
            let author = author.filter(|message| message.webhook.is_none());
            let author = author.map(|message| message.author);
            self.sessions().dispatch_to(guild, event, |content| {
                let mut value = world.message_json(id, content, true)?;
                if let Some(guild) = guild {
                    value["guild_id"] = json!(guild.to_string());
                    if let Some(author) = author {
                        value["member"] = world.member_json(guild, author);
                    }
                }
                Some(value)
            });
        }
        self.touch();
    }

    /// Tells the bot of anything else.
    pub(super) fn dispatch(&self, event: &str, guild: Option<u64>, value: &Value) {
        let data = |_| Some(value.clone());
        self.sessions().dispatch_to(guild, event, data);
        self.touch();
    }

    pub(super) fn delete_message(&self, id: u64) {
        let gone = {
            let mut world = self.world();
            let Some(message) = world.messages.get_mut(&id) else {
                return;
            };
            message.deleted = true;
            let (channel, private) = (message.channel, message.only_for.is_some());
            let guild = world.guild_of(channel);
            (!private).then_some((channel, guild))
        };
        if let Some((channel, guild)) = gone {
            let mut value = json!({"id": id.to_string(), "channel_id": channel.to_string()});
            if let Some(guild) = guild {
                value["guild_id"] = json!(guild.to_string());
            }
            self.dispatch("MESSAGE_DELETE", guild, &value);
        }
        self.touch();
    }
}

/// The parts of a path after the version.
fn parts(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix("/api/")?;
    let path = path.strip_prefix("v10/").unwrap_or(path);
    Some(path.trim_matches('/').split('/').collect())
}

fn percent_decoded(text: &str) -> String {
    let form = format!("x={}", text.replace('+', "%2B"));
    query_value(&form, "x").unwrap_or_default()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

impl Provider for State {
    type Endpoint = DiscordEndpoint;

    const SERVER: Server = Server::Discord;

    fn route(&self, method: &Method, path: &str) -> Result<DiscordEndpoint, StatusCode> {
        use DiscordEndpoint as E;
        if path.starts_with("/attachments/") {
            return Ok(E::Cdn);
        }
        let parts = parts(path).ok_or(StatusCode::NOT_FOUND)?;
        let endpoint = match (method.as_str(), parts.as_slice()) {
            ("GET", ["gateway"] | ["gateway", "bot"]) => E::Gateway,
            ("GET", ["applications", "@me"] | ["oauth2", "applications", "@me"]) => E::Application,
            ("POST", ["users", "@me", "channels"]) => E::OpenDirect,
            ("GET", ["users", "@me", "guilds"]) => E::Guilds,
            ("GET", ["users", ..]) => E::Users,
            ("GET", ["channels", _]) => E::Channel,
            ("GET", ["channels", _, "messages"]) => E::Messages,
            ("POST", ["channels", _, "messages"]) => E::CreateMessage,
            ("POST", ["channels", _, "messages", "bulk-delete"]) => E::BulkDelete,
            ("GET", ["channels", _, "messages", _]) => E::Message,
            ("PATCH", ["channels", _, "messages", _]) => E::EditMessage,
            ("DELETE", ["channels", _, "messages", _]) => E::DeleteMessage,
            (_, ["channels", _, "messages", _, "reactions", ..]) => E::Reactions,
            ("POST", ["channels", _, "typing"]) => E::Typing,
            ("GET", ["guilds", _]) => E::Guild,
            ("GET", ["guilds", _, "members", _]) => E::Member,
            ("PATCH", ["guilds", _, "members", "@me"]) => E::Nick,
            ("GET", ["guilds", _, "voice-states", _]) => E::VoiceState,
            ("GET", ["guilds", _, "threads", "active"]) => E::Threads,
            ("GET" | "PUT", ["applications", _, "commands"])
            | ("GET" | "PUT", ["applications", _, "guilds", _, "commands"]) => E::Commands,
            ("POST", ["interactions", _, _, "callback"]) => E::Callback,
            (_, ["webhooks", _, _, ..]) => E::Response,
            _ => return Err(StatusCode::NOT_FOUND),
        };
        Ok(endpoint)
    }

    fn faults(&self) -> &Faults<DiscordEndpoint> {
        &self.faults
    }

    fn error(
        &self,
        _: Option<DiscordEndpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Answer {
        let reason = status.canonical_reason().unwrap_or("Error");
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(0);
        let message =
            message.map_or_else(|| format!("{}: {reason}", status.as_u16()), str::to_owned);
        let answer = ApiError::new(status.as_u16(), code, &message).answer();
        answer.header("Via", VIA)
    }

    async fn answer(&self, endpoint: DiscordEndpoint, request: Request, _: &Fault) -> Answer {
        let parts = parts(request.path()).unwrap_or_default();
        if endpoint == DiscordEndpoint::Cdn {
            return cdn::answer(&self.world(), request.path(), request.query());
        }
        let known = format!("Bot {}", self.world().token);
        if !endpoint.is_open() && request.header("authorization") != Some(known.as_str()) {
            return ApiError::new(401, 0, "401: Unauthorized").answer();
        }
        let major = parts.get(1).map_or(0, |id| number(id));
        let limits = {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            limits.count(endpoint, major)
        };
        let headers = match limits {
            Ok(headers) => headers,
            Err(answer) => return answer.header("Via", VIA),
        };
        let mut answer = match payload(&request) {
            Ok(payload) => self.act(endpoint, &request, &parts, &payload),
            Err(error) => Err(error),
        }
        .unwrap_or_else(|error| error.answer());
        answer = answer.header("Via", VIA);
        let odd = self.sessions().odd.clone();
        answer.alter(|value| odd.apply(&format!("{endpoint:?}"), value));
        for (name, value) in headers {
            answer = answer.header(name, &value);
        }
        answer
    }
}

/// JSON, or a form with JSON and files.
fn payload(request: &Request) -> Result<Payload, ApiError> {
    let bytes = request.body.bytes.clone();
    let bad = || ApiError::new(400, 50_109, "The request body contains invalid JSON.");
    if bytes.is_empty() {
        return Ok(Payload::default());
    }
    let kind = request.header("content-type").unwrap_or_default();
    if !kind.starts_with("multipart/") {
        let value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let files = Vec::new();
        return Ok(Payload { value, files });
    }
    let parts = multipart::parts(kind, bytes).map_err(|_| bad())?;
    let mut payload = Payload::default();
    for part in parts {
        if part.name == "payload_json" {
            payload.value = serde_json::from_slice(&part.body).map_err(|_| bad())?;
        } else if let Some(name) = part.filename {
            payload.files.push((name, Bytes::clone(&part.body)));
        }
    }
    Ok(payload)
}

fn nothing() -> Answer {
    let mut answer = Answer::new(StatusCode::NO_CONTENT, "application/json", Bytes::new());
    answer.declared_length = None;
    answer.steps.clear();
    // Whoever reads JSON because this says so finds none.
    answer.headers.remove("content-type");
    answer
}

impl State {
    fn act(
        self: &State,
        endpoint: DiscordEndpoint,
        request: &Request,
        parts: &[&str],
        payload: &Payload,
    ) -> Result<Answer, ApiError> {
        use DiscordEndpoint as E;
        let second = parts.get(1).map_or(0, |id| number(id));
        let fourth = parts.get(3).map_or(0, |id| number(id));
        let is_get = request.parts.method == Method::GET;
        match endpoint {
            E::Gateway => {
                let url = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
                if parts.len() == 1 {
                    return Ok(Answer::ok(&json!({"url": *url})));
                }
                Ok(Answer::ok(&json!({
                    "url": *url, "shards": self.world().shards,
                    "session_start_limit": {"total": 1000, "remaining": self.world().starts_left,
                        "reset_after": 86_400_000, "max_concurrency": 16},
                })))
            }
            E::Application => {
                let world = self.world();
                let flags: u64 = if world.flagged_content { 1 << 19 } else { 0 };
                Ok(Answer::ok(&json!({
                    "id": world.application.to_string(), "name": "Talkback", "icon": null,
                    "description": "", "bot_public": true, "bot_require_code_grant": false,
                    "verify_key": "00", "flags": flags, "team": null, "summary": "",
                    "owner": World::owner_json(), "bot": world.user_json(world.bot),
                })))
            }
            E::Users => {
                let world = self.world();
                let id = match parts.get(1) {
                    Some(&"@me") => world.bot,
                    _ => second,
                };
                let mut user = world.user_json(id);
                user["mfa_enabled"] = json!(true);
                user["verified"] = json!(true);
                Ok(Answer::ok(&user))
            }
            E::Guilds => Ok(Answer::ok(&self.world().guilds_json(request.query()))),
            E::OpenDirect => {
                let user = snowflake(&payload.value["recipient_id"]).unwrap_or(0);
                let mut world = self.world();
                let channel = world.direct(user);
                Ok(Answer::ok(&world.channel_json(channel).unwrap_or_default()))
            }
            E::Channel => {
                let world = self.world();
                messages::visible(&world, second)?;
                Ok(Answer::ok(&world.channel_json(second).unwrap_or_default()))
            }
            E::Messages => self.list(second, request.query()),
            E::Message => {
                let world = self.world();
                messages::visible(&world, second)?;
                let found = world.message(fourth).filter(|it| it.channel == second);
                let id = found
                    .ok_or_else(|| ApiError::unknown(10_008, "Message"))?
                    .id;
                let content = world.allow_content;
                Ok(Answer::ok(
                    &world.message_json(id, content, true).unwrap_or_default(),
                ))
            }
            E::CreateMessage => {
                let (id, new) = messages::create(&mut self.world(), second, payload)?;
                if new {
                    self.dispatch_message("MESSAGE_CREATE", id);
                }
                let message = self.world().message_json(id, true, true);
                Ok(Answer::ok(&message.unwrap_or_default()))
            }
            E::EditMessage => {
                messages::visible(&self.world(), second)?;
                messages::edit(&mut self.world(), fourth, payload)?;
                self.dispatch_message("MESSAGE_UPDATE", fourth);
                let message = self.world().message_json(fourth, true, true);
                Ok(Answer::ok(&message.unwrap_or_default()))
            }
            E::DeleteMessage => {
                {
                    let world = self.world();
                    messages::visible(&world, second)?;
                    let Some(message) = world.message(fourth) else {
                        return Err(ApiError::unknown(10_008, "Message"));
                    };
                    let own = message.author == world.bot;
                    if !own && world.bot_may(second) & MANAGE_MESSAGES == 0 {
                        return Err(ApiError::forbidden());
                    }
                }
                self.delete_message(fourth);
                Ok(nothing())
            }
            E::BulkDelete => {
                if self.world().bot_may(second) & MANAGE_MESSAGES == 0 {
                    return Err(ApiError::forbidden());
                }
                for id in payload.value["messages"].as_array().into_iter().flatten() {
                    self.delete_message(snowflake(id).unwrap_or(0));
                }
                Ok(nothing())
            }
            E::Typing => {
                messages::visible(&self.world(), second)?;
                self.world().typing.insert(second, Instant::now());
                self.touch();
                Ok(nothing())
            }
            E::Reactions => self.react(request, parts),
            E::Guild => {
                let guild = self.world().guild_json(second);
                let guild = guild.ok_or_else(|| ApiError::unknown(10_004, "Guild"))?;
                Ok(Answer::ok(&guild))
            }
            E::Member => {
                let world = self.world();
                let is_member = world
                    .guilds
                    .get(&second)
                    .is_some_and(|guild| guild.members.contains_key(&fourth));
                if !is_member {
                    return Err(ApiError::unknown(10_007, "Member"));
                }
                let mut member = world.member_json(second, fourth);
                member["user"] = world.user_json(fourth);
                Ok(Answer::ok(&member))
            }
            E::Nick => self.call_bot(second, &payload.value),
            E::VoiceState => {
                let world = self.world();
                let user = if parts.get(3) == Some(&"@me") {
                    world.bot
                } else {
                    fourth
                };
                if !world.voice.contains_key(&(second, user)) {
                    return Err(ApiError::unknown(10_065, "Voice State"));
                }
                Ok(Answer::ok(&world.voice_json(second, user)))
            }
            E::Threads => {
                let world = self.world();
                let threads: Vec<Value> = world
                    .channels
                    .values()
                    .filter(|it| it.guild == Some(second) && it.kind == 11)
                    .filter_map(|it| world.channel_json(it.id))
                    .collect();
                Ok(Answer::ok(&json!({"threads": threads, "members": []})))
            }
            E::Commands if is_get => Ok(Answer::ok(&json!(self.world().commands))),
            E::Commands => {
                let commands = commands::overwrite(&mut self.world(), &payload.value)?;
                self.touch();
                Ok(Answer::ok(&commands))
            }
            E::Callback => {
                let token = parts.get(2).copied().unwrap_or_default();
                interactions::callback(self, second, token, payload)?;
                Ok(nothing())
            }
            E::Response => interactions::response(self, &request.parts.method, parts, payload),
            E::Cdn => Err(ApiError::unknown(0, "path")),
        }
    }

    /// The bot calls itself something else in a server.
    fn call_bot(&self, guild: u64, value: &Value) -> Result<Answer, ApiError> {
        let mut world = self.world();
        let bot = world.bot;
        let Some(found) = world.guilds.get_mut(&guild) else {
            return Err(ApiError::unknown(10_004, "Guild"));
        };
        if found.denied & CHANGE_NICKNAME != 0 {
            return Err(ApiError::forbidden());
        }
        if let Some(nick) = value.get("nick") {
            let nick = nick.as_str().filter(|nick| !nick.is_empty());
            if nick.is_some_and(|nick| nick.chars().count() > MAX_NICK) {
                let text = "Must be 32 or fewer in length.";
                return Err(ApiError::form("nick", "BASE_TYPE_MAX_LENGTH", text));
            }
            found.members.entry(bot).or_default().nick = nick.map(str::to_owned);
        }
        let mut member = world.member_json(guild, bot);
        member["user"] = world.user_json(bot);
        drop(world);
        self.touch();
        Ok(Answer::ok(&member))
    }

    /// `PUT` and `DELETE` of the bot's own reaction; anything else is not for bots like ours.
    fn react(&self, request: &Request, parts: &[&str]) -> Result<Answer, ApiError> {
        let [_, channel, _, message, _, emoji, "@me"] = parts else {
            return Err(ApiError::new(403, 20_001, "Bots cannot use this endpoint"));
        };
        let (channel, message) = (number(channel), number(message));
        messages::visible(&self.world(), channel)?;
        let emoji = percent_decoded(emoji);
        {
            let mut world = self.world();
            let bot = world.bot;
            let found = world.messages.get_mut(&message);
            let found = found.filter(|it| !it.deleted && it.only_for.is_none());
            let found = found.ok_or_else(|| ApiError::unknown(10_008, "Message"))?;
            found.reactions.retain(|it| *it != (bot, emoji.clone()));
            if request.parts.method == Method::PUT {
                found.reactions.push((bot, emoji));
            }
        }
        self.touch();
        Ok(nothing())
    }

    fn list(&self, channel: u64, query: &str) -> Result<Answer, ApiError> {
        let world = self.world();
        messages::visible(&world, channel)?;
        if world.bot_may(channel) & READ_HISTORY == 0 {
            return Ok(Answer::ok(&json!([])));
        }
        let value = |name| query_value(query, name).map(|it| number(&it));
        let limit = value("limit").unwrap_or(50).clamp(1, 100) as usize;
        let all = world
            .messages
            .values()
            .filter(|it| it.channel == channel && !it.deleted && it.only_for.is_none());
        let mut found: Vec<u64> = match (value("after"), value("before"), value("around")) {
            (Some(after), ..) => all
                .map(|it| it.id)
                .filter(|id| *id > after)
                .take(limit)
                .collect(),
            (_, before, around) => {
                let before = before.or(around.map(|id| id.saturating_add(1)));
                let before = before.unwrap_or(u64::MAX);
                let mut older: Vec<u64> = all.map(|it| it.id).filter(|id| *id < before).collect();
                let start = older.len().saturating_sub(limit);
                older.split_off(start)
            }
        };
        found.reverse();
        let messages: Vec<Value> = found
            .into_iter()
            .filter_map(|id| world.message_json(id, world.allow_content, true))
            .collect();
        Ok(Answer::ok(&json!(messages)))
    }
}
