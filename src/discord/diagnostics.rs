//! Diagnostics that need no gateway session: facts about the token, the registered commands and
//! permissions. They change nothing.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use serenity::all::{
    Channel, ChannelId, GuildChannel, GuildId, GuildInfo, Http, LightMethod, Member, PartialGuild,
    Permissions, Request, Route, UserId,
};
use tokio::time::timeout;

use super::api_error::ApiError;
use super::bot::{RestConfig, has_message_content_intent};
use super::command_definitions;
use super::decode;
use super::gateway::{GatewayConnectError, GatewaySocket};
use super::invite;
use super::message_parser::display_name;
use super::rest::{self, get_json, request_json};
use crate::ui_text::doctor as words;
use net::{ClockSkew, ErrorCause};

/// Time limit for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How many servers are counted, and how many of them are inspected.
const MAX_COUNTED_GUILDS: usize = 2_000;
const MAX_INSPECTED_GUILDS: usize = 100;

/// Servers per page: the most that Discord returns.
const PAGE_SIZE: usize = 200;

/// Permissions the bot needs in a channel where it answers.
const CHANNEL_PERMISSIONS: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::SEND_MESSAGES_IN_THREADS)
    .union(Permissions::READ_MESSAGE_HISTORY)
    .union(Permissions::ATTACH_FILES);

/// Why a fact could not be found out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DiagnosticsError {
    /// The token is invalid or was revoked.
    #[error("the token is refused")]
    TokenRefused,
    /// Discord does not answer, or answers with a server error.
    #[error("unreachable: {0}")]
    Unreachable(ErrorCause),
    /// Discord rejects the request.
    #[error("refused: {0}")]
    Refused(ErrorCause),
}

impl From<ApiError> for DiagnosticsError {
    fn from(trouble: ApiError) -> Self {
        match trouble {
            ApiError::Unauthorized => Self::TokenRefused,
            ApiError::Transient(why) => Self::Unreachable(why),
            trouble => Self::Refused(trouble.cause()),
        }
    }
}

impl From<GatewayConnectError> for DiagnosticsError {
    fn from(error: GatewayConnectError) -> Self {
        Self::Unreachable(error.0)
    }
}

/// Asks Discord over REST.
pub struct Diagnostics {
    http: Arc<Http>,
}

/// The account that the token belongs to.
#[derive(Clone, Debug)]
pub struct BotAccount {
    /// The application's id.
    pub application_id: u64,
    /// The application's name.
    pub application_name: String,
    /// Id of the bot's user.
    pub bot_user_id: u64,
    /// Display name of the bot's user.
    pub bot_name: String,
    /// Whether the message content intent is enabled.
    pub message_content_enabled: bool,
    /// The difference between this machine's clock and Discord's.
    pub clock_skew: Option<ClockSkew>,
}

/// The gateway, and how many sessions may be started.
#[derive(Clone, Debug)]
pub struct GatewayInfo {
    /// Its URL.
    pub url: String,
    /// How many shards Discord recommends.
    pub recommended_shards: u32,
    /// Session starts remaining today, their daily total, and the time until they reset.
    pub session_starts: (u64, u64, Duration),
}

/// How the registered commands differ from those of this version.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandDiff {
    /// How many commands this version has.
    pub own_count: usize,
    /// Commands that are not registered.
    pub missing: Vec<String>,
    /// Commands that are registered differently.
    pub changed: Vec<String>,
    /// Registered commands that this version does not have.
    pub unknown: Vec<String>,
}

/// A server, and the permissions the bot lacks in it.
#[derive(Clone, Debug)]
pub struct GuildPermissions {
    /// Id of the server.
    pub id: u64,
    /// Name of the server.
    pub name: String,
    /// Missing permissions, named as in Discord's settings.
    pub missing_permissions: Vec<&'static str>,
}

/// The servers the bot is in.
#[derive(Clone, Debug, Default)]
pub struct GuildList {
    /// How many were counted, at most 2,000.
    pub count: usize,
    /// Whether there are more than were counted.
    pub more: bool,
    /// The first 100, with their permissions.
    pub first: Vec<GuildPermissions>,
}

/// A channel, and the permissions the bot lacks in it.
#[derive(Clone, Debug)]
pub struct ChannelPermissions {
    /// Its name; `None` if the bot can't see it or it was deleted.
    pub name: Option<String>,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Missing permissions without which the bot can't answer.
    pub missing_required: Vec<&'static str>,
    /// Missing permissions without which some answers fail.
    pub missing_optional: Vec<&'static str>,
}

impl Diagnostics {
    /// Prepares the REST client; sends no request.
    #[must_use]
    pub fn new(token: SecretString, proxy: Option<String>, client: reqwest::Client) -> Self {
        let gateway = RestConfig {
            token,
            proxy,
            http_client: client,
        };
        Self {
            http: Arc::new(gateway.build_http()),
        }
    }

