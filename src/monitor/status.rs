//! `/status.json`: how the bot does now, in numbers and ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::numbers::Numbers;
use super::{LEDGER_LIMIT, MAX_AWAY, Sources, Watched};
use crate::discord::health::{SessionSeen, ShardAway};
use crate::speech::{Health, ProviderHealth};
use crate::store::{Ended, Scope, StoreError, Timestamp, Used};
use crate::words;

/// Requests that have ended, of which is told.
const ENDED: u32 = 20;

/// People of a session of whom is told.
const MAX_PEOPLE: usize = 50;

/// Millionths of the currency, milliseconds of a minute.
const MICROS: f64 = 1e6;
const MINUTE_MS: f64 = 60_000.0;

pub(super) async fn status(State(sources): State<Arc<Sources>>) -> Response {
    let now = Timestamp::now();
    let watched = &sources.watched;
    let ledger = timeout(LEDGER_LIMIT, from_ledger(watched, now)).await;
    let Ok(Ok((ended, used))) = ledger else {
        return (StatusCode::SERVICE_UNAVAILABLE, words::web::NO_LEDGER).into_response();
    };
    let rendered = sources.metrics.render();
    let numbers = Numbers::read(&rendered);
    let (up, shards) = watched.health.shards();
    let bot = watched.health.bot();
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": bot.map(|(name, _)| name),
        "up_seconds": sources.started.elapsed().as_secs(),
        "gateway": {
            "up": up,
            "shards": shards,
            "away": watched.health.away().iter().take(MAX_AWAY).map(away).collect::<Vec<_>>(),
            "servers": bot.map(|(_, servers)| servers),
        },
        "queue": {
            "waiting": numbers.one("talkback_queue_waiting") as u64,
            "running": numbers.one("talkback_queue_running") as u64,
        },
        "sessions": watched.health.sessions().iter()
            .map(|it| session(it, now)).collect::<Vec<_>>(),
        "outcomes": ended.iter().map(outcome).collect::<Vec<_>>(),
        "stages": stages(&numbers),
        "providers": providers(watched),
        "today": today(watched, used),
    });
    let head = [(header::CONTENT_TYPE, "application/json")];
    (head, status.to_string()).into_response()
}

async fn from_ledger(watched: &Watched, now: Timestamp) -> Result<(Vec<Ended>, Used), StoreError> {
    let ended = watched.store.ended_jobs(ENDED).await?;
    let used = watched.store.used(now.day(), Scope::Everyone).await?;
    Ok((ended, used))
}

fn away(away: &ShardAway) -> Value {
    json!({
        "shard": away.shard,
        "seconds": away.since.as_secs(),
        "tries": away.tries,
        "next_seconds": away.next.as_secs(),
    })
}

fn session(seen: &SessionSeen, now: Timestamp) -> Value {
    let people: Vec<Value> = seen
        .people
        .iter()
        .take(MAX_PEOPLE)
        .map(|(person, counts)| {
            json!({
                "id": person.to_string(),
                "heard_seconds": rounded(counts.heard.as_secs_f64()),
                "lost_seconds": rounded(counts.lost_time.as_secs_f64()),
            })
        })
        .collect();
    json!({
        "id": seen.id,
        "server": seen.guild.to_string(),
        "channel": seen.voice.to_string(),
        "seconds": (now.0 - seen.started.0).max(0) / 1_000,
        "people": people,
    })
}

fn outcome(ended: &Ended) -> Value {
    json!({
        "job": ended.id.0,
        "outcome": ended.state.text(),
        "at_ms": ended.finished.0,
        "took_seconds": rounded((ended.finished.0 - ended.created.0) as f64 / 1_000.0),
    })
}

fn stages(numbers: &Numbers<'_>) -> Vec<Value> {
    let mut spreads = numbers.spreads("talkback_stage_seconds", "stage");
    // The time from a person's last sound to their line is one more stage, without a label.
    let lines = numbers.summary("talkback_speech_to_line_seconds");
    let mut all: BTreeMap<&str, Value> = BTreeMap::new();
    while let Some((stage, spread)) = spreads.pop_first() {
        let (half, most) = (spread.quantile(0.5), spread.quantile(0.95));
        all.insert(stage, told(stage, spread.count, half, most));
    }
    if let Some(summary) = lines {
        let stage = "speech to line";
        all.insert(
            stage,
            told(stage, summary.count, summary.half, summary.most),
        );
    }
    all.into_values().collect()
}

fn told(stage: &str, count: u64, half: Option<f64>, most: Option<f64>) -> Value {
    json!({
        "stage": stage,
        "count": count,
        "half_seconds": half.map(rounded),
        "most_seconds": most.map(rounded),
    })
}

fn providers(watched: &Watched) -> Vec<Value> {
    let mut all: Vec<Value> = watched
        .providers
        .speech
        .health()
        .iter()
        .map(heard)
        .collect();
    let state = match watched.providers.chat.worked() {
        None => UNTRIED,
        Some(true) => WORKS,
        Some(false) => DOWN,
    };
    all.push(json!({
        "name": watched.model,
        "state": state,
        "why": (state == DOWN).then_some(words::web::CHAT_DOWN),
    }));
    all
}

const WORKS: &str = "works";
const DOWN: &str = "down";
const UNTRIED: &str = "untried";

fn heard(provider: &ProviderHealth) -> Value {
    let (state, why) = match &provider.health {
        Health::Healthy => (WORKS, None),
        Health::Unhealthy { fault, .. } => (DOWN, Some(words::web::fault(*fault))),
    };
    json!({ "name": provider.name, "state": state, "why": why })
}

fn today(watched: &Watched, used: Used) -> Value {
    let rules = &watched.rules;
    let limit = |cap: u64, unit: f64| (cap != u64::MAX).then_some(cap as f64 / unit);
    json!({
        "audio_minutes": rounded(used.audio_ms as f64 / MINUTE_MS),
        "audio_limit_minutes": limit(rules.audio.all, MINUTE_MS),
        "cost": used.micros as f64 / MICROS,
        "cost_limit": limit(rules.money.all, MICROS),
        "currency_note": words::web::CURRENCY,
    })
}

/// To the thousandth.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
