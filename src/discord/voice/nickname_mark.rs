//! Marks the bot's nickname while it records.

use std::sync::Arc;

use serenity::all::GuildId;

use super::super::discord_api::DiscordApi;
use super::super::message_parser::display_name;

/// Prefix of the marked nickname.
const NICKNAME_MARK: &str = "🔴 ";

/// Discord's limit for nicknames, in characters.
const MAX_NICKNAME_CHARS: usize = 32;

/// The bot's nickname in a server, marked if the bot is allowed to change it.
pub(super) struct MarkedNickname {
    discord_api: Arc<DiscordApi>,
    guild: u64,
    name: String,
    is_marked: bool,
}

/// Marks the bot's nickname in a server.
pub(super) async fn mark_nickname(
    discord_api: &Arc<DiscordApi>,
    guild: u64,
    name: &str,
) -> MarkedNickname {
    let nickname = own_nickname(discord_api, guild).await;
    let name = nickname.as_deref().unwrap_or(name).to_owned();
    let nickname: String = format!("{NICKNAME_MARK}{name}")
        .chars()
        .take(MAX_NICKNAME_CHARS)
        .collect();
    let result = discord_api
        .set_own_nickname(GuildId::new(guild), Some(&nickname))
        .await;
    if let Err(trouble) = &result {
        tracing::debug!(guild, %trouble, "could not mark the nickname");
    }
    MarkedNickname {
        discord_api: Arc::clone(discord_api),
        guild,
        name,
        is_marked: result.is_ok(),
    }
}

/// Removes a mark that a killed process left.
pub(super) async fn remove_leftover_mark(discord_api: &DiscordApi, guild: u64) {
    let member = discord_api
        .get_member(GuildId::new(guild), discord_api.bot_user)
        .await;
    let Ok(Some(nickname)) = member.map(|member| member.nick) else {
        return;
    };
    if let Some(name) = nickname.strip_prefix(NICKNAME_MARK) {
        restore_nickname(discord_api, guild, name).await;
    }
}

impl MarkedNickname {
    /// The bot's unmarked name in the server.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Restores the nickname.
    pub(super) async fn remove_mark(self) {
        if self.is_marked {
            restore_nickname(&self.discord_api, self.guild, &self.name).await;
        }
    }
}

/// The nickname without the mark; `None` if the bot has no nickname.
async fn own_nickname(discord_api: &DiscordApi, guild: u64) -> Option<String> {
    let member = discord_api
        .get_member(GuildId::new(guild), discord_api.bot_user)
        .await
        .ok()?;
    let nickname = member.nick?;
    Some(
        nickname
            .strip_prefix(NICKNAME_MARK)
            .unwrap_or(&nickname)
            .to_owned(),
    )
}

async fn restore_nickname(discord_api: &DiscordApi, guild: u64, name: &str) {
    let account_name = match discord_api
        .get_member(GuildId::new(guild), discord_api.bot_user)
        .await
    {
        Ok(member) => display_name(&member.user, None),
        Err(_) => String::new(),
    };
    let nickname = (account_name != name).then_some(name);
    if let Err(trouble) = discord_api
        .set_own_nickname(GuildId::new(guild), nickname)
        .await
    {
        tracing::warn!(guild, %trouble, "could not remove the mark from the nickname");
    }
}
