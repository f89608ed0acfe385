//! Notes that came while nobody listened.
//!
//! After each new session with the gateway the channels with notes on, and the direct messages of
//! people who have written before, are read back. What was taken on before is known to the ledger;
//! what was answered with a sentence only has a reply of ours under it.

use std::collections::HashSet;
use std::time::Duration;

use serenity::all::{GuildId, Message, MessageId};

use super::room::{Room, logged};
use super::snowflake;
use super::trouble::Trouble;
use crate::flow::server::ServerSettings;

/// Direct message channels that are read back.
const MAX_DIRECT: u32 = 100;

/// Messages that are read at a time.
const PAGE: usize = 100;

/// Such pages of one channel.
const MAX_PAGES: usize = 20;

/// Threads of one server that are read back.
const MAX_THREADS: usize = 50;

/// Looks for notes of the last `span` in these servers and in direct messages.
pub(super) async fn catch_up(room: &Room, guilds: &[GuildId], span: Duration) {
    if span.is_zero() {
        return;
    }
    let since = snowflake::before(span);
    let mut found = 0;
    if room.reads_content() {
        for guild in guilds {
            found += of_guild(room, *guild, since).await;
        }
    }
    match room.means.store.direct_channels(MAX_DIRECT).await {
        Ok(channels) => {
            for channel in channels {
                found += of_channel(room, None, channel, since).await;
            }
        }
        Err(error) => {
            logged(error);
        }
    }
    tracing::info!(found, "caught up");
}

async fn of_guild(room: &Room, guild: GuildId, since: u64) -> usize {
    let settings = match ServerSettings::of(&room.means.store, Some(guild.get())).await {
        Ok(settings) => settings,
        Err(error) => {
            logged(error);
            return 0;
        }
    };
    if settings.notes.is_empty() {
        return 0;
    }
    let mut channels = settings.notes.clone();
    if let Ok(threads) = room.means.wire.threads(guild).await {
        let inside = threads.iter().filter(|thread| {
            let parent = thread.parent_id.map(serenity::all::ChannelId::get);
            parent.is_some_and(|parent| settings.notes.contains(&parent))
        });
        channels.extend(inside.map(|thread| thread.id.get()).take(MAX_THREADS));
    }
    let mut found = 0;
    for channel in channels {
        found += of_channel(room, Some(guild), channel, since).await;
    }
    found
}

async fn of_channel(room: &Room, guild: Option<GuildId>, channel: u64, since: u64) -> usize {
    let mut messages: Vec<Message> = Vec::new();
    for _ in 0..MAX_PAGES {
        let after = messages.last().map_or(since, |last| last.id.get());
        let page = match room.means.wire.after(channel, after).await {
            Ok(page) => page,
            Err(trouble @ (Trouble::Gone(_) | Trouble::Forbidden(_))) => {
                tracing::debug!(channel, %trouble, "not read back");
                return 0;
            }
            Err(trouble) => {
                tracing::warn!(channel, %trouble, "not read back to the end");
                break;
            }
        };
        let whole = page.len() < PAGE;
        messages.extend(page);
        if whole {
            break;
        }
    }
    let me = room.means.wire.me;
    let answered: HashSet<MessageId> = messages
        .iter()
        .filter(|message| message.author.id == me)
        .filter_map(|message| message.message_reference.as_ref()?.message_id)
        .collect();
    let mut found = 0;
    for mut message in messages {
        if answered.contains(&message.id) {
            continue;
        }
        // Messages that are read do not say which server they are from.
        message.guild_id = guild;
        found += usize::from(is_for_us(&message, me));
        room.message(&message).await;
    }
    found
}

fn is_for_us(message: &Message, me: serenity::all::UserId) -> bool {
    super::intake::call(message, me)
        .is_some_and(|call| call.is_explicit() || !super::intake::recordings(message).is_empty())
}