    /// Fetches the account that the token belongs to.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn account(&self) -> Result<BotAccount, DiagnosticsError> {
        let asked = async {
            let (application, skew) = rest::get_application(&self.http).await?;
            let me = rest::get_current_user(&self.http).await?;
            Ok((application, me, skew))
        };
        let (application, me, skew) = with_timeout(asked).await?;
        self.http.set_application_id(application.id);
        Ok(BotAccount {
            application_id: application.id.get(),
            message_content_enabled: has_message_content_intent(&application),
            application_name: application.name,
            bot_user_id: me.id.get(),
            bot_name: display_name(&me, None),
            clock_skew: skew,
        })
    }

    /// Fetches the gateway's URL and the session start limit.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn gateway_info(&self) -> Result<GatewayInfo, DiagnosticsError> {
        let found = with_timeout(rest::get_gateway_bot(&self.http)).await?;
        let limit = found.session_start_limit;
        Ok(GatewayInfo {
            url: found.url,
            recommended_shards: found.shards,
            session_starts: (
                limit.remaining.into(),
                limit.total.into(),
                Duration::from_millis(limit.reset_after.into()),
            ),
        })
    }

    /// Compares the registered commands with those of this version. Call [`account`](Self::account)
    /// first: it sets the application id.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn check_commands(&self) -> Result<CommandDiff, DiagnosticsError> {
        let id = self.http.application_id();
        let Some(application_id) = id else {
            return Err(DiagnosticsError::Refused("no application".into()));
        };
        let asked = async {
            let route = Route::Commands { application_id };
            let request = Request::new(route, LightMethod::Get)
                .params(Some(vec![("with_localizations", true.to_string())]));
            request_json(&self.http, request).await
        };
        let told = with_timeout(asked).await?;
        let told = told.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(diff_commands(
            &command_definitions::registration_json(),
            told,
        ))
    }

    /// Lists the servers, with the missing permissions of the first hundred.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn list_guilds(&self) -> Result<GuildList, DiagnosticsError> {
        let mut servers = GuildList::default();
        let mut last = None;
        loop {
            let (page, told) = with_timeout(self.get_guilds_after(last)).await?;
            let room = MAX_INSPECTED_GUILDS.saturating_sub(servers.first.len());
            servers
                .first
                .extend(page.iter().take(room).map(guild_permissions));
            servers.count += told;
            last = page.last().map(|guild| guild.id);
            if told < PAGE_SIZE || page.is_empty() {
                return Ok(servers);
            }
            if servers.count >= MAX_COUNTED_GUILDS {
                servers.more = true;
                return Ok(servers);
            }
        }
    }

    /// Reports the missing permissions in these channels of a server.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn check_channels(
        &self,
        account: &BotAccount,
        guild: u64,
        channels: &[u64],
    ) -> Result<Vec<ChannelPermissions>, DiagnosticsError> {
        let (here, member) = self
            .get_guild_and_member(account, GuildId::new(guild))
            .await?;
        let mut facts = Vec::new();
        for channel in channels {
            facts.push(self.check_channel(&here, &member, *channel).await?);
        }
        Ok(facts)
    }

    /// Fetches a page of servers, and its length before undecodable entries were dropped.
    async fn get_guilds_after(
        &self,
        last: Option<GuildId>,
    ) -> Result<(Vec<GuildInfo>, usize), ApiError> {
        let mut page = vec![("limit", PAGE_SIZE.to_string())];
        page.extend(last.map(|last| ("after", last.to_string())));
        let request = Request::new(Route::UserMeGuilds, LightMethod::Get).params(Some(page));
        Ok(decode::current_user_guilds(
            &request_json(&self.http, request).await?,
        )?)
    }

    async fn check_channel(
        &self,
        guild: &PartialGuild,
        member: &Member,
        channel: u64,
    ) -> Result<ChannelPermissions, DiagnosticsError> {
        let hidden = |gone: bool| ChannelPermissions {
            name: None,
            is_deleted: gone,
            missing_required: if gone {
                Vec::new()
            } else {
                vec![words::VIEW_CHANNELS]
            },
            missing_optional: Vec::new(),
        };
        let found = match self.get_guild_channel(channel).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(ApiError::NotFound(_)) => return Ok(hidden(true)),
            Err(ApiError::Forbidden(_)) => return Ok(hidden(false)),
            Err(trouble) => return Err(trouble.into()),
        };
        // A thread has the permissions of its parent channel.
        let parent = match found.parent_id.filter(|_| found.thread_metadata.is_some()) {
            Some(parent) => match self.get_guild_channel(parent.get()).await {
                Ok(parent) => parent,
                Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => return Ok(hidden(false)),
                Err(trouble) => return Err(trouble.into()),
            },
            None => None,
        };
        let may = guild.user_permissions_in(parent.as_ref().unwrap_or(&found), member);
        let (missing, wanting) = missing_channel_permissions(may, parent.is_some());
        Ok(ChannelPermissions {
            name: Some(found.name),
            is_deleted: false,
            missing_required: missing,
            missing_optional: wanting,
        })
    }

    /// Fetches a server with its roles, and the bot's own member entry.
    async fn get_guild_and_member(
        &self,
        account: &BotAccount,
        guild: GuildId,
    ) -> Result<(PartialGuild, Member), DiagnosticsError> {
        let me = UserId::new(account.bot_user_id);
        let here = with_timeout(get_json(&self.http, Route::Guild { guild_id: guild })).await?;
        let route = Route::GuildMember {
            guild_id: guild,
            user_id: me,
        };
        let member = with_timeout(get_json(&self.http, route)).await?;
        let here = decode::partial_guild(&here).map_err(ApiError::from)?;
        let member = decode::member(&member).map_err(ApiError::from)?;
        Ok((here, member))
    }

    /// Whether the bot may join a voice channel.
    pub(super) async fn can_join_voice(
        &self,
        account: &BotAccount,
        channel: &GuildChannel,
    ) -> Result<bool, DiagnosticsError> {
        let (here, member) = self.get_guild_and_member(account, channel.guild_id).await?;
        let may = here.user_permissions_in(channel, &member);
        Ok(may.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT))
    }

    pub(super) async fn get_guild_channel(
        &self,
        id: u64,
    ) -> Result<Option<GuildChannel>, ApiError> {
        let channel_id = ChannelId::new(id);
        let found = with_timeout(get_json(&self.http, Route::Channel { channel_id })).await?;
        match decode::channel_object(&found)? {
            Channel::Guild(channel) => Ok(Some(channel)),
            _ => Ok(None),
        }
    }
}

