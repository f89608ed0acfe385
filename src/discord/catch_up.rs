//! Finds voice notes that were sent while the bot was offline.
//!
//! After each new gateway session, reads back the channels with voice notes enabled and the direct
//! messages of users who wrote before. The ledger knows which messages became jobs; a message that
//! was refused has one of the bot's replies.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serenity::all::{GuildId, Message, MessageId};

use super::api_error::ApiError;
use super::bot_context::{BotContext, log_store_error};
use super::message_parser;
use super::snowflake;
use crate::flow::guild_settings::GuildSettings;
use crate::store::CATCH_UP_WINDOW;

/// Direct message channels to read back.
const MAX_DM_CHANNELS: u32 = 100;

/// Messages per page.
const PAGE_SIZE: usize = 100;

/// Pages per channel.
const MAX_PAGES: usize = 20;

/// Threads per server.
const MAX_THREADS: usize = 50;

/// Channels read at the same time.
const MAX_CONCURRENT: usize = 8;

/// Time limit for one server or direct message channel. The rest is skipped.
const TARGET_TIMEOUT: Duration = Duration::from_secs(300);

/// Attempts per page, and the delay between them.
const MAX_ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Where to look for missed messages.
#[derive(Clone, Copy, Debug)]
enum CatchUpTarget {
    Guild(GuildId),
    DirectMessages(u64),
}

/// What a shard may have missed before its new session.
pub(super) struct CatchUpScope<'a> {
    /// The shard's servers.
    pub(super) guilds: &'a [GuildId],
    /// Whether the shard receives direct messages: only the first one does.
    pub(super) includes_direct_messages: bool,
    /// How far back to look.
    pub(super) lookback: Duration,
}

/// Submits missed messages as jobs, in all places concurrently.
pub(super) async fn catch_up(bot: &BotContext, scope: CatchUpScope<'_>) {
    if scope.lookback.is_zero() {
        return;
    }
    let since = snowflake::smallest_id_from(scope.lookback);
    let oldest = snowflake::smallest_id_from(CATCH_UP_WINDOW.max(scope.lookback));
    if let Err(error) = bot.reply_context.store.prune_withdrawn(oldest).await {
        log_store_error(error);
    }
    let mut targets = Vec::new();
    if scope.includes_direct_messages {
        match bot
            .reply_context
            .store
            .recent_direct_channels(MAX_DM_CHANNELS)
            .await
        {
            Ok(channels) => targets.extend(channels.into_iter().map(CatchUpTarget::DirectMessages)),
            Err(error) => {
                log_store_error(error);
            }
        }
    }
    if bot.is_message_content_enabled() {
        targets.extend(scope.guilds.iter().copied().map(CatchUpTarget::Guild));
    }
    let catch_ups = targets.into_iter().map(|target| async move {
        let found = async {
            match target {
                CatchUpTarget::Guild(guild) => catch_up_guild(bot, guild, since).await,
                CatchUpTarget::DirectMessages(channel) => {
                    catch_up_channel(bot, None, channel, since).await
                }
            }
        };
        tokio::time::timeout(TARGET_TIMEOUT, found)
            .await
            .unwrap_or_else(|_| {
                tracing::warn!(place = ?target, "not read back to the end: too slow");
                0
            })
    });
    let found: Vec<usize> = stream::iter(catch_ups)
        .buffer_unordered(MAX_CONCURRENT)
        .collect()
        .await;
    tracing::info!(found = found.iter().sum::<usize>(), "caught up");
}

async fn catch_up_guild(bot: &BotContext, guild: GuildId, since: u64) -> usize {
    let settings = match GuildSettings::load(&bot.reply_context.store, Some(guild.get())).await {
        Ok(settings) => settings,
        Err(error) => {
            log_store_error(error);
            return 0;
        }
    };
    if settings.note_channels.is_empty() {
        return 0;
    }
    let mut channels = settings.note_channels.clone();
    match bot
        .reply_context
        .discord_api
        .get_active_threads(guild)
        .await
    {
        Ok(threads) => {
            let inside = threads.iter().filter(|thread| {
                let parent = thread.parent_id.map(serenity::all::ChannelId::get);
                parent.is_some_and(|parent| settings.note_channels.contains(&parent))
            });
            channels.extend(inside.map(|thread| thread.id.get()).take(MAX_THREADS));
        }
        Err(error) => {
            tracing::warn!(guild = guild.get(), trouble = %error, "threads are not read back");
        }
    }
    let catch_ups = channels
        .into_iter()
        .map(|channel| catch_up_channel(bot, Some(guild), channel, since));
    let found: Vec<usize> = stream::iter(catch_ups)
        .buffer_unordered(MAX_CONCURRENT)
        .collect()
        .await;
    found.iter().sum()
}

async fn catch_up_channel(
    bot: &BotContext,
    guild: Option<GuildId>,
    channel: u64,
    since: u64,
) -> usize {
    let mut messages: Vec<Message> = Vec::new();
    for _ in 0..MAX_PAGES {
        let after = messages.last().map_or(since, |last| last.id.get());
        let page = match fetch_page(bot, channel, after).await {
            Ok(page) => page,
            Err(error @ (ApiError::NotFound(_) | ApiError::Forbidden(_))) => {
                tracing::debug!(channel, trouble = %error, "not read back");
                break;
            }
            Err(error) => {
                tracing::warn!(channel, trouble = %error, "not read back to the end");
                break;
            }
        };
        let whole = page.len() < PAGE_SIZE;
        let read = messages.len();
        // A page without newer messages would be read forever.
        messages.extend(page.into_iter().filter(|message| message.id.get() > after));
        if whole || messages.len() == read {
            break;
        }
    }
    let bot_user = bot.reply_context.discord_api.bot_user;
    let answered: HashSet<MessageId> = messages
        .iter()
        .filter(|message| message.author.id == bot_user)
        .filter_map(message_parser::replied_to_id)
        .collect();
    let mut found = 0;
    for mut message in messages {
        if answered.contains(&message.id) {
            continue;
        }
        // Messages fetched over REST do not say which server they are from.
        message.guild_id = guild;
        found += usize::from(bot.handle_message(&message).await);
    }
    found
}

/// Fetches a page, retrying transient errors.
async fn fetch_page(bot: &BotContext, channel: u64, after: u64) -> Result<Vec<Message>, ApiError> {
    let mut attempts = 1;
    loop {
        match bot
            .reply_context
            .discord_api
            .get_messages_after(channel, after)
            .await
        {
            Err(ApiError::Transient(cause)) if attempts < MAX_ATTEMPTS => {
                tracing::debug!(channel, why = %cause, "read back once more");
                tokio::time::sleep(RETRY_DELAY * attempts).await;
                attempts += 1;
            }
            other => return other,
        }
    }
}
