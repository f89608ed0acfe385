//! What is counted, under which names. `packaging/grafana-dashboard.json` shows all of it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The bounds of the histograms of stages, in seconds.
const STAGE_BUCKETS_SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// Something that is counted or measured. Names tell the unit, as Prometheus wants it
/// (<https://prometheus.io/docs/practices/naming/>).
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: MetricKind,
    /// What it tells.
    pub help: &'static str,
}

/// What kind a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How it is spread.
    Histogram,
}

const fn metric(kind: MetricKind, name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

/// All metrics there are.
pub const METRICS: &[Metric] = &[
    metric(
        MetricKind::Counter,
        "talkback_accepted_total",
        "Requests that were accepted",
    ),
    metric(
        MetricKind::Counter,
        "talkback_refused_total",
        "Requests that were refused, by why",
    ),
    metric(
        MetricKind::Counter,
        "talkback_again_total",
        "Requests that were tried again by hand",
    ),
    metric(
        MetricKind::Counter,
        "talkback_jobs_total",
        "Requests that ended, by outcome",
    ),
    metric(
        MetricKind::Counter,
        "talkback_commands_total",
        "Commands that were used, by name",
    ),
    metric(
        MetricKind::Counter,
        "talkback_provider_errors_total",
        "Failures of providers, by stage",
    ),
    metric(
        MetricKind::Counter,
        "talkback_audio_seconds_total",
        "Recordings written down",
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
        "Sessions that were begun",
    ),
    metric(
        MetricKind::Counter,
        "talkback_gateway_resumes_total",
        "Sessions that were gone on with",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_gateway_shards_up",
        "Shards that are connected",
    ),
    metric(
        MetricKind::Counter,
        "talkback_discord_odd_fields_total",
        "Odd fields of what Discord tells that were passed over, by event",
    ),
    metric(
        MetricKind::Counter,
        "talkback_discord_undecodable_total",
        "What Discord tells that could not be read, by event",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_queue_waiting",
        "Requests that wait",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_queue_running",
        "Requests that are worked on",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_sessions",
        "Voice sessions that are held",
    ),
    metric(
        MetricKind::Counter,
        "talkback_utterances_total",
        "What people said in calls, by outcome",
    ),
    metric(
        MetricKind::Counter,
        "talkback_packets_overrun_total",
        "Packets and utterances of calls that there was no room for",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_packets_total",
        "Packets of calls, by what became of them",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_identifies_total",
        "Connections to calls that were made with a new session",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_resumes_total",
        "Connections to calls that took a session up again",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_epochs_total",
        "Epochs of end-to-end encryption that were joined",
    ),
    metric(
        MetricKind::Counter,
        "talkback_voice_bad_keys_total",
        "Messages about end-to-end encryption that could not be made use of",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_voice_jitter_seconds",
        "How unevenly packets come, of the stream where it is worst",
    ),
    metric(
        MetricKind::Gauge,
        "talkback_voice_longest_wait_seconds",
        "The longest that a packet of a call that is held has waited for its speaker or its key",
    ),
    metric(
        MetricKind::Histogram,
        "talkback_speech_to_line_seconds",
        "Time from the end of speech until it was written down",
    ),
    metric(
        MetricKind::Histogram,
        "talkback_stage_seconds",
        "Time that a stage took, by stage",
    ),
];

/// Begins to count.
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
