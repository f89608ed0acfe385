//! Starts the bot, keeps its gateway connection and drains it on shutdown.

mod command_registration;
mod gateway_loop;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serenity::all::{Http, UserId};
use songbird::Songbird;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::command_registration::{register_commands, retry_register_commands};
use self::gateway_loop::{GatewayTarget, run_gateway};
use super::api_error::ApiError;
use super::bot_context::BotContext;
use super::cdn::STALL_TIMEOUT;
use super::decode::Application;
use super::discord_api::DiscordApi;
use super::dm_limiter::DirectMessageLimiter;
use super::edit_limiter::EditLimiter;
use super::event_handler::{EventHandler, MAX_CONCURRENT_EVENTS, ShardReady};
use super::frontend::DiscordFrontend;
use super::global_rate_limiter::GlobalRateLimiter;
use super::guild_cache::GuildCache;
use super::health::BotHealth;
use super::invite;
use super::message_parser::display_name;
use super::reply_context::ReplyContext;
use super::rest::{self, RestConfig, has_message_content_intent};
use super::snowflake;
use super::voice::{VoiceManager, VoiceSessions, VoiceSettings};
use crate::flow::Pipeline;
use crate::flow::admission::Admission;
use crate::flow::consent::ConsentRegistry;
use crate::flow::fair_queue::QueueLimits;
use crate::flow::job_runner::JobRunner;
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::poison_jobs::PoisonJobIsolator;
use crate::flow::usage_rules::UsageRules;
use crate::store::{CATCH_UP_WINDOW, Store, StoreError, Timestamp};
use crate::ui_text::bot::DataHandling;
use net::{self, Backoff, NetError};

/// How long running jobs may continue once shutdown begins.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long streams may take to end, and then how long booking their usage may take.
const BOOKING_TIMEOUT: Duration = Duration::from_secs(4);

/// Delay between attempts to reach Discord; it doubles. Discord allows only a thousand session
/// starts a day, hence the long maximum.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Interval between deletions of expired data.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);

/// Everything [`run`] needs.
pub struct BotDependencies {
    /// The bot's token.
    pub token: SecretString,
    /// Base URL of a REST proxy that does the rate limiting.
    pub proxy: Option<String>,
    /// HTTP client for the REST API.
    pub http_client: reqwest::Client,
    /// The engines that transcribe, answer and speak.
    pub pipeline: Pipeline,
    /// Engines on this machine, used when a spending cap is reached and they are allowed to stand
    /// in.
    pub local_pipeline: Option<Pipeline>,
    /// What members may request, and how much of it.
    pub rules: UsageRules,
    /// How many jobs may wait and run.
    pub queue_limits: QueueLimits,
    /// The ledger.
    pub store: Store,
    /// How long the ledger keeps what was said.
    pub retention: Duration,
    /// How far back to look for missed voice notes after connecting.
    pub catch_up_span: Duration,
    /// What users are told about the handling of their data.
    pub data_handling: DataHandling,
    /// Settings of voice sessions.
    pub voice_settings: VoiceSettings,
}

/// Something the operator should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BotEvent {
    /// Jobs that an earlier process left unfinished were resumed.
    JobsResumed(usize),
    /// Discord can't be reached; the next attempt is after this delay.
    Unreachable(Duration),
    /// The commands could not be registered. The ones registered before keep working.
    CommandsNotRegistered {
        /// Why Discord did not take them.
        cause: String,
        /// Whether registration is tried again.
        will_retry: bool,
    },
    /// The bot may not read message content in servers, so voice notes there are not answered
    /// unless it is mentioned.
    NoMessageContentIntent,
    /// All shards are connected.
    Connected {
        /// The bot's display name.
        name: String,
        /// How many servers it is in.
        guild_count: usize,
        /// Link that adds the bot to another server.
        invite_url: String,
    },
}

