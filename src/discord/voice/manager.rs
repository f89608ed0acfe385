//! Songbird's place in the gateway, with an ear at the door: serenity gives voice events to its
//! voice manager one after the other, and to event handlers in any order.

use std::sync::Arc;

use async_trait::async_trait;
use futures_channel::mpsc::UnboundedSender;
use serenity::all::{GuildId, UserId, VoiceState};
use serenity::gateway::{ShardRunnerMessage, VoiceGatewayManager};
use songbird::Songbird;
use tokio::sync::mpsc;

use super::presence::Seat;
use crate::discord::intake::name_of;

/// Something about a call, from the gateway.
#[derive(Debug)]
pub(in crate::discord) enum Change {
    /// Somebody has another seat, or none.
    Sits {
        /// The server.
        server: u64,
        /// Who.
        person: u64,
        /// Where.
        seat: Option<Seat>,
    },
    /// The call of a server is at another voice server now.
    Server(u64),
    /// The session of a server has to be told who is there.
    Present(u64),
}

/// Changes that wait to be looked at.
pub(in crate::discord) const MAX_CHANGES: usize = 10_000;

/// Passes everything on to songbird, and what matters to us too.
pub(in crate::discord) struct Manager {
    songbird: Arc<Songbird>,
    changes: mpsc::Sender<Change>,
}

impl Manager {
    pub(in crate::discord) fn new(songbird: Arc<Songbird>, changes: mpsc::Sender<Change>) -> Self {
        Self { songbird, changes }
    }

    /// The shard waits meanwhile, so this does not: who is slow has no room.
    fn tell(&self, change: Change) {
        if let Err(error) = self.changes.try_send(change) {
            tracing::warn!(%error, "a change of a call is lost");
        }
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
        self.tell(Change::Server(guild.get()));
    }

    async fn state_update(&self, guild: GuildId, state: &VoiceState) {
        self.songbird.state_update(guild, state).await;
        self.tell(Change::Sits {
            server: guild.get(),
            person: state.user_id.get(),
            seat: seat(state),
        });
    }
}

/// Where a voice state seats somebody.
pub(super) fn seat(state: &VoiceState) -> Option<Seat> {
    let member = state.member.as_ref();
    Some(Seat {
        channel: state.channel_id?.get(),
        name: member.map(|member| name_of(&member.user, member.nick.as_deref())),
        bot: member.is_some_and(|member| member.user.bot),
    })
}
