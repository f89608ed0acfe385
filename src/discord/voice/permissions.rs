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
    wire: &DiscordApi,
    presence: &VoiceStateCache,
    guild: GuildId,
    voice: u64,
) -> Result<GuildChannel, &'static str> {
    let channel = match wire.get_channel(voice).await {
        Ok(Channel::Guild(channel)) if channel.guild_id == guild => channel,
        Ok(_) | Err(ApiError::NotFound(_)) => return Err(words::NOT_IN_VOICE),
        Err(ApiError::Forbidden(_)) => return Err(words::MISSING_CONNECT_PERMISSION),
        Err(trouble) => {
            tracing::warn!(channel = voice, %trouble, "a voice channel can't be looked at");
            return Err(words::NO_GATEWAY);
        }
    };
    match channel.kind {
        ChannelType::Voice => {}
        ChannelType::Stage => return Err(words::STAGE_UNSUPPORTED),
        _ => return Err(words::NOT_IN_VOICE),
    }
    // If permissions can't be determined, let Discord decide on the join.
    let Some((server, me)) = fetch_guild_and_bot_member(wire, guild).await else {
        return Ok(channel);
    };
    let rights = server.user_permissions_in(&channel, &me);
    if is_timed_out(&me, rights) {
        return Err(words::TIMED_OUT);
    }
    if !rights.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT) {
        return Err(words::MISSING_CONNECT_PERMISSION);
    }
    let limit = channel.user_limit.unwrap_or(0);
    let taken = presence.count_in_channel(guild.get(), voice);
    let full = limit > 0 && taken >= usize::try_from(limit).unwrap_or(usize::MAX);
    if full && !rights.contains(Permissions::MOVE_MEMBERS) {
        return Err(words::CHANNEL_FULL);
    }
    Ok(channel)
}

/// Checks the channel that a session would post in. Returns the reason for the user if the bot
/// can't write there. `told` are the bot's permissions according to the interaction, if it has
/// them.
pub(super) async fn check_text_channel(
    wire: &DiscordApi,
    guild: GuildId,
    text: u64,
    told: Option<Permissions>,
) -> Result<(), &'static str> {
    let channel = match wire.get_channel(text).await {
        Ok(Channel::Guild(channel)) => channel,
        Ok(_) => return Ok(()),
        Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => {
            return Err(words::MISSING_SEND_PERMISSION);
        }
        // Posting the recording notice will show it.
        Err(_) => return Ok(()),
    };
    let Some((server, me)) = fetch_guild_and_bot_member(wire, guild).await else {
        return Ok(());
    };
    let is_thread = matches!(
        channel.kind,
        ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread
    );
    // A thread has the permissions of its parent channel.
    let parent = match channel.parent_id.filter(|_| is_thread) {
        Some(parent) => match wire.get_channel(parent.get()).await {
            Ok(Channel::Guild(parent)) => Some(parent),
            Err(ApiError::Forbidden(_) | ApiError::NotFound(_)) => {
                return Err(words::MISSING_SEND_PERMISSION);
            }
            _ => return Ok(()),
        },
        None => None,
    };
    let rights = server.user_permissions_in(parent.as_ref().unwrap_or(&channel), &me);
    if is_timed_out(&me, rights) {
        return Err(words::TIMED_OUT);
    }
    let rights = rights & told.unwrap_or(Permissions::all());
    let is_locked = channel.thread_metadata.is_some_and(|it| it.locked);
    if is_locked && !rights.contains(Permissions::MANAGE_THREADS) {
        return Err(words::THREAD_LOCKED);
    }
    if rights.contains(Permissions::ADMINISTRATOR) {
        return Ok(());
    }
    check_send_permission(channel.kind, is_thread, rights)
}

/// Whether these permissions suffice to send messages in a channel of this kind.
fn check_send_permission(
    kind: ChannelType,
    is_thread: bool,
    rights: Permissions,
) -> Result<(), &'static str> {
    let (needed, else_why) = match kind {
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
    if rights.contains(needed | Permissions::VIEW_CHANNEL) {
        Ok(())
    } else {
        Err(else_why)
    }
}

/// Why a session can't continue in the voice channel that the bot was moved to; `None` if it can.
pub(super) async fn unusable_voice_channel(
    wire: &DiscordApi,
    voice: u64,
) -> Option<SessionEndReason> {
    let mut wait = MIN_RETRY_DELAY;
    for _ in 0..CHANNEL_FETCH_ATTEMPTS {
        match wire.get_channel(voice).await {
            Ok(Channel::Guild(channel)) if channel.kind == ChannelType::Voice => return None,
            Ok(_) => return Some(SessionEndReason::MovedToStage),
            Err(trouble) if trouble.is_permanent() => {
                return Some(SessionEndReason::ChannelNotVisible);
            }
            Err(_) => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
    }
    // Never listen in an unknown channel.
    Some(SessionEndReason::ChannelNotVisible)
}

/// A timed-out member can only read.
fn is_timed_out(me: &Member, rights: Permissions) -> bool {
    let until = me.communication_disabled_until;
    until.is_some_and(|until| until > Timestamp::now())
        && !rights.contains(Permissions::ADMINISTRATOR)
}

/// The server and the bot's membership; `None` if they can't be fetched.
async fn fetch_guild_and_bot_member(
    wire: &DiscordApi,
    guild: GuildId,
) -> Option<(PartialGuild, Member)> {
    let server = wire.get_guild(guild).await.ok()?;
    let me = wire.get_member(guild, wire.bot_user).await.ok()?;
    Some((server, me))
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
        for (kind, is_thread, rights, may) in [
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
            let found = check_send_permission(kind, is_thread, rights).is_ok();
            assert_eq!(found, may, "{kind:?} {rights:?}");
        }
    }
}
