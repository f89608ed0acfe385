//! The REST API, version 10: <https://discord.com/developers/docs/reference>.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::cdn;
use super::commands;
use super::errors::DiscordError;
use super::gateway::GatewaySessions;
use super::interactions;
use super::messages::{self, MessagePayload};
use super::rate_limits::RateLimits;
use super::voice::VoiceServer;
use super::world::{
    CHANGE_NICKNAME, MANAGE_MESSAGES, READ_MESSAGE_HISTORY, World, parse_snowflake,
};
use crate::fault::{Fault, FaultQueue};
use crate::mock_response::MockResponse;
use crate::multipart;
use crate::recorder::{Server, query_param};
use crate::request_handler::{BufferedRequest, MockService};

/// What Discord itself answers comes this way; without it, clients take a 429 for the word of
/// whoever stands before Discord.
const VIA_HEADER: &str = "1.1 google";

/// The most characters of a nickname.
const MAX_NICK_CHARS: usize = 32;

/// What is asked of Discord, and where a fault strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DiscordEndpoint {
    /// `GET /gateway/bot`.
    GatewayBot,
    /// `GET /applications/@me`, also as `/oauth2/applications/@me`.
    Application,
    /// `GET /users/{user}` and what is below it.
    Users,
    /// `GET /users/@me/guilds`.
    ListGuilds,
    /// `POST /users/@me/channels`.
    CreateDm,
    /// `GET /channels/{channel}`.
    GetChannel,
    /// `GET /channels/{channel}/messages`.
    ListMessages,
    /// `GET /channels/{channel}/messages/{message}`.
    GetMessage,
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
    GetGuild,
    /// `GET /guilds/{guild}/members/{user}`.
    GetMember,
    /// `PATCH /guilds/{guild}/members/@me`: what the bot is called.
    ModifyCurrentMember,
    /// `GET /guilds/{guild}/voice-states/{user}`.
    GetVoiceState,
    /// `GET /guilds/{guild}/threads/active`.
    ActiveThreads,
    /// `/applications/{application}/commands`, and those of a guild.
    Commands,
    /// `POST /interactions/{interaction}/{token}/callback`.
    InteractionCallback,
    /// `/webhooks/{application}/{token}` and what is below it.
    InteractionWebhook,
    /// Files.
    Cdn,
}

impl DiscordEndpoint {
    /// Limited per channel.
    pub(super) fn is_channel_limited(self) -> bool {
        matches!(
            self,
            Self::CreateMessage | Self::EditMessage | Self::DeleteMessage
        )
    }

    /// Not counted against the global limit.
    pub(super) fn is_exempt_from_global_limit(self) -> bool {
        matches!(
            self,
            Self::InteractionCallback | Self::InteractionWebhook | Self::Cdn
        )
    }

    /// The token in the path is enough.
    fn is_unauthenticated(self) -> bool {
        self.is_exempt_from_global_limit()
    }
}

/// Everything behind the doors.
#[derive(Debug)]
pub(crate) struct DiscordState {
    world: Mutex<World>,
    pub(super) limits: Mutex<RateLimits>,
    pub(super) sessions: Mutex<GatewaySessions>,
    pub(super) faults: FaultQueue<DiscordEndpoint>,
    /// Counts up with every change, for those who wait for one.
    pub(super) changed: watch::Sender<u64>,
    /// The gateway's address.
    pub(super) gateway_url: Mutex<String>,
    pub(crate) voice: VoiceServer,
}

