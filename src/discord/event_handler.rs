//! Dispatches gateway events to their handlers.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_channel::mpsc::UnboundedSender;
use futures_util::FutureExt;
use metrics::counter;
use serde_json::Value;
use serenity::all::{ChannelId, Guild, Message, VoiceState};
use serenity::gateway::{ShardRunnerMessage, VoiceGatewayManager};
use tokio::sync::{Semaphore, mpsc};

use super::bot_context::{BotContext, log_store_error};
use super::catch_up::{self, CatchUpScope};
use super::decode::{self, DecodedInteraction, GuildDelete, Ready, Undecodable, VoiceServerUpdate};
use super::discord_api::OutgoingMessage;
use super::gateway::{RawEventData, Shard, ShardEventHandler};
use super::interaction_responder::InteractionResponder;
use super::voice::VoiceManager;
use super::{button_handler, command_handler};
use crate::flow::job_scheduler::GuildOrChannel;
use crate::ui_text::bot as words;

/// How many events are handled at a time. At the limit, the gateway reader waits.
pub(super) const MAX_CONCURRENT_EVENTS: usize = 10_000;

/// A shard's first Ready event: the bot's name and the number of servers.
#[derive(Clone, Debug)]
pub(super) struct ShardReady {
    pub(super) bot_name: String,
    pub(super) guild_count: usize,
    pub(super) shard: u32,
    pub(super) shard_count: u32,
}

#[derive(Clone)]
pub(super) struct EventHandler {
    pub(super) context: Arc<BotContext>,
    pub(super) voice_manager: Arc<VoiceManager>,
    pub(super) catch_up_span: Duration,
    pub(super) shard_ready_tx: mpsc::Sender<ShardReady>,
    pub(super) event_slots: Arc<Semaphore>,
    /// The bot's name, used if the Ready event has none.
    pub(super) bot_name: String,
}

/// A decoded event that the bot handles.
enum DispatchEvent {
    MessageCreated(Box<Message>),
    MessagesDeleted(Vec<u64>),
    InteractionCreated(DecodedInteraction),
    ChannelUpdated(ChannelId),
    ChannelDeleted(ChannelId),
    GuildCreated(Box<Guild>),
    GuildDeleted(GuildDelete),
    VoiceStateUpdated(Box<VoiceState>),
    VoiceServerUpdated(VoiceServerUpdate),
    Ignored,
}

/// Names of the events that the bot handles.
const HANDLED_EVENTS: [&str; 11] = [
    "MESSAGE_CREATE",
    "MESSAGE_DELETE",
    "MESSAGE_DELETE_BULK",
    "INTERACTION_CREATE",
    "CHANNEL_UPDATE",
    "CHANNEL_DELETE",
    "THREAD_DELETE",
    "GUILD_CREATE",
    "GUILD_DELETE",
    "VOICE_STATE_UPDATE",
    "VOICE_SERVER_UPDATE",
];

impl DispatchEvent {
    fn parse(name: &'static str, data: &Value) -> Result<Self, Undecodable> {
        Ok(match name {
            "MESSAGE_CREATE" => Self::MessageCreated(Box::new(decode::message_create(data)?)),
            "MESSAGE_DELETE" => Self::MessagesDeleted(vec![decode::message_delete(data)?.id.get()]),
            "MESSAGE_DELETE_BULK" => {
                let bulk = decode::message_delete_bulk(data)?;
                Self::MessagesDeleted(bulk.ids.iter().map(|id| id.get()).collect())
            }
            "INTERACTION_CREATE" => Self::InteractionCreated(decode::interaction_create(data)?),
            "CHANNEL_UPDATE" => Self::ChannelUpdated(decode::channel_event(name, data)?.id),
            "CHANNEL_DELETE" | "THREAD_DELETE" => {
                Self::ChannelDeleted(decode::channel_event(name, data)?.id)
            }
            "GUILD_CREATE" => match decode::guild_create(data)? {
                Some(guild) => Self::GuildCreated(Box::new(guild)),
                None => Self::Ignored,
            },
            "GUILD_DELETE" => Self::GuildDeleted(decode::guild_delete(data)?),
            "VOICE_STATE_UPDATE" => {
                Self::VoiceStateUpdated(Box::new(decode::voice_state_update(data)?))
            }
            "VOICE_SERVER_UPDATE" => Self::VoiceServerUpdated(decode::voice_server_update(data)?),
            _ => Self::Ignored,
        })
    }
}

#[async_trait]
impl ShardEventHandler for EventHandler {
    fn on_ready(&self, shard: Shard, ready: Ready) {
        counter!("talkback_gateway_sessions_total").increment(1);
        let guilds = ready.guild_ids();
        tracing::info!(shard = shard.index, guilds = guilds.len(), "connected");
        let name = ready.user.map(|user| user.name);
        let connected = ShardReady {
            bot_name: name.unwrap_or_else(|| self.bot_name.clone()),
            guild_count: guilds.len(),
            shard: shard.index,
            shard_count: shard.count,
        };
        // The receiver stops listening once all shards were announced.
        let _ = self.shard_ready_tx.try_send(connected);
        let handler = self.clone();
        tokio::spawn(async move {
            let scope = CatchUpScope {
                guilds: &guilds,
                includes_direct_messages: shard.index == 0,
                lookback: handler.catch_up_span,
            };
            let shard_id = (shard.index, shard.count);
            tokio::join!(
                handler
                    .context
                    .voice_sessions
                    .on_shard_guilds(shard_id, &guilds),
                catch_up::catch_up(&handler.context, scope),
            );
        });
    }