/// Why the bot can't run.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The token is invalid or was revoked.
    #[error("the token is refused")]
    TokenRefused,
    /// The HTTP client could not be built.
    #[error("client: {0}")]
    Client(#[from] NetError),
    /// The ledger failed.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}

/// Runs the bot until `stop` is cancelled, then drains it.
///
/// # Errors
///
/// See [`BotError`]. Failures that may pass are retried instead.
pub async fn run(
    dependencies: BotDependencies,
    health: BotHealth,
    on_event: impl Fn(BotEvent) + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<(), BotError> {
    let on_event = Arc::new(on_event);
    let rest_config = RestConfig {
        token: dependencies.token,
        proxy: dependencies.proxy,
        http_client: dependencies.http_client,
    };
    let http = Arc::new(rest_config.build_http());
    let Some((application, bot_user, name)) = fetch_identity(&http, &*on_event, &stop).await?
    else {
        return Ok(());
    };
    http.set_application_id(application.id);
    let reply_context = Arc::new(ReplyContext {
        discord_api: Arc::new(DiscordApi {
            http: Arc::clone(&http),
            bot_user,
            rate_limiter: GlobalRateLimiter::new(rest_config.proxy.is_some()),
            dm_limiter: DirectMessageLimiter::default(),
        }),
        edit_limiter: EditLimiter::default(),
        store: dependencies.store.clone(),
        guild_cache: GuildCache::default(),
        data_handling: dependencies.data_handling.clone(),
    });
    let frontend = DiscordFrontend {
        context: Arc::clone(&reply_context),
        download_client: net::download_client(STALL_TIMEOUT)?,
    };
    let admission = Admission::open(
        dependencies.rules,
        dependencies.store.clone(),
        Timestamp::now,
        dependencies.local_pipeline.is_some(),
    )
    .await?;
    let consents = ConsentRegistry::default();
    let runner = JobRunner {
        pipeline: dependencies.pipeline,
        local_pipeline: dependencies.local_pipeline,
        admission: admission.clone(),
        store: dependencies.store.clone(),
        consents: consents.clone(),
        poison_jobs: PoisonJobIsolator::default(),
        frontend: Arc::new(frontend),
        clock: Timestamp::now,
    };
    let scheduler = JobScheduler::new(runner, dependencies.queue_limits);
    let resumed = scheduler.start().await?;
    if resumed > 0 {
        on_event(BotEvent::JobsResumed(resumed));
    }
    let consent_writes = consents.run_write_retries(dependencies.store.clone(), Timestamp::now);
    let _consent_writes = AbortOnDropHandle::new(tokio::spawn(consent_writes));
    let _sweep = AbortOnDropHandle::new(tokio::spawn(sweep_expired(
        dependencies.store,
        dependencies.retention,
    )));

    let _registration = match register_commands(&http).await {
        Ok(()) => None,
        Err(error) => {
            on_event(BotEvent::CommandsNotRegistered {
                cause: error.to_string(),
                will_retry: matches!(error, ApiError::Transient(_)),
            });
            let retry = retry_register_commands(Arc::clone(&http), error);
            Some(AbortOnDropHandle::new(tokio::spawn(retry)))
        }
    };
    let songbird = Songbird::serenity();
    let sessions = VoiceSessions::new(
        Arc::clone(&songbird),
        Arc::clone(&scheduler),
        Arc::clone(&reply_context),
        dependencies.voice_settings,
        name.clone(),
    );
    health.set_voice_sessions(&sessions);
    let _voice_recovery =
        AbortOnDropHandle::new(tokio::spawn(Arc::clone(&sessions).run_recovery_loop()));
    let voice_manager = Arc::new(VoiceManager::new(songbird, Arc::clone(&sessions)));
    let context = Arc::new(BotContext::new(
        Arc::clone(&scheduler),
        reply_context,
        Arc::clone(&sessions),
    ));
    let (shard_ready_tx, shard_ready_rx) = mpsc::channel(64);
    let _announcement = AbortOnDropHandle::new(tokio::spawn(announce_connected(
        shard_ready_rx,
        invite::invite_url(application.id.get()),
        health.clone(),
        Arc::clone(&on_event),
    )));
    let handler = Arc::new(EventHandler {
        context: Arc::clone(&context),
        voice_manager,
        catch_up_span: dependencies.catch_up_span,
        shard_ready_tx,
        event_slots: Arc::new(Semaphore::new(MAX_CONCURRENT_EVENTS)),
        bot_name: name,
    });
    let mut has_message_content = has_message_content_intent(&application);
    let target = GatewayTarget {
        token: rest_config.token,
        http,
        bot_user,
        health,
    };
    let result = run_gateway(
        &target,
        &handler,
        &mut has_message_content,
        &*on_event,
        &stop,
    )
    .await;
    sessions.shut_down().await;
    scheduler.shut_down(DRAIN_TIMEOUT).await;
    admission.shut_down(BOOKING_TIMEOUT).await;
    result
}

/// Fetches the application and the bot's own user and name. `None` if `stop` was cancelled first.
async fn fetch_identity(
    http: &Http,
    on_event: &(impl Fn(BotEvent) + Sync),
    stop: &CancellationToken,
) -> Result<Option<(Application, UserId, String)>, BotError> {
    let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
    loop {
        let identity = async {
            let (application, _) = rest::get_application(http).await?;
            let bot_user = rest::get_current_user(http).await?;
            let name = display_name(&bot_user, None);
            Ok::<_, ApiError>((application, bot_user.id, name))
        };
        let error = match identity.await {
            Ok(identity) => return Ok(Some(identity)),
            Err(error) => error,
        };
        if matches!(error, ApiError::Unauthorized | ApiError::Forbidden(_)) {
            return Err(BotError::TokenRefused);
        }
        tracing::warn!(trouble = %error, "Discord does not answer");
        let delay = backoff.next_delay();
        on_event(BotEvent::Unreachable(delay));
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Reports once that all shards are connected.
async fn announce_connected(
    mut shard_ready_rx: mpsc::Receiver<ShardReady>,
    invite_url: String,
    health: BotHealth,
    on_event: Arc<impl Fn(BotEvent)>,
) {
    let mut ready: HashMap<u32, usize> = HashMap::new();
    while let Some(shard_ready) = shard_ready_rx.recv().await {
        ready.insert(shard_ready.shard, shard_ready.guild_count);
        let all = usize::try_from(shard_ready.shard_count).unwrap_or(usize::MAX);
        if ready.len() >= all {
            let guild_count = ready.values().sum();
            health.set_bot(&shard_ready.bot_name, guild_count);
            on_event(BotEvent::Connected {
                name: shard_ready.bot_name,
                guild_count,
                invite_url,
            });
            break;
        }
    }
    // Later sessions are only logged; draining the channel keeps it from filling up.
    while shard_ready_rx.recv().await.is_some() {}
}

/// Deletes expired data, forever.
async fn sweep_expired(store: Store, retention: Duration) {
    loop {
        match store.delete_expired(Timestamp::now(), retention).await {
            Ok(forgotten) => tracing::debug!(?forgotten, "swept"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "nothing could be swept"
            ),
        }
        let oldest = snowflake::smallest_id_from(CATCH_UP_WINDOW);
        if let Err(error) = store.prune_withdrawn(oldest).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "what was withdrawn is still known");
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}
