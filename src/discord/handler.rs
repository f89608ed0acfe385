//! Hears what happens.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use serenity::all::{
    ChannelId, Context, EventHandler, GuildChannel, GuildId, Interaction, Message, MessageId,
    PartialGuildChannel, Ready, ResumedEvent, ShardStageUpdateEvent, UnavailableGuild,
};
use serenity::async_trait;
use serenity::gateway::ConnectionStage;
use tokio::sync::mpsc;

use super::health::Health;
use super::room::{Room, logged};
use super::{buttons, catch_up, commands};

/// The first time a shard is ready: who the bot is and in how many servers.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) name: String,
    pub(super) guilds: usize,
    pub(super) shard: u32,
    pub(super) shards: u32,
}

pub(super) struct Handler {
    pub(super) room: Arc<Room>,
    pub(super) catch_up: Duration,
    pub(super) connected: mpsc::Sender<Connected>,
    pub(super) health: Health,
}

#[async_trait]
impl EventHandler for Handler {
    async fn ready(&self, _: Context, ready: Ready) {
        counter!("talkback_gateway_sessions_total").increment(1);
        let shard = ready.shard.map_or((0, 1), |it| (it.id.0, it.total));
        tracing::info!(shard = shard.0, guilds = ready.guilds.len(), "connected");
        let guilds: Vec<GuildId> = ready.guilds.iter().map(|guild| guild.id).collect();
        let connected = Connected {
            name: ready.user.name.clone(),
            guilds: guilds.len(),
            shard: shard.0,
            shards: shard.1,
        };
        // Nobody listens any more once everything is told.
        let _ = self.connected.try_send(connected);
        catch_up::catch_up(&self.room, &guilds, self.catch_up).await;
    }

    async fn resume(&self, _: Context, _: ResumedEvent) {
        counter!("talkback_gateway_resumes_total").increment(1);
        tracing::info!("resumed");
    }

    async fn shard_stage_update(&self, _: Context, event: ShardStageUpdateEvent) {
        let was = event.old == ConnectionStage::Connected;
        let is = event.new == ConnectionStage::Connected;
        let up = match (was, is) {
            (false, true) => self.health.one_more(),
            (true, false) => self.health.one_less(),
            _ => return,
        };
        gauge!("talkback_gateway_shards_up").set(u32::try_from(up).map_or(0.0, f64::from));
        tracing::info!(shard = event.shard_id.0, stage = ?event.new, "gateway");
    }

    async fn message(&self, _: Context, message: Message) {
        self.room.message(&message).await;
    }

    async fn message_delete(&self, _: Context, _: ChannelId, id: MessageId, _: Option<GuildId>) {
        self.room.deleted(id.get()).await;
    }

    async fn message_delete_bulk(
        &self,
        _: Context,
        _: ChannelId,
        ids: Vec<MessageId>,
        _: Option<GuildId>,
    ) {
        for id in ids {
            self.room.deleted(id.get()).await;
        }
    }

    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        match interaction {
            Interaction::Command(command) => {
                counter!("talkback_commands_total", "name" => command.data.name.clone())
                    .increment(1);
                commands::answer(&self.room, &command).await;
            }
            Interaction::Component(component) => buttons::press(&self.room, &component).await,
            _ => {}
        }
    }

    async fn channel_update(&self, _: Context, _: Option<GuildChannel>, channel: GuildChannel) {
        self.room.channels.forget(channel.id.get());
    }

    async fn channel_delete(&self, _: Context, channel: GuildChannel, _: Option<Vec<Message>>) {
        self.gone(channel.id).await;
    }

    async fn thread_delete(
        &self,
        _: Context,
        thread: PartialGuildChannel,
        _: Option<GuildChannel>,
    ) {
        self.gone(thread.id).await;
    }

    async fn guild_create(&self, _: Context, guild: serenity::all::Guild, _: Option<bool>) {
        self.room.sessions.server(&guild).await;
    }

    async fn guild_delete(
        &self,
        _: Context,
        guild: UnavailableGuild,
        _: Option<serenity::all::Guild>,
    ) {
        // Unavailable means an outage; otherwise the bot was removed.
        if guild.unavailable {
            return;
        }
        tracing::info!(guild = guild.id.get(), "removed from a server");
        self.room.sessions.gone(guild.id.get());
        if let Err(error) = self.room.means.store.forget_guild(guild.id.get()).await {
            logged(error);
        }
    }
}

impl Handler {
    async fn gone(&self, channel: ChannelId) {
        self.room.channels.forget(channel.get());
        let store = &self.room.means.store;
        if let Err(error) = store.forget_channel(channel.get(), None).await {
            logged(error);
        }
    }
}
