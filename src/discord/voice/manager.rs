//! Songbird's place in the gateway, with an ear at the door: serenity gives voice events to its
//! voice manager one after the other, and to event handlers in any order.

use std::sync::Arc;

use async_trait::async_trait;
use futures_channel::mpsc::UnboundedSender;
use serenity::all::{GuildId, UserId, VoiceState};
use serenity::gateway::{ShardRunnerMessage, VoiceGatewayManager};
use songbird::Songbird;

use super::presence::Seat;
use super::sessions::Sessions;
use crate::discord::intake::name_of;
use crate::flow::session::board::Unhearing;

/// Passes everything on to songbird, and what matters to us too.
pub(in crate::discord) struct Manager {
    songbird: Arc<Songbird>,
    sessions: Arc<Sessions>,
}

impl Manager {
    pub(in crate::discord) fn new(songbird: Arc<Songbird>, sessions: Arc<Sessions>) -> Self {
        Self { songbird, sessions }
    }
}

#[async_trait]
impl VoiceGatewayManager for Manager {
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
        self.sessions.elsewhere(guild.get());
    }

    async fn state_update(&self, guild: GuildId, state: &VoiceState) {
        let (server, person, now) = (guild.get(), state.user_id.get(), seat(state));
        // Whoever is let into a call looks at once who is there.
        let before = self.sessions.presence.sits(server, person, now.clone());
        self.songbird.state_update(guild, state).await;
        self.sessions.sat(server, person, before, now);
    }
}

/// Where a voice state seats somebody.
pub(super) fn seat(state: &VoiceState) -> Option<Seat> {
    let member = state.member.as_ref();
    Some(Seat {
        channel: state.channel_id?.get(),
        name: member.map(|member| name_of(&member.user, member.nick.as_deref())),
        bot: member.is_some_and(|member| member.user.bot),
        unhearing: if state.deaf || state.self_deaf {
            Some(Unhearing::Deafened)
        } else if state.suppress {
            Some(Unhearing::Suppressed)
        } else {
            None
        },
    })
}
