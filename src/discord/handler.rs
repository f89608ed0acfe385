//! Hears what happens.

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

use super::catch_up::{self, Missed};
use super::decode::{self, Gone, Interacted, Ready, Undecodable, VoiceServer};
use super::gateway::{Listener, Raw, Shard};
use super::responder::Responder;
use super::room::{Room, logged};
use super::voice::Manager;
use super::wire::Post;
use super::{buttons, commands};
use crate::flow::desk::Place;
use crate::words::bot as words;

/// Events that are worked on at once. While there are so many, the gateway waits.
pub(super) const MAX_AT_ONCE: usize = 10_000;

/// The first time a shard is ready: who the bot is and in how many servers.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) name: String,
    pub(super) guilds: usize,
    pub(super) shard: u32,
    pub(super) shards: u32,
}

#[derive(Clone)]
pub(super) struct Handler {
    pub(super) room: Arc<Room>,
    pub(super) manager: Arc<Manager>,
    pub(super) catch_up: Duration,
    pub(super) connected: mpsc::Sender<Connected>,
    pub(super) at_once: Arc<Semaphore>,
    /// What the bot is called, if the gateway does not say.
    pub(super) name: String,
}

/// An event that something is done about, read.
enum Heard {
    Message(Box<Message>),
    Deleted(Vec<u64>),
    Interacted(Interacted),
    ChannelChanged(ChannelId),
    ChannelGone(ChannelId),
    Guild(Box<Guild>),
    GuildGone(Gone),
    VoiceState(Box<VoiceState>),
    VoiceServer(VoiceServer),
    Nothing,
}

/// Events that something is done about.
const KNOWN: [&str; 11] = [
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

impl Heard {
    fn read(name: &'static str, data: &Value) -> Result<Self, Undecodable> {
        Ok(match name {
            "MESSAGE_CREATE" => Self::Message(Box::new(decode::message_created(data)?)),
            "MESSAGE_DELETE" => Self::Deleted(vec![decode::deleted(data)?.id.get()]),
            "MESSAGE_DELETE_BULK" => {
                let bulk = decode::bulk(data)?;
                Self::Deleted(bulk.ids.iter().map(|id| id.get()).collect())
            }
            "INTERACTION_CREATE" => Self::Interacted(decode::interaction(data)?),
            "CHANNEL_UPDATE" => Self::ChannelChanged(decode::channel(name, data)?.id),
            "CHANNEL_DELETE" | "THREAD_DELETE" => {
                Self::ChannelGone(decode::channel(name, data)?.id)
            }
            "GUILD_CREATE" => match decode::guild(data)? {
                Some(guild) => Self::Guild(Box::new(guild)),
                None => Self::Nothing,
            },
            "GUILD_DELETE" => Self::GuildGone(decode::gone(data)?),
            "VOICE_STATE_UPDATE" => Self::VoiceState(Box::new(decode::voice_state(data)?)),
            "VOICE_SERVER_UPDATE" => Self::VoiceServer(decode::voice_server(data)?),
            _ => Self::Nothing,
        })
    }
}

#[async_trait]
impl Listener for Handler {
    fn ready(&self, shard: Shard, ready: Ready) {
        counter!("talkback_gateway_sessions_total").increment(1);
        let guilds = ready.guilds();
        tracing::info!(shard = shard.index, guilds = guilds.len(), "connected");
        let name = ready.user.map(|user| user.name);
        let connected = Connected {
            name: name.unwrap_or_else(|| self.name.clone()),
            guilds: guilds.len(),
            shard: shard.index,
            shards: shard.count,
        };
        // Nobody listens any more once everything is told.
        let _ = self.connected.try_send(connected);
        let handler = self.clone();
        tokio::spawn(async move {
            let missed = Missed {
                guilds: &guilds,
                direct: shard.index == 0,
                span: handler.catch_up,
            };
            let of = (shard.index, shard.count);
            tokio::join!(
                handler.room.sessions.servers(of, &guilds),
                catch_up::catch_up(&handler.room, missed),
            );
        });
    }

    fn resumed(&self, shard: Shard) {
        counter!("talkback_gateway_resumes_total").increment(1);
        tracing::info!(shard = shard.index, "resumed");
    }

    async fn up(&self, shard: Shard, voice: UnboundedSender<ShardRunnerMessage>) {
        self.manager.register_shard(shard.index, voice).await;
    }

    async fn down(&self, shard: Shard) {
        self.manager.deregister_shard(shard.index).await;
    }

    async fn event(&self, name: &str, data: Raw) {
        let Some(name) = KNOWN.into_iter().find(|known| *known == name) else {
            return;
        };
        // In its order: who is where in a call, and where the call is. A server tells who is where
        // when it comes into sight; told late, that would undo what has happened since.
        if name.starts_with("VOICE_") || name == "GUILD_CREATE" {
            return self.hear(name, &data).await;
        }
        let Ok(permit) = Arc::clone(&self.at_once).acquire_owned().await else {
            return;
        };
        let handler = self.clone();
        let mut work = Box::pin(async move {
            handler.hear(name, &data).await;
            drop(permit);
        });
        // Who is in the calls of a server that comes into sight is known before what changes there
        // afterwards, and what somebody says before a webhook says it again: that is the beginning
        // of what is done about it. The rest takes its time.
        let in_order = name.starts_with("GUILD_") || name.starts_with("MESSAGE_");
        let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready()));
        if !in_order || !begun.await {
            tokio::spawn(work);
        }
    }
}

