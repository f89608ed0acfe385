//! Notes that came while nobody listened.
//!
//! After each new session with the gateway the channels with notes on, and the direct messages of
//! people who have written before, are read back. What was taken on before is known to the ledger;
//! what was answered with a sentence only has a reply of ours under it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serenity::all::{GuildId, Message, MessageId};

use super::intake;
use super::room::{Room, logged};
use super::snowflake;
use super::trouble::Trouble;
use crate::flow::server::ServerSettings;
use crate::store::READ_BACK;

/// Direct message channels that are read back.
const MAX_DIRECT: u32 = 100;

/// Messages that are read at a time.
const PAGE: usize = 100;

/// Such pages of one channel.
const MAX_PAGES: usize = 20;

/// Threads of one server that are read back.
const MAX_THREADS: usize = 50;

/// Places that are read back at the same time: a slow one holds up nobody else.
const AT_ONCE: usize = 8;

/// How long one place may take. What is not read by then is left.
const PLACE_LIMIT: Duration = Duration::from_secs(300);

/// How often a page is asked for, and the wait in between.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(2);

/// Where messages are looked for.
#[derive(Clone, Copy, Debug)]
enum Place {
    Server(GuildId),
    Direct(u64),
}

/// What a shard that has begun a new session may have missed.
pub(super) struct Missed<'a> {
    /// Its servers.
    pub(super) guilds: &'a [GuildId],
    /// Whether direct messages come to it: they come to the first one only.
    pub(super) direct: bool,
    /// How far back notes are looked for.
    pub(super) span: Duration,
}

/// Looks for missed notes, in all places on their own.
pub(super) async fn catch_up(room: &Room, missed: Missed<'_>) {
    if missed.span.is_zero() {
        return;
    }
    let since = snowflake::before(missed.span);
    let oldest = snowflake::before(READ_BACK.max(missed.span));
    if let Err(error) = room.means.store.expire_withdrawn(oldest).await {
        logged(error);
    }
    let mut places = Vec::new();
    if missed.direct {
        match room.means.store.direct_channels(MAX_DIRECT).await {
            Ok(channels) => places.extend(channels.into_iter().map(Place::Direct)),
            Err(error) => {
                logged(error);
            }
        }
    }
    if room.reads_content() {
        places.extend(missed.guilds.iter().copied().map(Place::Server));
    }
    let looks = places.into_iter().map(|place| async move {
        let found = async {
            match place {
                Place::Server(guild) => of_guild(room, guild, since).await,
                Place::Direct(channel) => of_channel(room, None, channel, since).await,
            }
        };
        tokio::time::timeout(PLACE_LIMIT, found)
            .await
            .unwrap_or_else(|_| {
                tracing::warn!(?place, "not read back to the end: too slow");
                0
            })
    });
    let found: Vec<usize> = stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    tracing::info!(found = found.iter().sum::<usize>(), "caught up");
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
    match room.means.wire.threads(guild).await {
        Ok(threads) => {
            let inside = threads.iter().filter(|thread| {
                let parent = thread.parent_id.map(serenity::all::ChannelId::get);
                parent.is_some_and(|parent| settings.notes.contains(&parent))
            });
            channels.extend(inside.map(|thread| thread.id.get()).take(MAX_THREADS));
        }
        Err(trouble) => {
            tracing::warn!(guild = guild.get(), %trouble, "threads are not read back");
        }
    }
    let looks = channels
        .into_iter()
        .map(|channel| of_channel(room, Some(guild), channel, since));
    let found: Vec<usize> = stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    found.iter().sum()
}

async fn of_channel(room: &Room, guild: Option<GuildId>, channel: u64, since: u64) -> usize {
    let mut messages: Vec<Message> = Vec::new();
    for _ in 0..MAX_PAGES {
        let after = messages.last().map_or(since, |last| last.id.get());
        let page = match page(room, channel, after).await {
            Ok(page) => page,
            Err(trouble @ (Trouble::Gone(_) | Trouble::Forbidden(_))) => {
                tracing::debug!(channel, %trouble, "not read back");
                break;
            }
            Err(trouble) => {
                tracing::warn!(channel, %trouble, "not read back to the end");
                break;
            }
        };
        let whole = page.len() < PAGE;
        let read = messages.len();
        // A page that leads nowhere would be read for ever.
        messages.extend(page.into_iter().filter(|message| message.id.get() > after));
        if whole || messages.len() == read {
            break;
        }
    }
    let me = room.means.wire.me;
    let answered: HashSet<MessageId> = messages
        .iter()
        .filter(|message| message.author.id == me)
        .filter_map(intake::parent)
        .collect();
    let mut found = 0;
    for mut message in messages {
        if answered.contains(&message.id) {
            continue;
        }
        // Messages that are read do not say which server they are from.
        message.guild_id = guild;
        found += usize::from(room.message(&message).await);
    }
    found
}

/// A page, also if Discord is not well for a moment.
async fn page(room: &Room, channel: u64, after: u64) -> Result<Vec<Message>, Trouble> {
    let mut tries = 1;
    loop {
        match room.means.wire.after(channel, after).await {
            Err(Trouble::Later(why)) if tries < TRIES => {
                tracing::debug!(channel, %why, "read back once more");
                tokio::time::sleep(WAIT * tries).await;
                tries += 1;
            }
            other => return other,
        }
    }
}
