//! The metrics and their names. `packaging/grafana-dashboard.json` shows all of them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The buckets of the stage histograms, in seconds.
const STAGE_BUCKETS_SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// A metric. Its name ends with the unit, as Prometheus recommends
/// (<https://prometheus.io/docs/practices/naming/>).
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The full name in `/metrics`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// The help text in `/metrics`.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only increases.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

const fn metric(kind: MetricKind, name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

/// All metrics.
pub const METRICS: &[Metric] = &[
    metric(
        MetricKind::Counter,
        "talkback_accepted_total",
        "Accepted requests",
    ),
    metric(
        MetricKind::Counter,
        "talkback_refused_total",
        "Refused requests, by reason",
    ),
    metric(
        MetricKind::Counter,
        "talkback_again_total",
        "Requests retried with the button",
    ),
    metric(
        MetricKind::Counter,
        "talkback_jobs_total",
        "Finished requests, by outcome",
    ),
    metric(
        MetricKind::Counter,
        "talkback_commands_total",
        "Commands used, by name",
    ),
    metric(
        MetricKind::Counter,
        "talkback_provider_errors_total",
        "Provider failures, by stage",
    ),
    metric(
        MetricKind::Counter,
        "talkback_audio_seconds_total",
        "Transcribed audio",
    ),
    metric(
        MetricKind::Counter,
        "talkback_tokens_total",
        "Tokens to and from the model, by direction",
    ),
    metric(
        MetricKind::Counter,
        "talkback_cost_micros_total",
        "Cost in millionths of the prices' currency",
    ),
    metric(
        MetricKind::Counter,
        "talkback_gateway_sessions_total",
        "Gateway sessions started",
    ),
    metric(
        MetricKind::Counter,
        "talkback_gateway_resumes_total",
        "Gateway sessions resumed",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_gateway_shards_up",
        "Connected shards",
    ),
    metric(
        MetricKind::Counter,
        "talkback_discord_odd_fields_total",
        "Malformed fields in Discord's events that were skipped, by event",
    ),
    metric(
        MetricKind::Counter,
        "talkback_discord_undecodable_total",
        "Discord events that could not be decoded, by event",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_queue_waiting",
        "Waiting requests",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_queue_running",
        "Running requests",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_sessions",
        "Running voice sessions",
    ),
    metric(
        MetricKind::Counter,
        "talkback_utterances_total",
        "Utterances in calls, by outcome",
    ),
    metric(
        MetricKind::Counter,
        "talkback_packets_overrun_total",
        "Packets and utterances dropped because a queue was full",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_packets_total",
        "Voice packets, by outcome",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_identifies_total",
        "Voice connections with a new session",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_resumes_total",
        "Voice connections that resumed a session",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_epochs_total",
        "End-to-end encryption epochs joined",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_bad_keys_total",
        "End-to-end encryption messages that could not be used",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_voice_jitter_seconds",
        "Jitter of the stream with the highest jitter",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_voice_longest_wait_seconds",
        "The longest time that a packet of a running session has waited for its speaker or key",
    ),
    metric(
        MetricKind::Histogram,
        "talkback_speech_to_line_seconds",
        "Time from the end of an utterance to its transcript line",
    ),
    metric(
        MetricKind::Histogram,
        "talkback_stage_seconds",
        "Duration of a stage, by stage",
    ),
];

/// Installs the recorder and registers all metrics.
pub(super) fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let stage = Matcher::Full("talkback_stage_seconds".to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(stage, &STAGE_BUCKETS_SECONDS)?
        .install_recorder()?;
    for metric in METRICS {
        let unit = match metric.name.contains("_seconds") {
            true => Unit::Seconds,
            false => Unit::Count,
        };
        match metric.kind {
            MetricKind::Counter => describe_counter!(metric.name, unit, metric.help),
            MetricKind::Gauge => describe_gauge!(metric.name, unit, metric.help),
            MetricKind::Histogram => describe_histogram!(metric.name, unit, metric.help),
        }
    }
    Ok(handle)
}
