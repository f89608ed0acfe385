//! Starts the bot, keeps its gateway connection and drains it on shutdown.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serenity::all::{
    ApplicationFlags, CreateAllowedMentions, GatewayIntents, Http, HttpBuilder, LightMethod,
    Request, Route, UserId,
};
use serenity::gateway::VoiceGatewayManager;
use songbird::Songbird;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::api_error::ApiError;
use super::bot_context::BotContext;
use super::cdn::STALL_TIMEOUT;
use super::command_definitions;
use super::decode::{Application, GatewayBot};
use super::discord_api::DiscordApi;
use super::edit_limiter::EditLimiter;
use super::event_handler::{EventHandler, MAX_CONCURRENT_EVENTS, ShardReady};
use super::frontend::DiscordFrontend;
use super::gateway::{self, FatalGatewayError};
use super::global_rate_limiter::GlobalRateLimiter;
use super::guild_cache::GuildCache;
use super::health::BotHealth;
use super::invite;
use super::message_delivery::DirectMessageLimiter;
use super::message_parser::display_name;
use super::rest;
use super::snowflake;
use super::streaming_reply::ReplyContext;
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
use net::{self, NetError};

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
    parts: BotDependencies,
    health: BotHealth,
    tell: impl Fn(BotEvent) + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<(), BotError> {
    let tell = Arc::new(tell);
    let gateway = RestConfig {
        token: parts.token,
        proxy: parts.proxy,
        http_client: parts.http_client,
    };
    let http = Arc::new(gateway.build_http());
    let Some((application, me, name)) = fetch_identity(&http, &*tell, &stop).await? else {
        return Ok(());
    };
    http.set_application_id(application.id);
    let means = Arc::new(ReplyContext {
        discord_api: Arc::new(DiscordApi {
            http: Arc::clone(&http),
            bot_user: me,
            rate_limiter: GlobalRateLimiter::new(gateway.proxy.is_some()),
            dm_limiter: DirectMessageLimiter::default(),
        }),
        edit_limiter: EditLimiter::default(),
        store: parts.store.clone(),
        guild_cache: GuildCache::default(),
        data_handling: parts.data_handling.clone(),
    });
    let front = DiscordFrontend {
        context: Arc::clone(&means),
        download_client: net::download_client(STALL_TIMEOUT)?,
    };
    let admission = Admission::open(
        parts.rules,
        parts.store.clone(),
        Timestamp::now,
        parts.local_pipeline.is_some(),
    )
    .await?;
    let consents = ConsentRegistry::default();
    let workshop = JobRunner {
        pipeline: parts.pipeline,
        local_pipeline: parts.local_pipeline,
        admission: admission.clone(),
        store: parts.store.clone(),
        consents: consents.clone(),
        poison_jobs: PoisonJobIsolator::default(),
        frontend: Arc::new(front),
        clock: Timestamp::now,
    };
    let desk = JobScheduler::new(workshop, parts.queue_limits);
    let found = desk.start().await?;
    if found > 0 {
        tell(BotEvent::JobsResumed(found));
    }
    let writing = consents.run_write_retries(parts.store.clone(), Timestamp::now);
    let _writing = AbortOnDropHandle::new(tokio::spawn(writing));
    let _sweeping =
        AbortOnDropHandle::new(tokio::spawn(sweep_expired(parts.store, parts.retention)));

    let _registering = match register_commands(&http).await {
        Ok(()) => None,
        Err(trouble) => {
            tell(BotEvent::CommandsNotRegistered {
                cause: trouble.to_string(),
                will_retry: matches!(trouble, ApiError::Transient(_)),
            });
            let later = retry_register_commands(Arc::clone(&http), trouble);
            Some(AbortOnDropHandle::new(tokio::spawn(later)))
        }
    };
    let songbird = Songbird::serenity();
    let sessions = VoiceSessions::new(
        Arc::clone(&songbird),
        Arc::clone(&desk),
        Arc::clone(&means),
        parts.voice_settings,
        name.clone(),
    );
    health.set_voice_sessions(&sessions);
    let _tidying = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&sessions).run_recovery_loop()));
    let manager = Arc::new(VoiceManager::new(songbird, Arc::clone(&sessions)));
    let room = Arc::new(BotContext::new(
        Arc::clone(&desk),
        means,
        Arc::clone(&sessions),
    ));
    let (connected, news) = mpsc::channel(64);
    let _announcing = AbortOnDropHandle::new(tokio::spawn(announce_connected(
        news,
        invite::invite_url(application.id.get()),
        health.clone(),
        Arc::clone(&tell),
    )));
    let handler = Arc::new(EventHandler {
        context: Arc::clone(&room),
        voice_manager: manager,
        catch_up_span: parts.catch_up_span,
        shard_ready_tx: connected,
        event_slots: Arc::new(Semaphore::new(MAX_CONCURRENT_EVENTS)),
        bot_name: name,
    });
    let mut content = has_message_content_intent(&application);
    let reached = GatewayTarget {
        token: gateway.token,
        http,
        bot_user: me,
        health,
    };
    let done = run_gateway(&reached, &handler, &mut content, &*tell, &stop).await;
    sessions.shut_down().await;
    desk.shut_down(DRAIN_TIMEOUT).await;
    admission.shut_down(BOOKING_TIMEOUT).await;
    done
}