    fn on_resumed(&self, shard: Shard) {
        counter!("talkback_gateway_resumes_total").increment(1);
        tracing::info!(shard = shard.index, "resumed");
    }

    async fn on_connected(&self, shard: Shard, voice: UnboundedSender<ShardRunnerMessage>) {
        self.voice_manager.register_shard(shard.index, voice).await;
    }

    async fn on_disconnected(&self, shard: Shard) {
        self.voice_manager.deregister_shard(shard.index).await;
    }

    async fn on_event(&self, name: &str, data: RawEventData) {
        let Some(name) = HANDLED_EVENTS.into_iter().find(|known| *known == name) else {
            return;
        };
        // Handled in order: who is in a voice channel, and where its voice server is. GUILD_CREATE
        // carries a server's voice states; applied late, it would undo newer ones.
        if name.starts_with("VOICE_") || name == "GUILD_CREATE" {
            return self.handle_raw(name, &data).await;
        }
        let Ok(permit) = Arc::clone(&self.event_slots).acquire_owned().await else {
            return;
        };
        let handler = self.clone();
        let mut work = Box::pin(async move {
            handler.handle_raw(name, &data).await;
            drop(permit);
        });
        // The first poll runs in order: a user's message must be recorded before the webhook
        // message that repeats it, and the voice states of a server before later changes. The rest
        // runs concurrently.
        let in_order = name.starts_with("GUILD_") || name.starts_with("MESSAGE_");
        let finished = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready()));
        if !in_order || !finished.await {
            tokio::spawn(work);
        }
    }
}

impl EventHandler {
    async fn handle_raw(&self, name: &'static str, data: &RawEventData) {
        let Some(data) = data.parse() else {
            return decode::report_undecodable(name, "(whole)");
        };
        // `parse` has reported what could not be decoded.
        if let Ok(event) = DispatchEvent::parse(name, &data) {
            self.handle_event(event).await;
        }
    }

    async fn handle_event(&self, event: DispatchEvent) {
        match event {
            DispatchEvent::MessageCreated(message) => {
                self.context.handle_message(&message).await;
            }
            DispatchEvent::MessagesDeleted(messages) => {
                for message in messages {
                    self.context.handle_message_deleted(message).await;
                }
            }
            DispatchEvent::InteractionCreated(interaction) => {
                self.handle_interaction(&interaction).await;
            }
            DispatchEvent::ChannelUpdated(channel) => {
                self.context.channel_cache.invalidate(channel.get());
            }
            DispatchEvent::ChannelDeleted(channel) => self.handle_channel_deleted(channel).await,
            DispatchEvent::GuildCreated(guild) => {
                self.context.voice_sessions.on_guild_available(&guild);
            }
            DispatchEvent::GuildDeleted(guild) => self.handle_guild_deleted(guild).await,
            DispatchEvent::VoiceStateUpdated(state) => {
                if let Some(guild) = state.guild_id {
                    self.voice_manager.state_update(guild, &state).await;
                }
            }
            DispatchEvent::VoiceServerUpdated(server) => {
                let (guild, endpoint) = (server.guild_id, &server.endpoint);
                self.voice_manager
                    .server_update(guild, endpoint, &server.token)
                    .await;
            }
            DispatchEvent::Ignored => {}
        }
    }

    async fn handle_interaction(&self, interaction: &DecodedInteraction) {
        let source = match interaction {
            DecodedInteraction::Command(command) => command.id.get(),
            DecodedInteraction::Component(component) => component.id.get(),
            DecodedInteraction::Other => return,
        };
        // A resumed session may deliver it again.
        if !self.context.is_new_interaction(source) {
            return;
        }
        let api = &self.context.reply_context.discord_api;
        let (done, responder) = match interaction {
            DecodedInteraction::Other => return,
            DecodedInteraction::Command(command) => {
                counter!("talkback_commands_total", "name" => command.data.name.clone())
                    .increment(1);
                let answered =
                    AssertUnwindSafe(command_handler::handle_command(&self.context, command));
                let responder = InteractionResponder::for_command(api, command);
                (answered.catch_unwind().await, responder)
            }
            DecodedInteraction::Component(component) => {
                let pressed =
                    AssertUnwindSafe(button_handler::handle_button(&self.context, component));
                let responder = InteractionResponder::for_button(api, component);
                (pressed.catch_unwind().await, responder)
            }
        };
        if done.is_err() {
            tracing::error!(source, "an interaction panicked");
            responder
                .respond_privately(&OutgoingMessage::text(words::INTERNAL_ERROR))
                .await;
        }
    }

    async fn handle_guild_deleted(&self, guild: GuildDelete) {
        // Unavailable means an outage; otherwise the bot was removed.
        if guild.unavailable {
            return;
        }
        self.stop_jobs_in(GuildOrChannel::Guild(guild.id.get()))
            .await;
        self.context
            .voice_sessions
            .on_removed_from_guild(guild.id.get())
            .await;
    }

    async fn stop_jobs_in(&self, scope: GuildOrChannel) {
        if let Err(error) = self.context.scheduler.cancel_all_in(scope).await {
            log_store_error(error);
        }
    }

    async fn handle_channel_deleted(&self, channel: ChannelId) {
        self.context.channel_cache.invalidate(channel.get());
        self.context
            .voice_sessions
            .on_channel_deleted(channel.get())
            .await;
        self.stop_jobs_in(GuildOrChannel::Channel(channel.get()))
            .await;
        let store = &self.context.reply_context.store;
        if let Err(error) = store.forget_channel(channel.get(), None).await {
            log_store_error(error);
        }
    }
}
