//! What can be found out about the bot without being it: plain facts, for whoever looks for what
//! is broken. Nothing is changed and no session is begun.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use serenity::all::{
    Channel, ChannelId, GuildChannel, GuildId, GuildInfo, Http, LightMethod, Member, PartialGuild,
    Permissions, Request, Route, UserId,
};
use tokio::time::timeout;

use super::bot::{Gateway, may_read};
use super::catalogue;
use super::decode;
use super::gateway::{NotConnected, Socket};
use super::intake::name_of;
use super::invite;
use super::rest::{self, ask, get};
use super::trouble::Trouble;
use crate::words::doctor as words;
use net::{Cause, Skew};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The most servers that are counted, and that are looked into.
const MAX_COUNTED: usize = 2_000;
const MAX_SERVERS: usize = 100;

/// Servers in one answer: the most that Discord gives.
const PAGE: usize = 200;

/// What the bot needs in a channel where it answers.
const IN_CHANNELS: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::SEND_MESSAGES_IN_THREADS)
    .union(Permissions::READ_MESSAGE_HISTORY)
    .union(Permissions::ATTACH_FILES);

/// Why something could not be found out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckError {
    /// The token is not, or no longer, valid.
    #[error("the token is refused")]
    TokenRefused,
    /// Nobody answers, or only that it is broken.
    #[error("unreachable: {0}")]
    Unreachable(Cause),
    /// Discord does not want to tell.
    #[error("refused: {0}")]
    Refused(Cause),
}

impl From<Trouble> for CheckError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unauthorized => Self::TokenRefused,
            Trouble::Later(why) => Self::Unreachable(why),
            trouble => Self::Refused(trouble.cause()),
        }
    }
}

impl From<NotConnected> for CheckError {
    fn from(error: NotConnected) -> Self {
        Self::Unreachable(error.0)
    }
}

/// Asks Discord.
pub struct Checkup {
    http: Arc<Http>,
}

/// Whose the token is.
#[derive(Clone, Debug)]
pub struct Account {
    /// The application's id.
    pub application: u64,
    /// What it is called.
    pub name: String,
    /// The bot's user.
    pub user: u64,
    /// What it is called.
    pub bot: String,
    /// Whether the message content intent is switched on.
    pub reads_content: bool,
    /// How far this machine's clock is from Discord's.
    pub skew: Option<Skew>,
}

/// The gateway, and how often it may be come to.
#[derive(Clone, Debug)]
pub struct GatewayFacts {
    /// Its address.
    pub url: String,
    /// How many connections the bot should have.
    pub shards: u32,
    /// Sessions that may be begun today, of how many, and when there will be all of them again.
    pub starts: (u64, u64, Duration),
}

/// How the commands that Discord knows differ from ours.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandFacts {
    /// How many ours are.
    pub ours: usize,
    /// Those that Discord does not know.
    pub missing: Vec<String>,
    /// Those that it knows otherwise.
    pub changed: Vec<String>,
    /// Those that it knows and we don't.
    pub foreign: Vec<String>,
}

/// A server, and what the bot may not do in it.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// Its id.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// Permissions that are missing, as Discord's settings call them.
    pub missing: Vec<&'static str>,
}

/// All servers.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// How many there are, as far as they were counted.
    pub count: usize,
    /// Whether there are more.
    pub more: bool,
    /// The first of them.
    pub first: Vec<ServerFacts>,
}

/// A channel, and what the bot may not do in it.
#[derive(Clone, Debug)]
pub struct ChannelFacts {
    /// What it is called; none: it can't be seen, or is gone.
    pub name: Option<String>,
    /// It is there no more.
    pub gone: bool,
    /// Permissions without which no answer comes.
    pub missing: Vec<&'static str>,
    /// Permissions without which some answers do not come.
    pub wanting: Vec<&'static str>,
}

impl Checkup {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(token: SecretString, proxy: Option<String>, client: reqwest::Client) -> Self {
        let gateway = Gateway {
            token,
            proxy,
            client,
        };
        Self {
            http: Arc::new(gateway.rest()),
        }
    }

    /// Whose the token is.
    ///
    /// # Errors
    ///
    /// See [`CheckError`].
    pub async fn account(&self) -> Result<Account, CheckError> {
        let asked = async {
            let (application, skew) = rest::application(&self.http).await?;
            let me = rest::myself(&self.http).await?;
            Ok((application, me, skew))
        };
        let (application, me, skew) = within(asked).await?;
        self.http.set_application_id(application.id);
        Ok(Account {
            application: application.id.get(),
            reads_content: may_read(&application),
            name: application.name,
            user: me.id.get(),
            bot: name_of(&me, None),
            skew,
        })
    }

    /// The gateway's address, and how many sessions may still be begun.
    ///
    /// # Errors
    ///
    /// See [`CheckError`].
    pub async fn gateway(&self) -> Result<GatewayFacts, CheckError> {
        let found = within(rest::gateway_bot(&self.http)).await?;
        let limit = found.session_start_limit;
        Ok(GatewayFacts {
            url: found.url,
            shards: found.shards,
            starts: (
                limit.remaining.into(),
                limit.total.into(),
                Duration::from_millis(limit.reset_after.into()),
            ),
        })
    }

