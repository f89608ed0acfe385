//! The bot's health, metrics and status page over HTTP, for its operator. They contain nothing that
//! was said.
//!
//! `/healthz` is 200 with `ok` while all shards are connected and the ledger answers, else 503 with
//! what is wrong. `/metrics` is for Prometheus. `/` is a page that shows `/status.json`.
//! [`HttpServer`] decides who may see them.

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

/// The time limit for the ledger's answer.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(2);

/// The limit on disconnected shards that are listed.
const MAX_SHARDS_AWAY: usize = 50;

/// How often old samples are dropped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The running server. Dropping it stops it.
pub struct MonitorServer {
    http_server: HttpServer,
    _upkeep: AbortOnDropHandle<()>,
}

/// What the pages report on.
#[derive(Clone)]
pub struct MonitorSources {
    /// The gateway and the voice sessions.
    pub health: BotHealth,
    /// The ledger.
    pub store: Store,
    /// The speech providers and the chat model.
    pub provider_status: ProviderStatus,
    /// The rules with the daily limits.
    pub rules: UsageRules,
    /// The chat model's name for display.
    pub model_label: String,
}

struct MonitorState {
    sources: MonitorSources,
    metrics: PrometheusHandle,
    started_at: Instant,
}

impl MonitorServer {
    /// Installs the metrics recorder and serves at `address`: to anyone with the token, or to this
    /// machine only if there is none.
    ///
    /// # Errors
    ///
    /// If the address can't be bound.
    pub async fn bind(
        address: SocketAddr,
        token: Option<&SecretString>,
        sources: MonitorSources,
    ) -> std::io::Result<Self> {
        let metrics = metrics::install_recorder().map_err(std::io::Error::other)?;
        let upkeep = metrics.clone();
        let state = MonitorState {
            sources,
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
        let http_server =
            HttpServer::bind(address, token, routes.with_state(Arc::new(state))).await?;
        let upkeep = tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self {
            http_server,
            _upkeep: AbortOnDropHandle::new(upkeep),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http_server.address()
    }
}

async fn healthz(State(state): State<Arc<MonitorState>>) -> (StatusCode, String) {
    let sources = &state.sources;
    let (up, shards) = sources.health.connected_and_total_shards();
    let ledger = tokio::time::timeout(
        LEDGER_TIMEOUT,
        sources.store.usage_on_day(0, UsageScope::Global),
    )
    .await;
    let mut problems = Vec::new();
    if shards == 0 || up < shards {
        problems.push(format!("gateway: {up} of {shards} shards connected"));
    }
    for away in sources.health.away().iter().take(MAX_SHARDS_AWAY) {
        problems.push(format!(
            "gateway: shard {} away for {} s, {} tries, the next in {} s",
            away.shard,
            away.down_for.as_secs(),
            away.tries,
            away.next.as_secs(),
        ));
    }
    if !matches!(ledger, Ok(Ok(_))) {
        problems.push("ledger: no answer".to_owned());
    }
    if problems.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let body = format!("{}\n", problems.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, body)
}

async fn render_metrics(State(state): State<Arc<MonitorState>>) -> String {
    state.metrics.render()
}
