//! Checks whether a session can be held in a voice channel and post in a text channel.

use std::time::Duration;

use serenity::all::{
    Channel, ChannelType, GuildChannel, GuildId, Member, PartialGuild, Permissions, Timestamp,
};

use super::super::api_error::ApiError;
use super::super::discord_api::DiscordApi;
use super::voice_state_cache::VoiceStateCache;
use crate::flow::session::SessionEndReason;
use crate::ui_text::voice_session as words;

/// Attempts to fetch a channel while Discord is unavailable, and the delay before the second one,
/// which doubles.
const CHANNEL_FETCH_ATTEMPTS: u32 = 5;
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);

/// Checks a voice channel. Returns the reason for the user if no session can be held in it.
pub(super) async fn check_voice_channel(
    discord_api: &DiscordApi,
    voice_states: &VoiceStateCache,
    guild: GuildId,
    voice: u64,
) -> Result<GuildChannel, &'static str> {
    let channel = match discord_api.get_channel(voice).await {
        Ok(Channel::Guild(channel)) if channel.guild_id == guild => channel,
        Ok(_) | Err(ApiError::NotFound(_)) => return Err(words::NOT_IN_VOICE),
        Err(ApiError::Forbidden(_)) => return Err(words::MISSING_CONNECT_PERMISSION),
        Err(trouble) => {
            tracing::warn!(channel = voice, %trouble, "could not fetch a voice channel");
            return Err(words::NO_GATEWAY);
        }
    };
    match channel.kind {
        ChannelType::Voice => {}
        ChannelType::Stage => return Err(words::STAGE_UNSUPPORTED),
        _ => return Err(words::NOT_IN_VOICE),
    }
    // If permissions can't be determined, let Discord decide on the join.
    let Some((partial_guild, bot_member)) = fetch_guild_and_bot_member(discord_api, guild).await
    else {
        return Ok(channel);
    };
    let permissions = partial_guild.user_permissions_in(&channel, &bot_member);
    if is_timed_out(&bot_member, permissions) {
        return Err(words::TIMED_OUT);
    }
    if !permissions.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT) {
        return Err(words::MISSING_CONNECT_PERMISSION);
    }
    let limit = channel.user_limit.unwrap_or(0);
    let member_count = voice_states.count_in_channel(guild.get(), voice);
    let is_full = limit > 0 && member_count >= usize::try_from(limit).unwrap_or(usize::MAX);
    if is_full && !permissions.contains(Permissions::MOVE_MEMBERS) {
        return Err(words::CHANNEL_FULL);
    }
    Ok(channel)
}

/// Checks the channel that a session would post in. Returns the reason for the user if the bot
/// can't write there. `known_permissions` come from the interaction, if there is one.
pub(super) async fn check_text_channel(
    discord_api: &DiscordApi,
    guild: GuildId,
    text: u64,
    known_permissions: Option<Permissions>,
) -> Result<(), &'static str> {
    let channel = match discord_api.get_channel(text).await {
        Ok(Channel::Guild(channel)) => channel,
        Ok(_) => return Ok(()),
        Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => {
            return Err(words::MISSING_SEND_PERMISSION);
        }
        // Posting the recording notice will show it.
        Err(_) => return Ok(()),
    };
    let Some((partial_guild, bot_member)) = fetch_guild_and_bot_member(discord_api, guild).await
    else {
        return Ok(());
    };
    let is_thread = matches!(
        channel.kind,
        ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread
    );
    // A thread has the permissions of its parent channel.
    let parent = match channel.parent_id.filter(|_| is_thread) {
        Some(parent) => match discord_api.get_channel(parent.get()).await {
            Ok(Channel::Guild(parent)) => Some(parent),
            Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => {
                return Err(words::MISSING_SEND_PERMISSION);
            }
            _ => return Ok(()),
        },
        None => None,
    };
    let permissions =
        partial_guild.user_permissions_in(parent.as_ref().unwrap_or(&channel), &bot_member);
    if is_timed_out(&bot_member, permissions) {
        return Err(words::TIMED_OUT);
    }
    let permissions = permissions & known_permissions.unwrap_or(Permissions::all());
    let is_locked = channel.thread_metadata.is_some_and(|it| it.locked);
    if is_locked && !permissions.contains(Permissions::MANAGE_THREADS) {
        return Err(words::THREAD_LOCKED);
    }
    if permissions.contains(Permissions::ADMINISTRATOR) {
        return Ok(());
    }
    check_send_permission(channel.kind, is_thread, permissions)
}

