//! Connects, works, and drains.

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

use super::catalogue;
use super::cdn::STALL;
use super::decode::{Application, GatewayBot};
use super::front::DiscordFront;
use super::gateway::{self, Fatal};
use super::handler::{Connected, Handler, MAX_AT_ONCE};
use super::health::Health;
use super::intake::name_of;
use super::invite;
use super::pace::Pace;
use super::parcel::Asides;
use super::reply::Means;
use super::rest;
use super::room::Room;
use super::servers::Servers;
use super::snowflake;
use super::throttle::Throttle;
use super::trouble::Trouble;
use super::voice::{Manager, Sessions, VoiceSettings};
use super::wire::Wire;
use crate::flow::Pipeline;
use crate::flow::admission::Admission;
use crate::flow::consent::Consents;
use crate::flow::desk::Desk;
use crate::flow::queue::QueueLimits;
use crate::flow::rules::Rules;
use crate::flow::suspects::Suspects;
use crate::flow::work::Workshop;
use crate::store::{READ_BACK, Store, StoreError, Timestamp};
use crate::words::bot::Practice;
use net::{self, NetError};

/// How long running work may go on once the process is asked to end.
const DRAIN: Duration = Duration::from_secs(10);

/// How long streams may take to end, and then what is paid to be booked.
const LAST_BOOKINGS: Duration = Duration::from_secs(4);

/// Between two tries to reach Discord, doubling. A thousand sessions a day are all that Discord
/// allows, so the longest is long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Between two looks for what is older than it may be.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// What the bot is made of.
pub struct Parts {
    /// Its token.
    pub token: SecretString,
    /// A proxy for the REST API that does the rate limiting.
    pub proxy: Option<String>,
    /// The client for the REST API.
    pub http: reqwest::Client,
    /// The engines.
    pub pipeline: Pipeline,
    /// The engines of this machine, where they may stand in at a cap.
    pub local: Option<Pipeline>,
    /// What members may ask for.
    pub rules: Rules,
    /// How much may wait and run.
    pub queue: QueueLimits,
    /// The ledger.
    pub store: Store,
    /// How long it keeps words.
    pub retention: Duration,
    /// How far back missed notes are looked for.
    pub catch_up: Duration,
    /// What people are told about it.
    pub practice: Practice,
    /// How voice sessions are held.
    pub voice: VoiceSettings,
}

/// What an operator is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Work that an earlier process left has been taken up.
    TakenUp(usize),
    /// Discord can't be reached; it is tried again after this time.
    Unreachable(Duration),
    /// The commands could not be registered. The old ones go on working.
    CommandsNotRegistered {
        /// Why not.
        cause: String,
        /// It is tried again.
        again: bool,
    },
    /// The bot may not read messages in servers: notes there are not answered by themselves.
    NoContent,
    /// All shards are connected.
    Connected {
        /// The bot's name.
        name: String,
        /// How many servers it is in.
        servers: usize,
        /// Where it can be added to more.
        invite: String,
    },
}