    /// How the commands that are registered differ from those of this version. Only after
    /// [`account`](Self::account).
    ///
    /// # Errors
    ///
    /// See [`CheckError`].
    pub async fn commands(&self) -> Result<CommandFacts, CheckError> {
        let id = self.http.application_id();
        let Some(application_id) = id else {
            return Err(CheckError::Refused("no application".into()));
        };
        let asked = async {
            let route = Route::Commands { application_id };
            let request = Request::new(route, LightMethod::Get)
                .params(Some(vec![("with_localizations", true.to_string())]));
            ask(&self.http, request).await
        };
        let told = within(asked).await?;
        let told = told.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(compared(&catalogue::registration(), told))
    }

    /// The servers, with what the bot may not do in the first hundred.
    ///
    /// # Errors
    ///
    /// See [`CheckError`].
    pub async fn servers(&self) -> Result<Servers, CheckError> {
        let mut servers = Servers::default();
        let mut last = None;
        loop {
            let (page, told) = within(self.guilds_after(last)).await?;
            let room = MAX_SERVERS.saturating_sub(servers.first.len());
            servers.first.extend(page.iter().take(room).map(server));
            servers.count += told;
            last = page.last().map(|guild| guild.id);
            if told < PAGE || page.is_empty() {
                return Ok(servers);
            }
            if servers.count >= MAX_COUNTED {
                servers.more = true;
                return Ok(servers);
            }
        }
    }

    /// What the bot may not do in these channels of a server.
    ///
    /// # Errors
    ///
    /// See [`CheckError`].
    pub async fn channels(
        &self,
        account: &Account,
        guild: u64,
        channels: &[u64],
    ) -> Result<Vec<ChannelFacts>, CheckError> {
        let (here, member) = self.standing(account, GuildId::new(guild)).await?;
        let mut facts = Vec::new();
        for channel in channels {
            facts.push(self.channel(&here, &member, *channel).await?);
        }
        Ok(facts)
    }

    /// A page of the servers.
    async fn guilds_after(
        &self,
        last: Option<GuildId>,
    ) -> Result<(Vec<GuildInfo>, usize), Trouble> {
        let mut page = vec![("limit", PAGE.to_string())];
        page.extend(last.map(|last| ("after", last.to_string())));
        let request = Request::new(Route::UserMeGuilds, LightMethod::Get).params(Some(page));
        Ok(decode::guilds(&ask(&self.http, request).await?)?)
    }

    async fn channel(
        &self,
        guild: &PartialGuild,
        member: &Member,
        channel: u64,
    ) -> Result<ChannelFacts, CheckError> {
        let hidden = |gone: bool| ChannelFacts {
            name: None,
            gone,
            missing: if gone {
                Vec::new()
            } else {
                vec![words::VIEW_CHANNELS]
            },
            wanting: Vec::new(),
        };
        let found = match self.guild_channel(channel).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(Trouble::Gone(_)) => return Ok(hidden(true)),
            Err(Trouble::Forbidden(_)) => return Ok(hidden(false)),
            Err(trouble) => return Err(trouble.into()),
        };
        // A thread has the permissions of the channel that it is in.
        let parent = match found.parent_id.filter(|_| found.thread_metadata.is_some()) {
            Some(parent) => match self.guild_channel(parent.get()).await {
                Ok(parent) => parent,
                Err(Trouble::Forbidden(_) | Trouble::Gone(_)) => return Ok(hidden(false)),
                Err(trouble) => return Err(trouble.into()),
            },
            None => None,
        };
        let may = guild.user_permissions_in(parent.as_ref().unwrap_or(&found), member);
        let (missing, wanting) = lacking(may, parent.is_some());
        Ok(ChannelFacts {
            name: Some(found.name),
            gone: false,
            missing,
            wanting,
        })
    }

    /// A server with its roles, and the bot as its member.
    async fn standing(
        &self,
        account: &Account,
        guild: GuildId,
    ) -> Result<(PartialGuild, Member), CheckError> {
        let me = UserId::new(account.user);
        let here = within(get(&self.http, Route::Guild { guild_id: guild })).await?;
        let route = Route::GuildMember {
            guild_id: guild,
            user_id: me,
        };
        let member = within(get(&self.http, route)).await?;
        let here = decode::guild_found(&here).map_err(Trouble::from)?;
        let member = decode::member(&member).map_err(Trouble::from)?;
        Ok((here, member))
    }

    /// Whether the bot has the right to go into a voice channel.
    pub(super) async fn may_join(
        &self,
        account: &Account,
        channel: &GuildChannel,
    ) -> Result<bool, CheckError> {
        let (here, member) = self.standing(account, channel.guild_id).await?;
        let may = here.user_permissions_in(channel, &member);
        Ok(may.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT))
    }

    pub(super) async fn guild_channel(&self, id: u64) -> Result<Option<GuildChannel>, Trouble> {
        let channel_id = ChannelId::new(id);
        let found = within(get(&self.http, Route::Channel { channel_id })).await?;
        match decode::channel_found(&found)? {
            Channel::Guild(channel) => Ok(Some(channel)),
            _ => Ok(None),
        }
    }
}

