//! Reports the permissions that the bot lacks in servers and channels.

use serenity::all::{
    GuildChannel, GuildId, GuildInfo, LightMethod, Member, PartialGuild, Permissions, Request,
    Route, UserId,
};

use super::super::api_error::ApiError;
use super::super::rest::{get_json, request_json};
use super::super::{decode, invite};
use super::{BotAccount, Diagnostics, DiagnosticsError, with_timeout};
use crate::ui_text::doctor as words;

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

    /// Whether the bot may join a voice channel.
    pub(in crate::discord) async fn can_join_voice(
        &self,
        account: &BotAccount,
        channel: &GuildChannel,
    ) -> Result<bool, DiagnosticsError> {
        let (partial_guild, member) = self.get_guild_and_member(account, channel.guild_id).await?;
        let permissions = partial_guild.user_permissions_in(channel, &member);
        Ok(permissions.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT))
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

#[cfg(test)]
mod tests {
    use super::*;

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