/// Why the bot can't run.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The token is not, or no longer, valid.
    #[error("the token is refused")]
    TokenRefused,
    /// There is no HTTP client.
    #[error("client: {0}")]
    Client(#[from] NetError),
    /// The ledger.
    #[error("ledger: {0}")]
    Store(#[from] StoreError),
}

/// Runs the bot until `stop`, then lets what runs come to its end.
///
/// # Errors
///
/// See [`BotError`]. What may get better by itself is waited for.
pub async fn run(
    parts: Parts,
    health: Health,
    tell: impl Fn(Event) + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<(), BotError> {
    let tell = Arc::new(tell);
    let gateway = Gateway {
        token: parts.token,
        proxy: parts.proxy,
        client: parts.http,
    };
    let http = Arc::new(gateway.rest());
    let Some((application, me, name)) = introduced(&http, &*tell, &stop).await? else {
        return Ok(());
    };
    http.set_application_id(application.id);
    let means = Arc::new(Means {
        wire: Arc::new(Wire {
            http: Arc::clone(&http),
            me,
            throttle: Throttle::new(gateway.proxy.is_some()),
            asides: Asides::default(),
        }),
        pace: Pace::default(),
        store: parts.store.clone(),
        servers: Servers::default(),
        practice: parts.practice.clone(),
    });
    let front = DiscordFront {
        means: Arc::clone(&means),
        downloads: net::download_client(STALL)?,
    };
    let admission = Admission::open(
        parts.rules,
        parts.store.clone(),
        Timestamp::now,
        parts.local.is_some(),
    )
    .await?;
    let consents = Consents::default();
    let workshop = Workshop {
        pipeline: parts.pipeline,
        local: parts.local,
        admission: admission.clone(),
        store: parts.store.clone(),
        consents: consents.clone(),
        suspects: Suspects::default(),
        front: Arc::new(front),
        clock: Timestamp::now,
    };
    let desk = Desk::new(workshop, parts.queue);
    let found = desk.open().await?;
    if found > 0 {
        tell(Event::TakenUp(found));
    }
    let writing = consents.keep_writing(parts.store.clone(), Timestamp::now);
    let _writing = AbortOnDropHandle::new(tokio::spawn(writing));
    let _sweeping = AbortOnDropHandle::new(tokio::spawn(sweep(parts.store, parts.retention)));

    let _registering = match register(&http).await {
        Ok(()) => None,
        Err(trouble) => {
            tell(Event::CommandsNotRegistered {
                cause: trouble.to_string(),
                again: matches!(trouble, Trouble::Later(_)),
            });
            let later = register_later(Arc::clone(&http), trouble);
            Some(AbortOnDropHandle::new(tokio::spawn(later)))
        }
    };
    let songbird = Songbird::serenity();
    let sessions = Sessions::new(
        Arc::clone(&songbird),
        Arc::clone(&desk),
        Arc::clone(&means),
        parts.voice,
        name.clone(),
    );
    health.holds(&sessions);
    let _tidying = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&sessions).tidy()));
    let manager = Arc::new(Manager::new(songbird, Arc::clone(&sessions)));
    let room = Arc::new(Room::new(Arc::clone(&desk), means, Arc::clone(&sessions)));
    let (connected, news) = mpsc::channel(64);
    let _announcing = AbortOnDropHandle::new(tokio::spawn(announce(
        news,
        invite::link(application.id.get()),
        health.clone(),
        Arc::clone(&tell),
    )));
    let handler = Arc::new(Handler {
        room: Arc::clone(&room),
        manager,
        catch_up: parts.catch_up,
        connected,
        at_once: Arc::new(Semaphore::new(MAX_AT_ONCE)),
        name,
    });
    let mut content = may_read(&application);
    let reached = Reached {
        token: gateway.token,
        http,
        me,
        health,
    };
    let done = listen(&reached, &handler, &mut content, &*tell, &stop).await;
    sessions.close().await;
    desk.close(DRAIN).await;
    admission.close(LAST_BOOKINGS).await;
    done
}

/// Tells Discord our commands, in place of all that it knew.
async fn register(http: &Http) -> Result<(), Trouble> {
    let application_id = http.application_id();
    let application_id = application_id.ok_or_else(|| Trouble::Later("no application".into()))?;
    let commands = serde_json::Value::from(catalogue::registration());
    let request = Request::new(Route::Commands { application_id }, LightMethod::Put)
        .body(Some(commands.to_string().into_bytes()));
    rest::tell(http, request).await
}

/// Registers the commands once Discord is well again. What it refuses, it would refuse again.
async fn register_later(http: Arc<Http>, mut trouble: Trouble) {
    let mut wait = FIRST_WAIT;
    while let Trouble::Later(_) = trouble {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        match register(&http).await {
            Ok(()) => return tracing::info!("the commands are registered"),
            Err(next) => trouble = next,
        }
    }
    tracing::error!(%trouble, "the commands are not registered");
}

/// How the gateway is come to.
struct Reached {
    token: SecretString,
    http: Arc<Http>,
    me: UserId,
    health: Health,
}

