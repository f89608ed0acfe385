//! Discord's gateway: one WebSocket per shard that delivers events
//! (<https://discord.com/developers/docs/events/gateway>).
//!
//! serenity's own client is not used: it drops an event with one bad field, logs payloads that it
//! can't decode in full, and busy-loops when a resume fails at once. Payloads are parsed here and
//! [`decode`](super::decode) turns them into serenity's models.
//!
//! [`shard_state`] decides when to connect and what to send, without I/O; [`shard_runner`] drives
//! it with a [`socket`] and a clock.

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

/// Why the shards have to stop: reconnecting would fail in the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FatalGatewayError {
    /// Close code 4004: the token is invalid or was reset.
    #[error("the token is refused")]
    InvalidToken,
    /// Close code 4014: a privileged intent is not enabled for the application. (The voice gateway
    /// uses 4014 for something else, see [`supervisor`](crate::flow::session::supervisor).)
    #[error("an intent is not allowed")]
    DisallowedIntents,
    /// Any other close code after which reconnecting is useless, such as a wrong shard count.
    #[error("closed with code {0}")]
    Closed(u16),
}

/// Receives the events of all shards.
#[async_trait]
pub(super) trait ShardEventHandler: Send + Sync + 'static {
    /// A new session has started.
    fn on_ready(&self, shard: Shard, ready: Ready);

    /// The previous session was resumed.
    fn on_resumed(&self, shard: Shard);

    /// The shard can send: payloads pushed to `voice` go out over its connection.
    async fn on_connected(&self, shard: Shard, voice: UnboundedSender<ShardRunnerMessage>);

    /// The connection that [`on_connected`](Self::on_connected) announced is gone.
    async fn on_disconnected(&self, shard: Shard);

    /// An event arrived. The shard reads its next payload only after this returns, so slow work
    /// belongs in another task.
    async fn on_event(&self, name: &str, data: RawEventData);
}

/// One shard of `count`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shard {
    pub(super) index: u32,
    pub(super) count: u32,
}

/// What all shards share.
pub(super) struct GatewayContext {
    pub(super) token: SecretString,
    pub(super) http: Arc<Http>,
    pub(super) intents: GatewayIntents,
    pub(super) health: BotHealth,
}

/// Keeps all shards connected until `stop`, or until one of them fails for good.
pub(super) async fn run_shards(
    context: GatewayContext,
    gateway_bot: &GatewayBot,
    event_handler: &Arc<impl ShardEventHandler>,
    stop: &CancellationToken,
) -> Result<(), FatalGatewayError> {
    let context = Arc::new(context);
    let identify_limiter = Arc::new(IdentifyLimiter::new(Arc::clone(&context.http), gateway_bot));
    // A shard that fails for good stops the others.
    let stop = stop.child_token();
    let _stop = stop.clone().drop_guard();
    let count = gateway_bot.shards.max(1);
    context.health.set_shard_count(count);
    let mut shards = JoinSet::new();
    for index in 0..count {
        let shard = Shard { index, count };
        let run = shard_runner::run_shard(
            shard,
            gateway_bot.url.clone(),
            Arc::clone(&context),
            Arc::clone(&identify_limiter),
            Arc::clone(event_handler),
            stop.clone(),
        );
        shards.spawn(run);
    }
    let mut outcome = Ok(());
    while let Some(result) = shards.join_next().await {
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                let cause = ErrorCause::from_error(&error);
                tracing::error!(%cause, "a shard task panicked");
                Err(FatalGatewayError::Closed(0))
            }
        };
        if outcome.is_ok() && result.is_err() {
            outcome = result;
            stop.cancel();
        }
    }
    context.health.reset_shards();
    outcome
}