/// Whether these permissions suffice to send messages in a channel of this kind.
fn check_send_permission(
    kind: ChannelType,
    is_thread: bool,
    permissions: Permissions,
) -> Result<(), &'static str> {
    let (needed, reason) = match kind {
        _ if is_thread => (
            Permissions::SEND_MESSAGES_IN_THREADS,
            words::MISSING_THREAD_SEND_PERMISSION,
        ),
        // Without CONNECT, every other permission in a voice channel is void.
        ChannelType::Voice | ChannelType::Stage => (
            Permissions::SEND_MESSAGES | Permissions::CONNECT,
            words::MISSING_SEND_PERMISSION,
        ),
        _ => (Permissions::SEND_MESSAGES, words::MISSING_SEND_PERMISSION),
    };
    if permissions.contains(needed | Permissions::VIEW_CHANNEL) {
        Ok(())
    } else {
        Err(reason)
    }
}

/// Why a session can't continue in the voice channel that the bot was moved to; `None` if it can.
pub(super) async fn unusable_voice_channel(
    discord_api: &DiscordApi,
    voice: u64,
) -> Option<SessionEndReason> {
    let mut delay = MIN_RETRY_DELAY;
    for _ in 0..CHANNEL_FETCH_ATTEMPTS {
        match discord_api.get_channel(voice).await {
            Ok(Channel::Guild(channel)) if channel.kind == ChannelType::Voice => return None,
            Ok(_) => return Some(SessionEndReason::MovedToStage),
            Err(trouble) if trouble.is_permanent() => {
                return Some(SessionEndReason::ChannelNotVisible);
            }
            Err(_) => {
                tokio::time::sleep(delay).await;
                delay *= 2;
            }
        }
    }
    // Never listen in an unknown channel.
    Some(SessionEndReason::ChannelNotVisible)
}

/// A timed-out member can only read.
fn is_timed_out(bot_member: &Member, permissions: Permissions) -> bool {
    let until = bot_member.communication_disabled_until;
    until.is_some_and(|until| until > Timestamp::now())
        && !permissions.contains(Permissions::ADMINISTRATOR)
}

/// The server and the bot's membership; `None` if they can't be fetched.
async fn fetch_guild_and_bot_member(
    discord_api: &DiscordApi,
    guild: GuildId,
) -> Option<(PartialGuild, Member)> {
    let partial_guild = discord_api.get_guild(guild).await.ok()?;
    let bot_member = discord_api
        .get_member(guild, discord_api.bot_user)
        .await
        .ok()?;
    Some((partial_guild, bot_member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_kind_needs_its_own_permissions() {
        let view = Permissions::VIEW_CHANNEL;
        let send = view | Permissions::SEND_MESSAGES;
        let threads = view | Permissions::SEND_MESSAGES_IN_THREADS;
        let text = ChannelType::Text;
        for (kind, is_thread, permissions, is_allowed) in [
            (text, false, send, true),
            (text, false, view, false),
            (text, false, Permissions::SEND_MESSAGES, false),
            (text, false, threads, false),
            (ChannelType::News, false, send, true),
            (ChannelType::PublicThread, true, threads, true),
            (ChannelType::PublicThread, true, send, false),
            (ChannelType::PrivateThread, true, send, false),
            (ChannelType::Voice, false, send, false),
            (ChannelType::Voice, false, send | Permissions::CONNECT, true),
        ] {
            let found = check_send_permission(kind, is_thread, permissions).is_ok();
            assert_eq!(found, is_allowed, "{kind:?} {permissions:?}");
        }
    }
}