/// Keeps the connection to the gateway until `stop`.
async fn listen(
    reached: &Reached,
    handler: &Arc<Handler>,
    content: &mut bool,
    tell: &(impl Fn(Event) + Sync),
    stop: &CancellationToken,
) -> Result<(), BotError> {
    let mut wait = FIRST_WAIT;
    loop {
        handler
            .room
            .reads_content
            .store(*content, Ordering::Relaxed);
        if !*content {
            tell(Event::NoContent);
        }
        let started = tokio::time::Instant::now();
        let ended = session(reached, handler, *content, stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        match ended {
            Ok(Err(Fatal::Intents)) if *content => {
                *content = false;
                continue;
            }
            Ok(Err(Fatal::Token)) | Err(Trouble::Unauthorized) => {
                return Err(BotError::TokenRefused);
            }
            Ok(Err(fatal)) => tracing::error!(%fatal, "the gateway is lost"),
            Err(trouble) => tracing::error!(%trouble, "the gateway is lost"),
            Ok(Ok(())) => tracing::error!("the gateway has ended"),
        }
        if started.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        tell(Event::Unreachable(wait));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One life of all shards, as many as Discord recommends.
async fn session(
    reached: &Reached,
    handler: &Arc<Handler>,
    content: bool,
    stop: &CancellationToken,
) -> Result<Result<(), Fatal>, Trouble> {
    let mut intents = GatewayIntents::GUILDS
        | GatewayIntents::GUILD_MESSAGES
        | GatewayIntents::GUILD_VOICE_STATES
        | GatewayIntents::DIRECT_MESSAGES;
    intents.set(GatewayIntents::MESSAGE_CONTENT, content);
    let known: GatewayBot = tokio::select! {
        () = stop.cancelled() => return Ok(Ok(())),
        known = rest::gateway_bot(&reached.http) => known?,
    };
    let manager = &handler.manager;
    manager.initialise(known.shards.max(1), reached.me).await;
    let means = gateway::Means {
        token: reached.token.clone(),
        http: Arc::clone(&reached.http),
        intents,
        health: reached.health.clone(),
    };
    Ok(gateway::run(means, &known, handler, stop).await)
}

/// The application, and the bot's own user with its name. None if `stop` came first.
async fn introduced(
    http: &Http,
    tell: &(impl Fn(Event) + Sync),
    stop: &CancellationToken,
) -> Result<Option<(Application, UserId, String)>, BotError> {
    let mut wait = FIRST_WAIT;
    loop {
        let introduced = async {
            let (application, _) = rest::application(http).await?;
            let me = rest::myself(http).await?;
            let name = name_of(&me, None);
            Ok::<_, Trouble>((application, me.id, name))
        };
        let trouble = match introduced.await {
            Ok(introduced) => return Ok(Some(introduced)),
            Err(trouble) => trouble,
        };
        if matches!(trouble, Trouble::Unauthorized | Trouble::Forbidden(_)) {
            return Err(BotError::TokenRefused);
        }
        tracing::warn!(%trouble, "Discord does not answer");
        tell(Event::Unreachable(wait));
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether the application has been given the right to read messages in servers.
pub(super) fn may_read(application: &Application) -> bool {
    // Flags that are not known here say nothing about it.
    let flags = application.flags;
    let flags = ApplicationFlags::from_bits_truncate(flags as _);
    flags.intersects(
        ApplicationFlags::GATEWAY_MESSAGE_CONTENT
            | ApplicationFlags::GATEWAY_MESSAGE_CONTENT_LIMITED,
    )
}

/// How Discord is reached.
pub(super) struct Gateway {
    pub(super) token: SecretString,
    pub(super) proxy: Option<String>,
    pub(super) client: reqwest::Client,
}

impl Gateway {
    pub(super) fn rest(&self) -> Http {
        let mut builder = HttpBuilder::new(self.token.expose_secret())
            .client(self.client.clone())
            .default_allowed_mentions(CreateAllowedMentions::new());
        if let Some(proxy) = &self.proxy {
            // The library leaves the proxy out as long as it limits the rate itself.
            builder = builder
                .proxy(proxy.trim_end_matches('/'))
                .ratelimiter_disabled(true);
        }
        builder.build()
    }
}

/// Says once that all shards are there.
async fn announce(
    mut news: mpsc::Receiver<Connected>,
    invite: String,
    health: Health,
    tell: Arc<impl Fn(Event)>,
) {
    let mut ready: HashMap<u32, usize> = HashMap::new();
    while let Some(connected) = news.recv().await {
        ready.insert(connected.shard, connected.guilds);
        let all = usize::try_from(connected.shards).unwrap_or(usize::MAX);
        if ready.len() >= all {
            let servers = ready.values().sum();
            health.is_called(&connected.name, servers);
            tell(Event::Connected {
                name: connected.name,
                servers,
                invite,
            });
            break;
        }
    }
    // Later sessions are in the log; the channel is emptied so that it never fills.
    while news.recv().await.is_some() {}
}

/// Deletes what is older than it may be.
async fn sweep(store: Store, retention: Duration) {
    loop {
        match store.sweep(Timestamp::now(), retention).await {
            Ok(forgotten) => tracing::debug!(?forgotten, "swept"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "nothing could be swept"
            ),
        }
        let oldest = snowflake::before(READ_BACK);
        if let Err(error) = store.expire_withdrawn(oldest).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "what was withdrawn is still known");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}
