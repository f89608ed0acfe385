//! `/status.json`: the bot's current state, in numbers and ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::prometheus_text::ParsedMetrics;
use super::{LEDGER_TIMEOUT, MAX_SHARDS_AWAY, MonitorSources, MonitorState};
use crate::discord::health::{DisconnectedShard, VoiceSessionStatus};
use crate::speech::{HealthState, ProviderHealth};
use crate::store::{FinishedJob, StoreError, Timestamp, Usage, UsageScope};
use crate::ui_text;

/// The limit on finished jobs that are listed.
const MAX_ENDED_JOBS: u32 = 20;

/// The limit on speakers per session that are listed.
const MAX_PEOPLE: usize = 50;

/// Costs are in millionths.
const MICROS_PER_UNIT: f64 = 1e6;
const MS_PER_MINUTE: f64 = 60_000.0;

pub(super) async fn status(State(state): State<Arc<MonitorState>>) -> Response {
    let now = Timestamp::now();
    let sources = &state.sources;
    let ledger = timeout(LEDGER_TIMEOUT, load_from_ledger(sources, now)).await;
    let Ok(Ok((ended, used))) = ledger else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            ui_text::web::LEDGER_UNAVAILABLE,
        )
            .into_response();
    };
    let rendered = state.metrics.render();
    let numbers = ParsedMetrics::parse(&rendered);
    let (up, shards) = sources.health.connected_and_total_shards();
    let bot = sources.health.bot_name_and_guild_count();
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": bot.map(|(name, _)| name),
        "up_seconds": state.started_at.elapsed().as_secs(),
        "gateway": {
            "up": up,
            "shards": shards,
            "away": sources.health.away().iter().take(MAX_SHARDS_AWAY).map(shard_away_json).collect::<Vec<_>>(),
            "servers": bot.map(|(_, servers)| servers),
        },
        "queue": {
            "waiting": numbers.value("talkback_queue_waiting") as u64,
            "running": numbers.value("talkback_queue_running") as u64,
        },
        "sessions": sources.health.voice_sessions().iter()
            .map(|it| session_json(it, now)).collect::<Vec<_>>(),
        "outcomes": ended.iter().map(ended_job_json).collect::<Vec<_>>(),
        "stages": stage_latencies(&numbers),
        "providers": provider_states(sources),
        "today": daily_usage_json(sources, used),
    });
    let head = [(header::CONTENT_TYPE, "application/json")];
    (head, status.to_string()).into_response()
}

async fn load_from_ledger(
    sources: &MonitorSources,
    now: Timestamp,
) -> Result<(Vec<FinishedJob>, Usage), StoreError> {
    let ended = sources.store.finished_jobs(MAX_ENDED_JOBS).await?;
    let used = sources
        .store
        .usage_on_day(now.day(), UsageScope::Global)
        .await?;
    Ok((ended, used))
}

fn shard_away_json(away: &DisconnectedShard) -> Value {
    json!({
        "shard": away.shard,
        "seconds": away.down_for.as_secs(),
        "tries": away.tries,
        "next_seconds": away.next.as_secs(),
    })
}

fn session_json(seen: &VoiceSessionStatus, now: Timestamp) -> Value {
    let people: Vec<Value> = seen
        .people
        .iter()
        .take(MAX_PEOPLE)
        .map(|(person, counts)| {
            json!({
                "id": person.to_string(),
                "heard_seconds": round_to_thousandth(counts.decoded.as_secs_f64()),
                "lost_seconds": round_to_thousandth(counts.lost_duration.as_secs_f64()),
            })
        })
        .collect();
    json!({
        "id": seen.id,
        "server": seen.guild.to_string(),
        "channel": seen.voice_channel.to_string(),
        "seconds": (now.0 - seen.started.0).max(0) / 1_000,
        "people": people,
    })
}

fn ended_job_json(ended: &FinishedJob) -> Value {
    json!({
        "job": ended.id.0,
        "outcome": ended.state.as_str(),
        "at_ms": ended.finished.0,
        "took_seconds": round_to_thousandth((ended.finished.0 - ended.created.0) as f64 / 1_000.0),
    })
}

fn stage_latencies(numbers: &ParsedMetrics<'_>) -> Vec<Value> {
    let mut spreads = numbers.histograms("talkback_stage_seconds", "stage");
    // The time from a speaker's last sound to the transcript line is one more stage.
    let lines = numbers.summary("talkback_speech_to_line_seconds");
    let mut all: BTreeMap<&str, Value> = BTreeMap::new();
    while let Some((stage, spread)) = spreads.pop_first() {
        let (half, most) = (spread.quantile(0.5), spread.quantile(0.95));
        all.insert(stage, latency_json(stage, spread.count, half, most));
    }
    if let Some(summary) = lines {
        let stage = "speech to line";
        all.insert(
            stage,
            latency_json(stage, summary.count, summary.median, summary.p95),
        );
    }
    all.into_values().collect()
}

fn latency_json(stage: &str, count: u64, half: Option<f64>, most: Option<f64>) -> Value {
    json!({
        "stage": stage,
        "count": count,
        "half_seconds": half.map(round_to_thousandth),
        "most_seconds": most.map(round_to_thousandth),
    })
}

fn provider_states(sources: &MonitorSources) -> Vec<Value> {
    let mut all: Vec<Value> = sources
        .provider_status
        .speech
        .health()
        .iter()
        .map(speech_provider_json)
        .collect();
    let state = match sources.provider_status.chat.last_succeeded() {
        None => UNTRIED,
        Some(true) => WORKS,
        Some(false) => DOWN,
    };
    all.push(json!({
        "name": sources.model_label,
        "state": state,
        "why": (state == DOWN).then_some(ui_text::web::CHAT_DOWN),
    }));
    all
}

const WORKS: &str = "works";
const DOWN: &str = "down";
const UNTRIED: &str = "untried";

fn speech_provider_json(provider: &ProviderHealth) -> Value {
    let (state, why) = match &provider.health {
        HealthState::Healthy => (WORKS, None),
        HealthState::Unhealthy { fault, .. } => (DOWN, Some(ui_text::web::provider_fault(*fault))),
    };
    json!({ "name": provider.name, "state": state, "why": why })
}

fn daily_usage_json(sources: &MonitorSources, used: Usage) -> Value {
    let rules = &sources.rules;
    let limit = |cap: u64, unit: f64| (cap != u64::MAX).then_some(cap as f64 / unit);
    json!({
        "audio_minutes": round_to_thousandth(used.audio_ms as f64 / MS_PER_MINUTE),
        "audio_limit_minutes": limit(rules.audio_caps.global, MS_PER_MINUTE),
        "cost": used.micros as f64 / MICROS_PER_UNIT,
        "cost_limit": limit(rules.money_caps.global, MICROS_PER_UNIT),
        "currency_note": ui_text::web::CURRENCY,
    })
}

/// Rounds to three decimals.
fn round_to_thousandth(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
