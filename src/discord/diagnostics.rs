//! Diagnostics that need no gateway session: diff about the token, the registered commands and
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
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unauthorized => Self::TokenRefused,
            ApiError::Transient(cause) => Self::Unreachable(cause),
            error => Self::Refused(error.cause()),
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
        let request = async {
            let (application, clock_skew) = rest::get_application(&self.http).await?;
            let user = rest::get_current_user(&self.http).await?;
            Ok((application, user, clock_skew))
        };
        let (application, user, clock_skew) = with_timeout(request).await?;
        self.http.set_application_id(application.id);
        Ok(BotAccount {
            application_id: application.id.get(),
            message_content_enabled: has_message_content_intent(&application),
            application_name: application.name,
            bot_user_id: user.id.get(),
            bot_name: display_name(&user, None),
            clock_skew,
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
        let request = async {
            let route = Route::Commands { application_id };
            let request = Request::new(route, LightMethod::Get)
                .params(Some(vec![("with_localizations", true.to_string())]));
            request_json(&self.http, request).await
        };
        let registered = with_timeout(request).await?;
        let registered = registered.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(diff_commands(
            &command_definitions::registration_json(),
            registered,
        ))
    }

    /// Lists the servers, with the missing permissions of the first hundred.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn list_guilds(&self) -> Result<GuildList, DiagnosticsError> {
        let mut guilds = GuildList::default();
        let mut last = None;
        loop {
            let (page, page_len) = with_timeout(self.get_guilds_after(last)).await?;
            let remaining = MAX_INSPECTED_GUILDS.saturating_sub(guilds.first.len());
            guilds
                .first
                .extend(page.iter().take(remaining).map(guild_permissions));
            guilds.count += page_len;
            last = page.last().map(|guild| guild.id);
            if page_len < PAGE_SIZE || page.is_empty() {
                return Ok(guilds);
            }
            if guilds.count >= MAX_COUNTED_GUILDS {
                guilds.more = true;
                return Ok(guilds);
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
        let (partial_guild, member) = self
            .get_guild_and_member(account, GuildId::new(guild))
            .await?;
        let mut permissions = Vec::new();
        for channel in channels {
            permissions.push(
                self.check_channel(&partial_guild, &member, *channel)
                    .await?,
            );
        }
        Ok(permissions)
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
            Err(error) => return Err(error.into()),
        };
        // A thread has the permissions of its parent channel.
        let parent = match found.parent_id.filter(|_| found.thread_metadata.is_some()) {
            Some(parent) => match self.get_guild_channel(parent.get()).await {
                Ok(parent) => parent,
                Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => return Ok(hidden(false)),
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let permissions = guild.user_permissions_in(parent.as_ref().unwrap_or(&found), member);
        let (missing, optional) = missing_channel_permissions(permissions, parent.is_some());
        Ok(ChannelPermissions {
            name: Some(found.name),
            is_deleted: false,
            missing_required: missing,
            missing_optional: optional,
        })
    }

    /// Fetches a server with its roles, and the bot's own member entry.
    async fn get_guild_and_member(
        &self,
        account: &BotAccount,
        guild: GuildId,
    ) -> Result<(PartialGuild, Member), DiagnosticsError> {
        let user = UserId::new(account.bot_user_id);
        let partial_guild =
            with_timeout(get_json(&self.http, Route::Guild { guild_id: guild })).await?;
        let route = Route::GuildMember {
            guild_id: guild,
            user_id: user,
        };
        let member = with_timeout(get_json(&self.http, route)).await?;
        let partial_guild = decode::partial_guild(&partial_guild).map_err(ApiError::from)?;
        let member = decode::member(&member).map_err(ApiError::from)?;
        Ok((partial_guild, member))
    }

    /// Whether the bot may join a voice channel.
    pub(super) async fn can_join_voice(
        &self,
        account: &BotAccount,
        channel: &GuildChannel,
    ) -> Result<bool, DiagnosticsError> {
        let (partial_guild, member) = self.get_guild_and_member(account, channel.guild_id).await?;
        let permissions = partial_guild.user_permissions_in(channel, &member);
        Ok(permissions.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT))
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

fn unreachable_error(cause: impl Into<ErrorCause>) -> DiagnosticsError {
    DiagnosticsError::Unreachable(cause.into())
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
    let permissions = if guild.owner || guild.permissions.administrator() {
        Permissions::all()
    } else {
        guild.permissions
    };
    GuildPermissions {
        id: guild.id.get(),
        name: guild.name.clone(),
        missing_permissions: permission_names(invite::REQUIRED_PERMISSIONS - permissions),
    }
}

/// The missing permissions in a channel, required and optional, without those whose absence follows
/// from another one.
fn missing_channel_permissions(
    permissions: Permissions,
    thread: bool,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let missing = CHANNEL_PERMISSIONS - permissions;
    if missing.contains(Permissions::VIEW_CHANNEL) {
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
    let mut optional = missing - needed;
    if thread {
        optional -= other;
    }
    if missing.contains(Permissions::SEND_MESSAGES) {
        // serenity drops this permission together with the permission to write.
        optional -= Permissions::ATTACH_FILES;
    }
    (
        permission_names(missing & needed),
        permission_names(optional),
    )
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

fn diff_commands(own: &[Value], registered: &[Value]) -> CommandDiff {
    let kind = |command: &Value| command["type"].as_u64().unwrap_or(1);
    let same = |a: &Value, b: &Value| a["name"] == b["name"] && kind(a) == kind(b);
    let name = |command: &Value| command["name"].as_str().unwrap_or("?").to_owned();
    let mut diff = CommandDiff {
        own_count: own.len(),
        ..CommandDiff::default()
    };
    for command in own {
        match registered.iter().find(|it| same(command, it)) {
            None => diff.missing.push(name(command)),
            Some(known) if !json_contains(command, known) => diff.changed.push(name(command)),
            Some(_) => {}
        }
    }
    let unknown = registered
        .iter()
        .filter(|it| !own.iter().any(|command| same(command, it)));
    diff.unknown = unknown.map(name).collect();
    diff
}

/// Whether everything in `sent` is also in `registered`. Discord adds ids and defaults, omits empty
/// values and writes some numbers as strings.
fn json_contains(sent: &Value, registered: &Value) -> bool {
    match (sent, registered) {
        (Value::Null | Value::Bool(false), Value::Null | Value::Bool(false)) => true,
        (Value::Array(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Object(registered)) => sent.iter().all(|(name, value)| {
            json_contains(value, registered.get(name).unwrap_or(&Value::Null))
        }),
        (Value::Array(sent), Value::Array(registered)) if sent.iter().all(Value::is_number) => {
            sent.len() == registered.len() && sent.iter().all(|it| registered.contains(it))
        }
        (Value::Array(sent), Value::Array(registered)) => {
            sent.len() == registered.len()
                && sent
                    .iter()
                    .zip(registered)
                    .all(|(a, b)| json_contains(a, b))
        }
        (Value::Number(sent), Value::Number(registered)) => sent.as_f64() == registered.as_f64(),
        (Value::Number(sent), Value::String(registered)) => sent.to_string() == *registered,
        (sent, registered) => sent == registered,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_are_compared_in_the_form_discord_returns() {
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
        let diff = diff_commands(&ours, &theirs);
        assert_eq!(diff.changed, ["ask"]);
        assert_eq!(diff.missing, ["transcribe"]);
        assert_eq!(diff.unknown, ["transcribe-old"]);
    }

    #[test]
    fn implied_permissions_are_not_reported() {
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