/// Replaces all commands that Discord has registered for the application.
async fn register_commands(http: &Http) -> Result<(), ApiError> {
    let application_id = http.application_id();
    let application_id =
        application_id.ok_or_else(|| ApiError::Transient("no application".into()))?;
    let commands = serde_json::Value::from(command_definitions::registration_json());
    let request = Request::new(Route::Commands { application_id }, LightMethod::Put)
        .body(Some(commands.to_string().into_bytes()));
    rest::send_request(http, request).await
}

/// Registers the commands once Discord answers again. A rejection is final: the same commands would
/// be rejected again.
async fn retry_register_commands(http: Arc<Http>, mut trouble: ApiError) {
    let mut wait = INITIAL_BACKOFF;
    while let ApiError::Transient(_) = trouble {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(MAX_BACKOFF);
        match register_commands(&http).await {
            Ok(()) => return tracing::info!("the commands are registered"),
            Err(next) => trouble = next,
        }
    }
    tracing::error!(%trouble, "the commands are not registered");
}

/// What a gateway connection needs.
struct GatewayTarget {
    token: SecretString,
    http: Arc<Http>,
    bot_user: UserId,
    health: BotHealth,
}

/// Keeps the gateway connected until `stop` is cancelled.
async fn run_gateway(
    reached: &GatewayTarget,
    handler: &Arc<EventHandler>,
    content: &mut bool,
    tell: &(impl Fn(BotEvent) + Sync),
    stop: &CancellationToken,
) -> Result<(), BotError> {
    let mut wait = INITIAL_BACKOFF;
    loop {
        handler
            .context
            .message_content_enabled
            .store(*content, Ordering::Relaxed);
        if !*content {
            tell(BotEvent::NoMessageContentIntent);
        }
        let started = tokio::time::Instant::now();
        let ended = run_gateway_session(reached, handler, *content, stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        match ended {
            Ok(Err(FatalGatewayError::DisallowedIntents)) if *content => {
                *content = false;
                continue;
            }
            Ok(Err(FatalGatewayError::InvalidToken)) | Err(ApiError::Unauthorized) => {
                return Err(BotError::TokenRefused);
            }
            Ok(Err(fatal)) => tracing::error!(%fatal, "the gateway is lost"),
            Err(trouble) => tracing::error!(%trouble, "the gateway is lost"),
            Ok(Ok(())) => tracing::error!("the gateway has ended"),
        }
        if started.elapsed() > MAX_BACKOFF {
            wait = INITIAL_BACKOFF;
        }
        tell(BotEvent::Unreachable(wait));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(MAX_BACKOFF);
    }
}

/// Runs all shards until one session ends, with the shard count that Discord recommends.
async fn run_gateway_session(
    reached: &GatewayTarget,
    handler: &Arc<EventHandler>,
    content: bool,
    stop: &CancellationToken,
) -> Result<Result<(), FatalGatewayError>, ApiError> {
    let mut intents = GatewayIntents::GUILDS
        | GatewayIntents::GUILD_MESSAGES
        | GatewayIntents::GUILD_VOICE_STATES
        | GatewayIntents::DIRECT_MESSAGES;
    intents.set(GatewayIntents::MESSAGE_CONTENT, content);
    let known: GatewayBot = tokio::select! {
        () = stop.cancelled() => return Ok(Ok(())),
        known = rest::get_gateway_bot(&reached.http) => known?,
    };
    let manager = &handler.voice_manager;
    manager
        .initialise(known.shards.max(1), reached.bot_user)
        .await;
    let means = gateway::GatewayContext {
        token: reached.token.clone(),
        http: Arc::clone(&reached.http),
        intents,
        health: reached.health.clone(),
    };
    Ok(gateway::run_shards(means, &known, handler, stop).await)
}

/// Fetches the application and the bot's own user and name. `None` if `stop` was cancelled first.
async fn fetch_identity(
    http: &Http,
    tell: &(impl Fn(BotEvent) + Sync),
    stop: &CancellationToken,
) -> Result<Option<(Application, UserId, String)>, BotError> {
    let mut wait = INITIAL_BACKOFF;
    loop {
        let introduced = async {
            let (application, _) = rest::get_application(http).await?;
            let me = rest::get_current_user(http).await?;
            let name = display_name(&me, None);
            Ok::<_, ApiError>((application, me.id, name))
        };
        let trouble = match introduced.await {
            Ok(introduced) => return Ok(Some(introduced)),
            Err(trouble) => trouble,
        };
        if matches!(trouble, ApiError::Unauthorized | ApiError::Forbidden(_)) {
            return Err(BotError::TokenRefused);
        }
        tracing::warn!(%trouble, "Discord does not answer");
        tell(BotEvent::Unreachable(wait));
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(MAX_BACKOFF);
    }
}

/// Whether the application has the message content intent.
pub(super) fn has_message_content_intent(application: &Application) -> bool {
    // Unknown flag bits are irrelevant here.
    let flags = application.flags;
    let flags = ApplicationFlags::from_bits_truncate(flags as _);
    flags.intersects(
        ApplicationFlags::GATEWAY_MESSAGE_CONTENT
            | ApplicationFlags::GATEWAY_MESSAGE_CONTENT_LIMITED,
    )
}

/// How to reach the REST API.
pub(super) struct RestConfig {
    pub(super) token: SecretString,
    pub(super) proxy: Option<String>,
    pub(super) http_client: reqwest::Client,
}

impl RestConfig {
    pub(super) fn build_http(&self) -> Http {
        let mut builder = HttpBuilder::new(self.token.expose_secret())
            .client(self.http_client.clone())
            .default_allowed_mentions(CreateAllowedMentions::new());
        if let Some(proxy) = &self.proxy {
            // serenity ignores the proxy as long as its own rate limiter is on.
            builder = builder
                .proxy(proxy.trim_end_matches('/'))
                .ratelimiter_disabled(true);
        }
        builder.build()
    }
}

/// Reports once that all shards are connected.
async fn announce_connected(
    mut news: mpsc::Receiver<ShardReady>,
    invite: String,
    health: BotHealth,
    tell: Arc<impl Fn(BotEvent)>,
) {
    let mut ready: HashMap<u32, usize> = HashMap::new();
    while let Some(connected) = news.recv().await {
        ready.insert(connected.shard, connected.guild_count);
        let all = usize::try_from(connected.shard_count).unwrap_or(usize::MAX);
        if ready.len() >= all {
            let servers = ready.values().sum();
            health.set_bot(&connected.bot_name, servers);
            tell(BotEvent::Connected {
                name: connected.bot_name,
                guild_count: servers,
                invite_url: invite,
            });
            break;
        }
    }
    // Later sessions are only logged; draining the channel keeps it from filling up.
    while news.recv().await.is_some() {}
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