/// Connects to the gateway and waits for its Hello event. Starts no session.
///
/// # Errors
///
/// [`DiagnosticsError::Unreachable`].
pub async fn check_gateway_hello(url: &str) -> Result<(), DiagnosticsError> {
    let mut socket = GatewaySocket::connect(url).await?;
    let first = timeout(REQUEST_TIMEOUT, socket.next_frame()).await;
    socket.close(1_000).await;
    match first {
        Ok(Ok(Some(text))) => {
            let frame = decode::parse_lenient(&text).unwrap_or_default();
            let hello = frame["op"] == 10;
            hello
                .then_some(())
                .ok_or_else(|| unreachable_error("no greeting"))
        }
        Ok(_) => Err(unreachable_error("no greeting")),
        Err(_) => Err(unreachable_error("no answer in time")),
    }
}

fn unreachable_error(why: impl Into<ErrorCause>) -> DiagnosticsError {
    DiagnosticsError::Unreachable(why.into())
}

async fn with_timeout<T>(
    request: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(done) => done,
        Err(_) => Err(ApiError::Transient("no answer in time".into())),
    }
}

fn guild_permissions(guild: &GuildInfo) -> GuildPermissions {
    let may = if guild.owner || guild.permissions.administrator() {
        Permissions::all()
    } else {
        guild.permissions
    };
    GuildPermissions {
        id: guild.id.get(),
        name: guild.name.clone(),
        missing_permissions: permission_names(invite::REQUIRED_PERMISSIONS - may),
    }
}

/// The missing permissions in a channel, required and optional, without those whose absence follows
/// from another one.
fn missing_channel_permissions(
    may: Permissions,
    thread: bool,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let lacks = CHANNEL_PERMISSIONS - may;
    if lacks.contains(Permissions::VIEW_CHANNEL) {
        return (permission_names(Permissions::VIEW_CHANNEL), Vec::new());
    }
    let (writing, other) = if thread {
        (
            Permissions::SEND_MESSAGES_IN_THREADS,
            Permissions::SEND_MESSAGES,
        )
    } else {
        (
            Permissions::SEND_MESSAGES,
            Permissions::SEND_MESSAGES_IN_THREADS,
        )
    };
    let needed = writing | Permissions::READ_MESSAGE_HISTORY;
    let mut wanting = lacks - needed;
    if thread {
        wanting -= other;
    }
    if lacks.contains(Permissions::SEND_MESSAGES) {
        // serenity drops this permission together with the permission to write.
        wanting -= Permissions::ATTACH_FILES;
    }
    (permission_names(lacks & needed), permission_names(wanting))
}

