//! The mark on the bot's nickname while it writes down what is said.

use std::sync::Arc;

use serenity::all::{GuildId, UserId};

use super::super::intake::name_of;
use super::super::wire::Wire;

/// Stands before the name.
const MARK: &str = "🔴 ";

/// The longest nickname, in characters.
const MAX_NAME: usize = 32;

/// A nickname that is marked, if the bot may change it.
pub(super) struct Marked {
    wire: Arc<Wire>,
    guild: u64,
    name: String,
    marked: bool,
}

/// Marks the bot's nickname in a server.
pub(super) async fn put(wire: &Arc<Wire>, guild: u64, name: &str) -> Marked {
    let own = own_nickname(wire, guild).await;
    let name = own.as_deref().unwrap_or(name).to_owned();
    let nickname: String = format!("{MARK}{name}").chars().take(MAX_NAME).collect();
    let done = wire.nickname(GuildId::new(guild), Some(&nickname)).await;
    if let Err(trouble) = &done {
        tracing::debug!(guild, %trouble, "no mark on the nickname");
    }
    Marked {
        wire: Arc::clone(wire),
        guild,
        name,
        marked: done.is_ok(),
    }
}

/// Takes away a mark that a killed process has left.
pub(super) async fn take_away(wire: &Wire, guild: u64) {
    let member = wire.member(GuildId::new(guild), wire.me).await;
    let Ok(Some(nickname)) = member.map(|member| member.nick) else {
        return;
    };
    if let Some(name) = nickname.strip_prefix(MARK) {
        restore(wire, guild, name).await;
    }
}

impl Marked {
    /// What the bot is called in the server.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes the mark away.
    pub(super) async fn take_away(self) {
        if self.marked {
            restore(&self.wire, self.guild, &self.name).await;
        }
    }
}

/// The nickname without a mark; none if the bot has none.
async fn own_nickname(wire: &Wire, guild: u64) -> Option<String> {
    let me: UserId = wire.me;
    let member = wire.member(GuildId::new(guild), me).await.ok()?;
    let nickname = member.nick?;
    Some(nickname.strip_prefix(MARK).unwrap_or(&nickname).to_owned())
}

async fn restore(wire: &Wire, guild: u64, name: &str) {
    let own = match wire.member(GuildId::new(guild), wire.me).await {
        Ok(member) => name_of(&member.user, None),
        Err(_) => String::new(),
    };
    let nickname = (own != name).then_some(name);
    if let Err(trouble) = wire.nickname(GuildId::new(guild), nickname).await {
        tracing::warn!(guild, %trouble, "the mark stays on the nickname");
    }
}
