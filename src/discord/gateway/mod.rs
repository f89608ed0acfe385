//! The connection to Discord's gateway: <https://discord.com/developers/docs/events/gateway>.
//!
//! serenity reads an event whole or not at all, logs what it can't read with all that is in it, and
//! spins when a resume breaks at once; its socket can't be had without its models. So frames are
//! read here, raw, and [`decode`](super::decode) makes serenity's types of them. What is said when
//! is [`machine`]'s business, without a socket or a clock; [`shard`] has both.

mod identify_limiter;
mod payload;
mod shard_runner;
mod shard_state;
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

pub(super) use payload::RawEventData;
pub(super) use shard_state::GatewayDisconnect;
pub(super) use socket::{GatewayConnectError, GatewaySocket};

use super::decode::{GatewayBot, Ready};
use super::health::BotHealth;
use identify_limiter::IdentifyLimiter;
use net::ErrorCause;

/// Why no shard can go on. Connecting again would end in the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FatalGatewayError {
    /// The token is not, or no longer, valid.
    #[error("the token is refused")]
    InvalidToken,
    /// The application has not been given the right to what was asked for.
    #[error("an intent is not allowed")]
    DisallowedIntents,
    /// The number of shards is not right, or something else that this program says.
    #[error("closed with code {0}")]
    Closed(u16),
}

/// Who listens to a shard.
#[async_trait]
pub(super) trait ShardEventHandler: Send + Sync + 'static {
    /// A session has begun.
    fn on_ready(&self, shard: Shard, ready: Ready);

    /// A session goes on.
    fn on_resumed(&self, shard: Shard);

    /// The shard is connected: what goes in here is sent.
    async fn on_connected(&self, shard: Shard, voice: UnboundedSender<ShardRunnerMessage>);

    /// It is not any more.
    async fn on_disconnected(&self, shard: Shard);

    /// Something has happened. The next is not told before this returns, so what takes long is for
    /// another task.
    async fn on_event(&self, name: &str, data: RawEventData);
}

/// One of the connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shard {
    pub(super) index: u32,
    pub(super) count: u32,
}

/// What all shards need.
pub(super) struct GatewayContext {
    pub(super) token: SecretString,
    pub(super) http: Arc<Http>,
    pub(super) intents: GatewayIntents,
    pub(super) health: BotHealth,
}

/// Keeps all shards connected until `stop`, or until one can't go on.
pub(super) async fn run_shards(
    means: GatewayContext,
    known: &GatewayBot,
    listener: &Arc<impl ShardEventHandler>,
    stop: &CancellationToken,
) -> Result<(), FatalGatewayError> {
    let means = Arc::new(means);
    let gate = Arc::new(IdentifyLimiter::new(Arc::clone(&means.http), known));
    // One that can't go on takes the others with it.
    let stop = stop.child_token();
    let _stop = stop.clone().drop_guard();
    let count = known.shards.max(1);
    means.health.set_shard_count(count);
    let mut shards = JoinSet::new();
    for index in 0..count {
        let shard = Shard { index, count };
        let run = shard_runner::run_shard(
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
                let cause = ErrorCause::from_error(&error);
                tracing::error!(%cause, "a shard has broken");
                Err(FatalGatewayError::Closed(0))
            }
        };
        if ended.is_ok() && done.is_err() {
            ended = done;
            stop.cancel();
        }
    }
    means.health.reset_shards();
    ended
}
