//! The connection to Discord's gateway: <https://discord.com/developers/docs/events/gateway>.
//!
//! serenity reads an event whole or not at all, logs what it can't read with all that is in it, and
//! spins when a resume breaks at once; its socket can't be had without its models. So frames are
//! read here, raw, and [`decode`](super::decode) makes serenity's types of them. What is said when
//! is [`machine`]'s business, without a socket or a clock; [`shard`] has both.

mod frame;
mod gate;
mod machine;
mod shard;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures_channel::mpsc::UnboundedSender;
use secrecy::SecretString;
use serenity::all::{GatewayIntents, Http};
use serenity::gateway::ShardRunnerMessage;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use frame::Raw;
pub(super) use machine::Lost;
pub(super) use socket::{NotConnected, Socket};

use super::decode::{GatewayBot, Ready};
use super::health::Health;
use gate::Gate;
use net::Cause;

/// Why no shard can go on. Connecting again would end in the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Fatal {
    /// The token is not, or no longer, valid.
    #[error("the token is refused")]
    Token,
    /// The application has not been given the right to what was asked for.
    #[error("an intent is not allowed")]
    Intents,
    /// The number of shards is not right, or something else that this program says.
    #[error("closed with code {0}")]
    Closed(u16),
}

/// Who listens to a shard.
#[async_trait]
pub(super) trait Listener: Send + Sync + 'static {
    /// A session has begun.
    fn ready(&self, shard: Shard, ready: Ready);

    /// A session goes on.
    fn resumed(&self, shard: Shard);

    /// The shard is connected: what goes in here is sent.
    async fn up(&self, shard: Shard, voice: UnboundedSender<ShardRunnerMessage>);

    /// It is not any more.
    async fn down(&self, shard: Shard);

    /// Something has happened. The next is not told before this returns, so what takes long is for
    /// another task.
    async fn event(&self, name: &str, data: Raw);
}

/// One of the connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shard {
    pub(super) index: u32,
    pub(super) count: u32,
}

/// What all shards need.
pub(super) struct Means {
    pub(super) token: SecretString,
    pub(super) http: Arc<Http>,
    pub(super) intents: GatewayIntents,
    pub(super) health: Health,
}

/// Keeps all shards connected until `stop`, or until one can't go on.
pub(super) async fn run(
    means: Means,
    known: &GatewayBot,
    listener: &Arc<impl Listener>,
    stop: &CancellationToken,
) -> Result<(), Fatal> {
    let means = Arc::new(means);
    let gate = Arc::new(Gate::new(Arc::clone(&means.http), known));
    // One that can't go on takes the others with it.
    let stop = stop.child_token();
    let _stop = stop.clone().drop_guard();
    let count = known.shards.max(1);
    means.health.begins(count);
    let mut shards = JoinSet::new();
    for index in 0..count {
        let shard = Shard { index, count };
        let run = shard::run(
            shard,
            known.url.clone(),
            Arc::clone(&means),
            Arc::clone(&gate),
            Arc::clone(listener),
            stop.clone(),
        );
        shards.spawn(run);
    }
    let mut ended = Ok(());
    while let Some(done) = shards.join_next().await {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let cause = Cause::of(&error);
                tracing::error!(%cause, "a shard has broken");
                Err(Fatal::Closed(0))
            }
        };
        if ended.is_ok() && done.is_err() {
            ended = done;
            stop.cancel();
        }
    }
    means.health.ends();
    ended
}
