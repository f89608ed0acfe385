//! How the bot does, over HTTP, for whoever operates it. Nothing that was said is in it.
//!
//! `/healthz` is 200 with `ok` while all shards are connected and the ledger answers, else 503 with
//! what is wrong. `/metrics` is what Prometheus reads. `/` is a page that shows what `/status.json`
//! says. Who may see it is [`HttpServer`]'s business.

mod metrics;
mod prometheus_text;
mod status;

pub use metrics::{METRICS, Metric, MetricKind};

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

use crate::app::ProviderStatus;
use crate::discord::health::BotHealth;
use crate::flow::usage_rules::UsageRules;
use crate::store::{Store, UsageScope};
use crate::web::{HttpServer, STATUS_ASSETS};

/// The longest the ledger may take to answer.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Shards that are away of which each is told.
const MAX_SHARDS_AWAY: usize = 50;

/// Between two cleanings of old samples.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The server; dropping it ends it.
pub struct MonitorServer {
    http_server: HttpServer,
    _upkeep: AbortOnDropHandle<()>,
}

/// What is looked at.
#[derive(Clone)]
pub struct MonitorSources {
    /// The gateway and the sessions.
    pub health: BotHealth,
    /// The ledger.
    pub store: Store,
    /// The providers.
    pub provider_status: ProviderStatus,
    /// What members may ask for, and so what the day's limits are.
    pub rules: UsageRules,
    /// The model that answers, as people are told.
    pub model_label: String,
}

struct MonitorState {
    sources: MonitorSources,
    metrics: PrometheusHandle,
    started_at: Instant,
}

impl MonitorServer {
    /// Begins to count, and serves at `address`, to whoever knows the token or without one to this
    /// machine.
    ///
    /// # Errors
    ///
    /// If the address can't be had.
    pub async fn bind(
        address: SocketAddr,
        token: Option<&SecretString>,
        watched: MonitorSources,
    ) -> std::io::Result<Self> {
        let metrics = metrics::install_recorder().map_err(std::io::Error::other)?;
        let upkeep = metrics.clone();
        let sources = MonitorState {
            sources: watched,
            metrics,
            started_at: Instant::now(),
        };
        let mut routes = Router::new()
            .route("/healthz", get(healthz))
            .route("/metrics", get(render_metrics))
            .route("/status.json", get(status::status));
        for asset in STATUS_ASSETS {
            routes = routes.route(asset.path, get(async move || asset));
        }
        let site = HttpServer::bind(address, token, routes.with_state(Arc::new(sources))).await?;
        let upkeep = tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self {
            http_server: site,
            _upkeep: AbortOnDropHandle::new(upkeep),
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http_server.address()
    }
}

async fn healthz(State(sources): State<Arc<MonitorState>>) -> (StatusCode, String) {
    let watched = &sources.sources;
    let (up, shards) = watched.health.connected_and_total_shards();
    let ledger = tokio::time::timeout(
        LEDGER_TIMEOUT,
        watched.store.usage_on_day(0, UsageScope::Global),
    )
    .await;
    let mut wrong = Vec::new();
    if shards == 0 || up < shards {
        wrong.push(format!("gateway: {up} of {shards} shards connected"));
    }
    for away in watched.health.away().iter().take(MAX_SHARDS_AWAY) {
        wrong.push(format!(
            "gateway: shard {} away for {} s, {} tries, the next in {} s",
            away.shard,
            away.down_for.as_secs(),
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

async fn render_metrics(State(sources): State<Arc<MonitorState>>) -> String {
    sources.metrics.render()
}