impl Handler {
    async fn hear(&self, name: &'static str, data: &Raw) {
        let Some(data) = data.read() else {
            return decode::lost(name, "(whole)");
        };
        // What can't be read has been told.
        if let Ok(heard) = Heard::read(name, &data) {
            self.act(heard).await;
        }
    }

    async fn act(&self, heard: Heard) {
        match heard {
            Heard::Message(message) => {
                self.room.message(&message).await;
            }
            Heard::Deleted(messages) => {
                for message in messages {
                    self.room.deleted(message).await;
                }
            }
            Heard::Interacted(interacted) => self.interacted(&interacted).await,
            Heard::ChannelChanged(channel) => self.room.channels.forget(channel.get()),
            Heard::ChannelGone(channel) => self.gone(channel).await,
            Heard::Guild(guild) => self.room.sessions.server(&guild),
            Heard::GuildGone(guild) => self.guild_gone(guild).await,
            Heard::VoiceState(state) => {
                if let Some(guild) = state.guild_id {
                    self.manager.state_update(guild, &state).await;
                }
            }
            Heard::VoiceServer(server) => {
                let (guild, endpoint) = (server.guild_id, &server.endpoint);
                self.manager
                    .server_update(guild, endpoint, &server.token)
                    .await;
            }
            Heard::Nothing => {}
        }
    }

    async fn interacted(&self, interacted: &Interacted) {
        let source = match interacted {
            Interacted::Command(command) => command.id.get(),
            Interacted::Component(component) => component.id.get(),
            Interacted::Other => return,
        };
        // A gateway that was resumed may tell of it again.
        if !self.room.is_new(source) {
            return;
        }
        let wire = &self.room.means.wire;
        let (done, responder) = match interacted {
            Interacted::Other => return,
            Interacted::Command(command) => {
                counter!("talkback_commands_total", "name" => command.data.name.clone())
                    .increment(1);
                let answered = AssertUnwindSafe(commands::answer(&self.room, command));
                let responder = Responder::of_command(wire, command);
                (answered.catch_unwind().await, responder)
            }
            Interacted::Component(component) => {
                let pressed = AssertUnwindSafe(buttons::press(&self.room, component));
                let responder = Responder::of_button(wire, component);
                (pressed.catch_unwind().await, responder)
            }
        };
        if done.is_err() {
            tracing::error!(source, "an interaction panicked");
            responder.say(&Post::text(words::STUMBLED)).await;
        }
    }

    async fn guild_gone(&self, guild: Gone) {
        // Unavailable means an outage; otherwise the bot was removed.
        if guild.unavailable {
            return;
        }
        self.stop(Place::Server(guild.id.get())).await;
        self.room.sessions.sent_away(guild.id.get()).await;
    }

    async fn stop(&self, gone: Place) {
        if let Err(error) = self.room.desk.stop_all_in(gone).await {
            logged(error);
        }
    }

    async fn gone(&self, channel: ChannelId) {
        self.room.channels.forget(channel.get());
        self.room.sessions.channel_gone(channel.get()).await;
        self.stop(Place::Channel(channel.get())).await;
        let store = &self.room.means.store;
        if let Err(error) = store.forget_channel(channel.get(), None).await {
            logged(error);
        }
    }
}
