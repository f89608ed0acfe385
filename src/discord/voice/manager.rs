//! Feeds voice events to songbird and to the sessions.
//!
//! serenity calls its voice manager for one event after the other, in order; event handlers run in
//! any order. So the sessions get their voice events here.

use std::sync::Arc;

use async_trait::async_trait;
use futures_channel::mpsc::UnboundedSender;
use serenity::all::{GuildId, UserId, VoiceState};
use serenity::gateway::{ShardRunnerMessage, VoiceGatewayManager};
use songbird::Songbird;

use super::sessions::VoiceSessions;
use super::voice_state_cache::CachedVoiceState;
use crate::discord::message_parser::display_name;
use crate::flow::session::transcript_view::CannotHearReason;

/// A voice manager that passes every event on to songbird and to [`VoiceSessions`].
pub(in crate::discord) struct VoiceManager {
    songbird: Arc<Songbird>,
    sessions: Arc<VoiceSessions>,
}

impl VoiceManager {
    pub(in crate::discord) fn new(songbird: Arc<Songbird>, sessions: Arc<VoiceSessions>) -> Self {
        Self { songbird, sessions }
    }
}

#[async_trait]
impl VoiceGatewayManager for VoiceManager {
    async fn initialise(&self, shard_count: u32, user: UserId) {
        self.songbird.initialise(shard_count, user).await;
    }

    async fn register_shard(&self, shard: u32, sender: UnboundedSender<ShardRunnerMessage>) {
        self.songbird.register_shard(shard, sender).await;
    }

    async fn deregister_shard(&self, shard: u32) {
        self.songbird.deregister_shard(shard).await;
    }

    async fn server_update(&self, guild: GuildId, endpoint: &Option<String>, token: &str) {
        self.songbird.server_update(guild, endpoint, token).await;
        self.sessions.on_voice_server_update(guild.get());
    }

    async fn state_update(&self, guild: GuildId, state: &VoiceState) {
        let (guild_id, user_id, current) = (
            guild.get(),
            state.user_id.get(),
            to_cached_voice_state(state),
        );
        // Update the cache first: joining a call looks up at once who is there.
        let previous = self
            .sessions
            .voice_states
            .replace(guild_id, user_id, current.clone());
        self.songbird.state_update(guild, state).await;
        self.sessions
            .on_voice_state_update(guild_id, user_id, previous, current);
    }
}

/// The cache entry for a voice state; `None` if the user is in no channel.
pub(super) fn to_cached_voice_state(state: &VoiceState) -> Option<CachedVoiceState> {
    let member = state.member.as_ref();
    Some(CachedVoiceState {
        channel_id: state.channel_id?.get(),
        name: member.map(|member| display_name(&member.user, member.nick.as_deref())),
        is_bot: member.is_some_and(|member| member.user.bot),
        cannot_hear: if state.deaf || state.self_deaf {
            Some(CannotHearReason::Deafened)
        } else if state.suppress {
            Some(CannotHearReason::Suppressed)
        } else {
            None
        },
    })
}
