//! Keeps the bot's shards connected, session after session.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use secrecy::SecretString;
use serenity::all::{GatewayIntents, Http, UserId};
use serenity::gateway::VoiceGatewayManager;
use tokio_util::sync::CancellationToken;

use super::super::api_error::ApiError;
use super::super::decode::GatewayBot;
use super::super::event_handler::EventHandler;
use super::super::gateway::{self, FatalGatewayError};
use super::super::health::BotHealth;
use super::super::rest;
use super::{BotError, BotEvent, INITIAL_BACKOFF, MAX_BACKOFF};
use net::Backoff;

/// What a gateway connection needs.
pub(super) struct GatewayTarget {
    pub(super) token: SecretString,
    pub(super) http: Arc<Http>,
    pub(super) bot_user: UserId,
    pub(super) health: BotHealth,
}

/// Keeps the gateway connected until `stop` is cancelled.
pub(super) async fn run_gateway(
    target: &GatewayTarget,
    handler: &Arc<EventHandler>,
    has_message_content: &mut bool,
    on_event: &(impl Fn(BotEvent) + Sync),
    stop: &CancellationToken,
) -> Result<(), BotError> {
    let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
    loop {
        handler
            .context
            .message_content_enabled
            .store(*has_message_content, Ordering::Relaxed);
        if !*has_message_content {
            on_event(BotEvent::NoMessageContentIntent);
        }
        let started = tokio::time::Instant::now();
        let outcome = run_gateway_session(target, handler, *has_message_content, stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        match outcome {
            Ok(Err(FatalGatewayError::DisallowedIntents)) if *has_message_content => {
                *has_message_content = false;
                continue;
            }
            Ok(Err(FatalGatewayError::InvalidToken)) | Err(ApiError::Unauthorized) => {
                return Err(BotError::TokenRefused);
            }
            Ok(Err(fatal)) => tracing::error!(%fatal, "the gateway is lost"),
            Err(error) => tracing::error!(trouble = %error, "the gateway is lost"),
            Ok(Ok(())) => tracing::error!("the gateway has ended"),
        }
        if started.elapsed() > MAX_BACKOFF {
            backoff.reset();
        }
        let delay = backoff.next_delay();
        on_event(BotEvent::Unreachable(delay));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Runs all shards until one session ends, with the shard count that Discord recommends.
async fn run_gateway_session(
    target: &GatewayTarget,
    handler: &Arc<EventHandler>,
    has_message_content: bool,
    stop: &CancellationToken,
) -> Result<Result<(), FatalGatewayError>, ApiError> {
    let mut intents = GatewayIntents::GUILDS
        | GatewayIntents::GUILD_MESSAGES
        | GatewayIntents::GUILD_VOICE_STATES
        | GatewayIntents::DIRECT_MESSAGES;
    intents.set(GatewayIntents::MESSAGE_CONTENT, has_message_content);
    let gateway_bot: GatewayBot = tokio::select! {
        () = stop.cancelled() => return Ok(Ok(())),
        gateway_bot = rest::get_gateway_bot(&target.http) => gateway_bot?,
    };
    let voice_manager = &handler.voice_manager;
    voice_manager
        .initialise(gateway_bot.shards.max(1), target.bot_user)
        .await;
    let context = gateway::GatewayContext {
        token: target.token.clone(),
        http: Arc::clone(&target.http),
        intents,
        health: target.health.clone(),
    };
    Ok(gateway::run_shards(context, &gateway_bot, handler, stop).await)
}
