//! How the bot does, over HTTP, for whoever operates it. Nothing that was said is in it.
//!
//! `/healthz` is 200 with `ok` while all shards are connected and the ledger answers, else 503 with
//! what is wrong. `/metrics` is what Prometheus reads. `/` is a page that shows what `/status.json`
//! says. Who may see it is [`Site`]'s business.

mod metrics;
mod numbers;
mod status;

pub use metrics::{Kind, METRICS, Metric};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio_util::task::AbortOnDropHandle;

use crate::app::Providers;
use crate::discord::health::Health;
use crate::flow::rules::Rules;
use crate::store::{Scope, Store};
use crate::web::{STATUS, Site};

/// The longest the ledger may take to answer.
const LEDGER_LIMIT: Duration = Duration::from_secs(2);

/// Shards that are away of which each is told.
const MAX_AWAY: usize = 50;

/// Between two cleanings of old samples.
const UPKEEP: Duration = Duration::from_secs(5);

/// The server; dropping it ends it.
pub struct Monitor {
    site: Site,
    _upkeep: AbortOnDropHandle<()>,
}

/// What is looked at.
#[derive(Clone)]
pub struct Watched {
    /// The gateway and the sessions.
    pub health: Health,
    /// The ledger.
    pub store: Store,
    /// The providers.
    pub providers: Providers,
    /// What members may ask for, and so what the day's limits are.
    pub rules: Rules,
    /// The model that answers, as people are told.
    pub model: String,
}

struct Sources {
    watched: Watched,
    metrics: PrometheusHandle,
    started: Instant,
}

impl Monitor {
    /// Begins to count, and serves at `address`, to whoever knows the token or without one to this
    /// machine.
    ///
    /// # Errors
    ///
    /// If the address can't be had.
    pub async fn open(
        address: SocketAddr,
        token: Option<&SecretString>,
        watched: Watched,
    ) -> std::io::Result<Self> {
        let metrics = metrics::recorder().map_err(std::io::Error::other)?;
        let upkeep = metrics.clone();
        let sources = Sources {
            watched,
            metrics,
            started: Instant::now(),
        };
        let mut routes = Router::new()
            .route("/healthz", get(healthz))
            .route("/metrics", get(render))
            .route("/status.json", get(status::status));
        for asset in STATUS {
            routes = routes.route(asset.path, get(async move || asset));
        }
        let site = Site::open(address, token, routes.with_state(Arc::new(sources))).await?;
        let upkeep = tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self {
            site,
            _upkeep: AbortOnDropHandle::new(upkeep),
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.site.address()
    }
}

async fn healthz(State(sources): State<Arc<Sources>>) -> (StatusCode, String) {
    let watched = &sources.watched;
    let (up, shards) = watched.health.shards();
    let ledger = tokio::time::timeout(LEDGER_LIMIT, watched.store.used(0, Scope::Everyone)).await;
    let mut wrong = Vec::new();
    if shards == 0 || up < shards {
        wrong.push(format!("gateway: {up} of {shards} shards connected"));
    }
    for away in watched.health.away().iter().take(MAX_AWAY) {
        wrong.push(format!(
            "gateway: shard {} away for {} s, {} tries, the next in {} s",
            away.shard,
            away.since.as_secs(),
            away.tries,
            away.next.as_secs(),
        ));
    }
    if !matches!(ledger, Ok(Ok(_))) {
        wrong.push("ledger: no answer".to_owned());
    }
    if wrong.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let wrong = format!("{}\n", wrong.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, wrong)
}

async fn render(State(sources): State<Arc<Sources>>) -> String {
    sources.metrics.render()
}