/// Connects to the gateway and waits for its greeting. No session is begun.
///
/// # Errors
///
/// [`CheckError::Unreachable`].
pub async fn greeted(url: &str) -> Result<(), CheckError> {
    let mut socket = Socket::connect(url).await?;
    let first = timeout(LIMIT, socket.next()).await;
    socket.close(1_000).await;
    match first {
        Ok(Ok(Some(text))) => {
            let frame = decode::parse(&text).unwrap_or_default();
            let hello = frame["op"] == 10;
            hello
                .then_some(())
                .ok_or_else(|| unreachable("no greeting"))
        }
        Ok(_) => Err(unreachable("no greeting")),
        Err(_) => Err(unreachable("no answer in time")),
    }
}

fn unreachable(why: impl Into<Cause>) -> CheckError {
    CheckError::Unreachable(why.into())
}

async fn within<T>(request: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    match timeout(LIMIT, request).await {
        Ok(done) => done,
        Err(_) => Err(Trouble::Later("no answer in time".into())),
    }
}

fn server(guild: &GuildInfo) -> ServerFacts {
    let may = if guild.owner || guild.permissions.administrator() {
        Permissions::all()
    } else {
        guild.permissions
    };
    ServerFacts {
        id: guild.id.get(),
        name: guild.name.clone(),
        missing: names(invite::PERMISSIONS - may),
    }
}

/// What is missing in a channel, without what follows from the rest: without the first there is no
/// answer, without the second not every one.
fn lacking(may: Permissions, thread: bool) -> (Vec<&'static str>, Vec<&'static str>) {
    let lacks = IN_CHANNELS - may;
    if lacks.contains(Permissions::VIEW_CHANNEL) {
        return (names(Permissions::VIEW_CHANNEL), Vec::new());
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
        // Serenity takes it away with the right to write.
        wanting -= Permissions::ATTACH_FILES;
    }
    (names(lacks & needed), names(wanting))
}

/// Permissions as Discord's settings call them.
fn names(permissions: Permissions) -> Vec<&'static str> {
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

fn compared(ours: &[Value], theirs: &[Value]) -> CommandFacts {
    let kind = |command: &Value| command["type"].as_u64().unwrap_or(1);
    let same = |a: &Value, b: &Value| a["name"] == b["name"] && kind(a) == kind(b);
    let name = |command: &Value| command["name"].as_str().unwrap_or("?").to_owned();
    let mut facts = CommandFacts {
        ours: ours.len(),
        ..CommandFacts::default()
    };
    for command in ours {
        match theirs.iter().find(|it| same(command, it)) {
            None => facts.missing.push(name(command)),
            Some(known) if !holds(command, known) => facts.changed.push(name(command)),
            Some(_) => {}
        }
    }
    let foreign = theirs
        .iter()
        .filter(|it| !ours.iter().any(|own| same(own, it)));
    facts.foreign = foreign.map(name).collect();
    facts
}

/// Whether all that was sent is in what Discord tells. It adds ids and defaults of its own, leaves
/// out what is empty, and writes some numbers as text.
fn holds(sent: &Value, told: &Value) -> bool {
    match (sent, told) {
        (Value::Null | Value::Bool(false), Value::Null | Value::Bool(false)) => true,
        (Value::Array(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Object(told)) => sent
            .iter()
            .all(|(name, value)| holds(value, told.get(name).unwrap_or(&Value::Null))),
        (Value::Array(sent), Value::Array(told)) if sent.iter().all(Value::is_number) => {
            sent.len() == told.len() && sent.iter().all(|it| told.contains(it))
        }
        (Value::Array(sent), Value::Array(told)) => {
            sent.len() == told.len() && sent.iter().zip(told).all(|(a, b)| holds(a, b))
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
        let ours = catalogue::registration();
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
        let all_well = CommandFacts {
            ours: ours.len(),
            ..CommandFacts::default()
        };
        assert_eq!(compared(&ours, &theirs), all_well);

        theirs[0]["description"] = json!("As it was once");
        theirs[1]["name"] = json!("transcribe-old");
        let facts = compared(&ours, &theirs);
        assert_eq!(facts.changed, ["ask"]);
        assert_eq!(facts.missing, ["transcribe"]);
        assert_eq!(facts.foreign, ["transcribe-old"]);
    }

    #[test]
    fn what_follows_from_something_else_is_not_told() {
        let all = Permissions::all();
        assert_eq!(lacking(all, false), (vec![], vec![]));
        let hidden = Permissions::empty();
        assert_eq!(lacking(hidden, false), (vec![words::VIEW_CHANNELS], vec![]));
        let mute = all - Permissions::SEND_MESSAGES - Permissions::ATTACH_FILES;
        assert_eq!(lacking(mute, false), (vec![words::SEND_MESSAGES], vec![]));
        assert_eq!(lacking(mute, true), (vec![], vec![]));
        let no_files = all - Permissions::ATTACH_FILES;
        assert_eq!(lacking(no_files, true), (vec![], vec![words::ATTACH_FILES]));
    }
}
