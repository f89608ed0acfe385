//! Marks the bot's nickname while it records.

use std::sync::Arc;

use serenity::all::{GuildId, UserId};

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
    wire: &Arc<DiscordApi>,
    guild: u64,
    name: &str,
) -> MarkedNickname {
    let own = own_nickname(wire, guild).await;
    let name = own.as_deref().unwrap_or(name).to_owned();
    let nickname: String = format!("{NICKNAME_MARK}{name}")
        .chars()
        .take(MAX_NICKNAME_CHARS)
        .collect();
    let done = wire
        .set_own_nickname(GuildId::new(guild), Some(&nickname))
        .await;
    if let Err(trouble) = &done {
        tracing::debug!(guild, %trouble, "no mark on the nickname");
    }
    MarkedNickname {
        discord_api: Arc::clone(wire),
        guild,
        name,
        is_marked: done.is_ok(),
    }
}

/// Removes a mark that a killed process left.
pub(super) async fn remove_leftover_mark(wire: &DiscordApi, guild: u64) {
    let member = wire.get_member(GuildId::new(guild), wire.bot_user).await;
    let Ok(Some(nickname)) = member.map(|member| member.nick) else {
        return;
    };
    if let Some(name) = nickname.strip_prefix(NICKNAME_MARK) {
        restore_nickname(wire, guild, name).await;
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
async fn own_nickname(wire: &DiscordApi, guild: u64) -> Option<String> {
    let me: UserId = wire.bot_user;
    let member = wire.get_member(GuildId::new(guild), me).await.ok()?;
    let nickname = member.nick?;
    Some(
        nickname
            .strip_prefix(NICKNAME_MARK)
            .unwrap_or(&nickname)
            .to_owned(),
    )
}

async fn restore_nickname(wire: &DiscordApi, guild: u64, name: &str) {
    let own = match wire.get_member(GuildId::new(guild), wire.bot_user).await {
        Ok(member) => display_name(&member.user, None),
        Err(_) => String::new(),
    };
    let nickname = (own != name).then_some(name);
    if let Err(trouble) = wire.set_own_nickname(GuildId::new(guild), nickname).await {
        tracing::warn!(guild, %trouble, "the mark stays on the nickname");
    }
}