impl DiscordState {
    pub(crate) fn new() -> Self {
        Self {
            world: Mutex::new(World::new()),
            limits: Mutex::default(),
            sessions: Mutex::default(),
            faults: FaultQueue::default(),
            changed: watch::Sender::new(0),
            gateway_url: Mutex::default(),
            voice: VoiceServer::new(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, GatewaySessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits that something is different.
    pub(super) fn notify_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells the bot of a message, as each of its sessions may see it.
    pub(super) fn dispatch_message(&self, event: &str, id: u64) {
        {
            let world = self.world();
            let guild = world
                .messages
                .get(&id)
                .and_then(|message| world.guild_id_of(message.channel_id));
            let author = world.messages.get(&id);
            let author = author.filter(|message| message.webhook.is_none());
            let author = author.map(|message| message.author_id);
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
        self.notify_changed();
    }

    /// Tells the bot of anything else.
    pub(super) fn dispatch(&self, event: &str, guild: Option<u64>, value: &Value) {
        let data = |_| Some(value.clone());
        self.sessions().dispatch_to(guild, event, data);
        self.notify_changed();
    }

    pub(super) fn delete_message(&self, id: u64) {
        let gone = {
            let mut world = self.world();
            let Some(message) = world.messages.get_mut(&id) else {
                return;
            };
            message.is_deleted = true;
            let (channel, private) = (message.channel_id, message.visible_only_to.is_some());
            let guild = world.guild_id_of(channel);
            (!private).then_some((channel, guild))
        };
        if let Some((channel, guild)) = gone {
            let mut value = json!({"id": id.to_string(), "channel_id": channel.to_string()});
            if let Some(guild) = guild {
                value["guild_id"] = json!(guild.to_string());
            }
            self.dispatch("MESSAGE_DELETE", guild, &value);
        }
        self.notify_changed();
    }
}

/// The parts of a path after the version.
fn path_segments(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix("/api/")?;
    let path = path.strip_prefix("v10/").unwrap_or(path);
    Some(path.trim_matches('/').split('/').collect())
}

fn percent_decoded(text: &str) -> String {
    let form = format!("x={}", text.replace('+', "%2B"));
    query_param(&form, "x").unwrap_or_default()
}

fn parse_id(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

impl MockService for DiscordState {
    type Endpoint = DiscordEndpoint;

    const SERVER: Server = Server::Discord;

    fn route(&self, method: &Method, path: &str) -> Result<DiscordEndpoint, StatusCode> {
        use DiscordEndpoint as E;
        if path.starts_with("/attachments/") {
            return Ok(E::Cdn);
        }
        let parts = path_segments(path).ok_or(StatusCode::NOT_FOUND)?;
        let endpoint = match (method.as_str(), parts.as_slice()) {
            ("GET", ["gateway"] | ["gateway", "bot"]) => E::GatewayBot,
            ("GET", ["applications", "@me"] | ["oauth2", "applications", "@me"]) => E::Application,
            ("POST", ["users", "@me", "channels"]) => E::CreateDm,
            ("GET", ["users", "@me", "guilds"]) => E::ListGuilds,
            ("GET", ["users", ..]) => E::Users,
            ("GET", ["channels", _]) => E::GetChannel,
            ("GET", ["channels", _, "messages"]) => E::ListMessages,
            ("POST", ["channels", _, "messages"]) => E::CreateMessage,
            ("POST", ["channels", _, "messages", "bulk-delete"]) => E::BulkDelete,
            ("GET", ["channels", _, "messages", _]) => E::GetMessage,
            ("PATCH", ["channels", _, "messages", _]) => E::EditMessage,
            ("DELETE", ["channels", _, "messages", _]) => E::DeleteMessage,
            (_, ["channels", _, "messages", _, "reactions", ..]) => E::Reactions,
            ("POST", ["channels", _, "typing"]) => E::Typing,
            ("GET", ["guilds", _]) => E::GetGuild,
            ("GET", ["guilds", _, "members", _]) => E::GetMember,
            ("PATCH", ["guilds", _, "members", "@me"]) => E::ModifyCurrentMember,
            ("GET", ["guilds", _, "voice-states", _]) => E::GetVoiceState,
            ("GET", ["guilds", _, "threads", "active"]) => E::ActiveThreads,
            ("GET" | "PUT", ["applications", _, "commands"])
            | ("GET" | "PUT", ["applications", _, "guilds", _, "commands"]) => E::Commands,
            ("POST", ["interactions", _, _, "callback"]) => E::InteractionCallback,
            (_, ["webhooks", _, _, ..]) => E::InteractionWebhook,
            _ => return Err(StatusCode::NOT_FOUND),
        };
        Ok(endpoint)
    }

    fn faults(&self) -> &FaultQueue<DiscordEndpoint> {
        &self.faults
    }

    fn error_response(
        &self,
        _: Option<DiscordEndpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> MockResponse {
        let reason = status.canonical_reason().unwrap_or("Error");
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(0);
        let message =
            message.map_or_else(|| format!("{}: {reason}", status.as_u16()), str::to_owned);
        let answer = DiscordError::new(status.as_u16(), code, &message).to_response();
        answer.header("Via", VIA_HEADER)
    }

    async fn respond(
        &self,
        endpoint: DiscordEndpoint,
        request: BufferedRequest,
        _: &Fault,
    ) -> MockResponse {
        let parts = path_segments(request.path()).unwrap_or_default();
        if endpoint == DiscordEndpoint::Cdn {
            return cdn::serve_file(&self.world(), request.path(), request.query());
        }
        let known = format!("Bot {}", self.world().token);
        if !endpoint.is_unauthenticated() && request.header("authorization") != Some(known.as_str())
        {
            return DiscordError::new(401, 0, "401: Unauthorized").to_response();
        }
        let major = parts.get(1).map_or(0, |id| parse_id(id));
        let limits = {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            limits.check_request(endpoint, major)
        };
        let headers = match limits {
            Ok(headers) => headers,
            Err(answer) => return answer.header("Via", VIA_HEADER),
        };
        let mut answer = match parse_payload(&request) {
            Ok(payload) => self.route_request(endpoint, &request, &parts, &payload),
            Err(error) => Err(error),
        }
        .unwrap_or_else(|error| error.to_response());
        answer = answer.header("Via", VIA_HEADER);
        let odd = self.sessions().event_mutator.clone();
        answer.modify_json(|value| odd.apply(&format!("{endpoint:?}"), value));
        for (name, value) in headers {
            answer = answer.header(name, &value);
        }
        answer
    }
}

/// JSON, or a form with JSON and files.
fn parse_payload(request: &BufferedRequest) -> Result<MessagePayload, DiscordError> {
    let bytes = request.body.bytes.clone();
    let bad = || DiscordError::new(400, 50_109, "The request body contains invalid JSON.");
    if bytes.is_empty() {
        return Ok(MessagePayload::default());
    }
    let kind = request.header("content-type").unwrap_or_default();
    if !kind.starts_with("multipart/") {
        let value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let files = Vec::new();
        return Ok(MessagePayload { json: value, files });
    }
    let parts = multipart::parse_form(kind, bytes).map_err(|_| bad())?;
    let mut payload = MessagePayload::default();
    for part in parts {
        if part.name == "payload_json" {
            payload.json = serde_json::from_slice(&part.body).map_err(|_| bad())?;
        } else if let Some(name) = part.filename {
            payload.files.push((name, Bytes::clone(&part.body)));
        }
    }
    Ok(payload)
}

fn no_content() -> MockResponse {
    let mut answer = MockResponse::new(StatusCode::NO_CONTENT, "application/json", Bytes::new());
    answer.content_length = None;
    answer.steps.clear();
    // Whoever reads JSON because this says so finds none.
    answer.headers.remove("content-type");
    answer
}

impl DiscordState {
    fn route_request(
        self: &DiscordState,
        endpoint: DiscordEndpoint,
        request: &BufferedRequest,
        parts: &[&str],
        payload: &MessagePayload,
    ) -> Result<MockResponse, DiscordError> {
        use DiscordEndpoint as E;
        let second = parts.get(1).map_or(0, |id| parse_id(id));
        let fourth = parts.get(3).map_or(0, |id| parse_id(id));
        let is_get = request.parts.method == Method::GET;
        match endpoint {
            E::GatewayBot => {
                let url = self
                    .gateway_url
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if parts.len() == 1 {
                    return Ok(MockResponse::ok(&json!({"url": *url})));
                }
                Ok(MockResponse::ok(&json!({
                    "url": *url, "shards": self.world().recommended_shards,
                    "session_start_limit": {"total": 1000, "remaining": self.world().session_starts_left,
                        "reset_after": 86_400_000, "max_concurrency": 16},
                })))
            }
            E::Application => {
                let world = self.world();
                let flags: u64 = if world.message_content_flagged {
                    1 << 19
                } else {
                    0
                };
                Ok(MockResponse::ok(&json!({
                    "id": world.application_id.to_string(), "name": "Talkback", "icon": null,
                    "description": "", "bot_public": true, "bot_require_code_grant": false,
                    "verify_key": "00", "flags": flags, "team": null, "summary": "",
                    "owner": World::owner_json(), "bot": world.user_json(world.bot_id),
                })))
            }
            E::Users => {
                let world = self.world();
                let id = match parts.get(1) {
                    Some(&"@me") => world.bot_id,
                    _ => second,
                };
                let mut user = world.user_json(id);
                user["mfa_enabled"] = json!(true);
                user["verified"] = json!(true);
                Ok(MockResponse::ok(&user))
            }
            E::ListGuilds => Ok(MockResponse::ok(&self.world().guilds_json(request.query()))),
            E::CreateDm => {
                let user = parse_snowflake(&payload.json["recipient_id"]).unwrap_or(0);
                let mut world = self.world();
                let channel = world.dm_channel(user);
                Ok(MockResponse::ok(
                    &world.channel_json(channel).unwrap_or_default(),
                ))
            }
            E::GetChannel => {
                let world = self.world();
                messages::check_visible(&world, second)?;
                Ok(MockResponse::ok(
                    &world.channel_json(second).unwrap_or_default(),
                ))
            }
            E::ListMessages => self.list_messages(second, request.query()),
            E::GetMessage => {
                let world = self.world();
                messages::check_visible(&world, second)?;
                let found = world.message(fourth).filter(|it| it.channel_id == second);
                let id = found
                    .ok_or_else(|| DiscordError::unknown(10_008, "Message"))?
                    .id;
                let content = world.message_content_allowed;
                Ok(MockResponse::ok(
                    &world.message_json(id, content, true).unwrap_or_default(),
                ))
            }
            E::CreateMessage => {
                let (id, new) = messages::create(&mut self.world(), second, payload)?;
                if new {
                    self.dispatch_message("MESSAGE_CREATE", id);
                }
                let message = self.world().message_json(id, true, true);
                Ok(MockResponse::ok(&message.unwrap_or_default()))
            }
            E::EditMessage => {
                messages::check_visible(&self.world(), second)?;
                messages::edit(&mut self.world(), fourth, payload)?;
                self.dispatch_message("MESSAGE_UPDATE", fourth);
                let message = self.world().message_json(fourth, true, true);
                Ok(MockResponse::ok(&message.unwrap_or_default()))
            }
            E::DeleteMessage => {
                {
                    let world = self.world();
                    messages::check_visible(&world, second)?;
                    let Some(message) = world.message(fourth) else {
                        return Err(DiscordError::unknown(10_008, "Message"));
                    };
                    let own = message.author_id == world.bot_id;
                    if !own && world.bot_permissions(second) & MANAGE_MESSAGES == 0 {
                        return Err(DiscordError::forbidden());
                    }
                }
                self.delete_message(fourth);
                Ok(no_content())
            }
            E::BulkDelete => {
                if self.world().bot_permissions(second) & MANAGE_MESSAGES == 0 {
                    return Err(DiscordError::forbidden());
                }
                for id in payload.json["messages"].as_array().into_iter().flatten() {
                    self.delete_message(parse_snowflake(id).unwrap_or(0));
                }
                Ok(no_content())
            }
            E::Typing => {
                messages::check_visible(&self.world(), second)?;
                self.world().bot_typing.insert(second, Instant::now());
                self.notify_changed();
                Ok(no_content())
            }
            E::Reactions => self.handle_own_reaction(request, parts),
            E::GetGuild => {
                let guild = self.world().guild_json(second);
                let guild = guild.ok_or_else(|| DiscordError::unknown(10_004, "Guild"))?;
                Ok(MockResponse::ok(&guild))
            }
            E::GetMember => {
                let world = self.world();
                let is_member = world
                    .guilds
                    .get(&second)
                    .is_some_and(|guild| guild.members.contains_key(&fourth));
                if !is_member {
                    return Err(DiscordError::unknown(10_007, "Member"));
                }
                let mut member = world.member_json(second, fourth);
                member["user"] = world.user_json(fourth);
                Ok(MockResponse::ok(&member))
            }
            E::ModifyCurrentMember => self.set_bot_nick(second, &payload.json),
            E::GetVoiceState => {
                let world = self.world();
                let user = if parts.get(3) == Some(&"@me") {
                    world.bot_id
                } else {
                    fourth
                };
                if !world.voice_states.contains_key(&(second, user)) {
                    return Err(DiscordError::unknown(10_065, "Voice State"));
                }
                Ok(MockResponse::ok(&world.voice_state_json(second, user)))
            }
            E::ActiveThreads => {
                let world = self.world();
                let threads: Vec<Value> = world
                    .channels
                    .values()
                    .filter(|it| it.guild_id == Some(second) && it.kind == 11)
                    .filter_map(|it| world.channel_json(it.id))
                    .collect();
                Ok(MockResponse::ok(
                    &json!({"threads": threads, "members": []}),
                ))
            }
            E::Commands if is_get => Ok(MockResponse::ok(&json!(self.world().commands))),
            E::Commands => {
                let commands = commands::overwrite_commands(&mut self.world(), &payload.json)?;
                self.notify_changed();
                Ok(MockResponse::ok(&commands))
            }
            E::InteractionCallback => {
                let token = parts.get(2).copied().unwrap_or_default();
                interactions::callback(self, second, token, payload)?;
                Ok(no_content())
            }
            E::InteractionWebhook => {
                interactions::handle_followup(self, &request.parts.method, parts, payload)
            }
            E::Cdn => Err(DiscordError::unknown(0, "path")),
        }
    }

    /// The bot calls itself something else in a server.
    fn set_bot_nick(&self, guild: u64, value: &Value) -> Result<MockResponse, DiscordError> {
        let mut world = self.world();
        let bot = world.bot_id;
        let Some(found) = world.guilds.get_mut(&guild) else {
            return Err(DiscordError::unknown(10_004, "Guild"));
        };
        if found.denied_to_bot & CHANGE_NICKNAME != 0 {
            return Err(DiscordError::forbidden());
        }
        if let Some(nick) = value.get("nick") {
            let nick = nick.as_str().filter(|nick| !nick.is_empty());
            if nick.is_some_and(|nick| nick.chars().count() > MAX_NICK_CHARS) {
                let text = "Must be 32 or fewer in length.";
                return Err(DiscordError::invalid_form(
                    "nick",
                    "BASE_TYPE_MAX_LENGTH",
                    text,
                ));
            }
            found.members.entry(bot).or_default().nick = nick.map(str::to_owned);
        }
        let mut member = world.member_json(guild, bot);
        member["user"] = world.user_json(bot);
        drop(world);
        self.notify_changed();
        Ok(MockResponse::ok(&member))
    }

    /// `PUT` and `DELETE` of the bot's own reaction; anything else is not for bots like ours.
    fn handle_own_reaction(
        &self,
        request: &BufferedRequest,
        parts: &[&str],
    ) -> Result<MockResponse, DiscordError> {
        let [_, channel, _, message, _, emoji, "@me"] = parts else {
            return Err(DiscordError::new(
                403,
                20_001,
                "Bots cannot use this endpoint",
            ));
        };
        let (channel, message) = (parse_id(channel), parse_id(message));
        messages::check_visible(&self.world(), channel)?;
        let emoji = percent_decoded(emoji);
        {
            let mut world = self.world();
            let bot = world.bot_id;
            let found = world.messages.get_mut(&message);
            let found = found.filter(|it| !it.is_deleted && it.visible_only_to.is_none());
            let found = found.ok_or_else(|| DiscordError::unknown(10_008, "Message"))?;
            found.reactions.retain(|it| *it != (bot, emoji.clone()));
            if request.parts.method == Method::PUT {
                found.reactions.push((bot, emoji));
            }
        }
        self.notify_changed();
        Ok(no_content())
    }

    fn list_messages(&self, channel: u64, query: &str) -> Result<MockResponse, DiscordError> {
        let world = self.world();
        messages::check_visible(&world, channel)?;
        if world.bot_permissions(channel) & READ_MESSAGE_HISTORY == 0 {
            return Ok(MockResponse::ok(&json!([])));
        }
        let value = |name| query_param(query, name).map(|it| parse_id(&it));
        let limit = value("limit").unwrap_or(50).clamp(1, 100) as usize;
        let all = world.messages.values().filter(|it| {
            it.channel_id == channel && !it.is_deleted && it.visible_only_to.is_none()
        });
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
            .filter_map(|id| world.message_json(id, world.message_content_allowed, true))
            .collect();
        Ok(MockResponse::ok(&json!(messages)))
    }
}