/// Permissions as Discord's settings call them.
fn permission_names(permissions: Permissions) -> Vec<&'static str> {
    let all = [
        (Permissions::VIEW_CHANNEL, words::VIEW_CHANNELS),
        (Permissions::SEND_MESSAGES, words::SEND_MESSAGES),
        (
            Permissions::SEND_MESSAGES_IN_THREADS,
            words::SEND_MESSAGES_IN_THREADS,
        ),
        (
            Permissions::READ_MESSAGE_HISTORY,
            words::READ_MESSAGE_HISTORY,
        ),
        (Permissions::ATTACH_FILES, words::ATTACH_FILES),
        (Permissions::CONNECT, words::CONNECT),
        (Permissions::CHANGE_NICKNAME, words::CHANGE_NICKNAME),
    ];
    let named = all.into_iter().filter(|(it, _)| permissions.contains(*it));
    named.map(|(_, name)| name).collect()
}

fn diff_commands(ours: &[Value], theirs: &[Value]) -> CommandDiff {
    let kind = |command: &Value| command["type"].as_u64().unwrap_or(1);
    let same = |a: &Value, b: &Value| a["name"] == b["name"] && kind(a) == kind(b);
    let name = |command: &Value| command["name"].as_str().unwrap_or("?").to_owned();
    let mut facts = CommandDiff {
        own_count: ours.len(),
        ..CommandDiff::default()
    };
    for command in ours {
        match theirs.iter().find(|it| same(command, it)) {
            None => facts.missing.push(name(command)),
            Some(known) if !json_contains(command, known) => facts.changed.push(name(command)),
            Some(_) => {}
        }
    }
    let foreign = theirs
        .iter()
        .filter(|it| !ours.iter().any(|own| same(own, it)));
    facts.unknown = foreign.map(name).collect();
    facts
}

/// Whether everything in `sent` is also in `told`. Discord adds ids and defaults, omits empty
/// values and writes some numbers as strings.
fn json_contains(sent: &Value, told: &Value) -> bool {
    match (sent, told) {
        (Value::Null | Value::Bool(false), Value::Null | Value::Bool(false)) => true,
        (Value::Array(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Object(told)) => sent
            .iter()
            .all(|(name, value)| json_contains(value, told.get(name).unwrap_or(&Value::Null))),
        (Value::Array(sent), Value::Array(told)) if sent.iter().all(Value::is_number) => {
            sent.len() == told.len() && sent.iter().all(|it| told.contains(it))
        }
        (Value::Array(sent), Value::Array(told)) => {
            sent.len() == told.len() && sent.iter().zip(told).all(|(a, b)| json_contains(a, b))
        }
        (Value::Number(sent), Value::Number(told)) => sent.as_f64() == told.as_f64(),
        (Value::Number(sent), Value::String(told)) => sent.to_string() == *told,
        (sent, told) => sent == told,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_as_discord_tells_them_are_ours() {
        let ours = command_definitions::registration_json();
        let mut theirs = ours.clone();
        for command in &mut theirs {
            command["id"] = json!("1");
            command["version"] = json!("2");
            let permissions = &mut command["default_member_permissions"];
            if let Some(bits) = permissions.as_u64() {
                *permissions = json!(bits.to_string());
            }
            if let Some(contexts) = command["contexts"].as_array_mut() {
                contexts.reverse();
            }
        }
        let all_well = CommandDiff {
            own_count: ours.len(),
            ..CommandDiff::default()
        };
        assert_eq!(diff_commands(&ours, &theirs), all_well);

        theirs[0]["description"] = json!("As it was once");
        theirs[1]["name"] = json!("transcribe-old");
        let facts = diff_commands(&ours, &theirs);
        assert_eq!(facts.changed, ["ask"]);
        assert_eq!(facts.missing, ["transcribe"]);
        assert_eq!(facts.unknown, ["transcribe-old"]);
    }

    #[test]
    fn what_follows_from_something_else_is_not_told() {
        let all = Permissions::all();
        assert_eq!(missing_channel_permissions(all, false), (vec![], vec![]));
        let hidden = Permissions::empty();
        assert_eq!(
            missing_channel_permissions(hidden, false),
            (vec![words::VIEW_CHANNELS], vec![])
        );
        let mute = all - Permissions::SEND_MESSAGES - Permissions::ATTACH_FILES;
        assert_eq!(
            missing_channel_permissions(mute, false),
            (vec![words::SEND_MESSAGES], vec![])
        );
        assert_eq!(missing_channel_permissions(mute, true), (vec![], vec![]));
        let no_files = all - Permissions::ATTACH_FILES;
        assert_eq!(
            missing_channel_permissions(no_files, true),
            (vec![], vec![words::ATTACH_FILES])
        );
    }
}
