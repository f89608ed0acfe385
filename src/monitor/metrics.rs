//! What is counted, under which names. `packaging/grafana-dashboard.json` shows all of it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The bounds of the histograms of stages, in seconds.
const SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// Begins to count.
pub(super) fn recorder() -> Result<PrometheusHandle, BuildError> {
    let stage = Matcher::Full("talkback_stage_seconds".to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(stage, &SECONDS)?
        .install_recorder()?;
    describe_counter!("talkback_accepted_total", "Requests that were accepted");
    describe_counter!(
        "talkback_refused_total",
        "Requests that were refused, by why"
    );
    describe_counter!(
        "talkback_again_total",
        "Requests that were tried again by hand"
    );
    describe_counter!("talkback_jobs_total", "Requests that ended, by outcome");
    describe_counter!(
        "talkback_commands_total",
        "Commands that were used, by name"
    );
    describe_counter!(
        "talkback_provider_errors_total",
        "Failures of providers, by stage"
    );
    describe_counter!(
        "talkback_audio_seconds_total",
        Unit::Seconds,
        "Recordings written down"
    );
    describe_counter!(
        "talkback_tokens_total",
        "Tokens to and from the model, by direction"
    );
    describe_counter!(
        "talkback_cost_micros_total",
        "Cost in millionths of the prices' currency"
    );
    describe_counter!(
        "talkback_gateway_sessions_total",
        "Sessions that were begun"
    );
    describe_counter!(
        "talkback_gateway_resumes_total",
        "Sessions that were gone on with"
    );
    describe_gauge!("talkback_gateway_shards_up", "Shards that are connected");
    describe_gauge!("talkback_queue_waiting", "Requests that wait");
    describe_gauge!("talkback_queue_running", "Requests that are worked on");
    describe_gauge!("talkback_sessions", "Voice sessions that are held");
    describe_counter!(
        "talkback_utterances_total",
        "What people said in calls, by outcome"
    );
    describe_counter!(
        "talkback_packets_overrun_total",
        "Packets and utterances of calls that there was no room for"
    );
    describe_counter!(
        "talkback_voice_packets_total",
        "Packets of calls, by what became of them"
    );
    describe_counter!(
        "talkback_voice_identifies_total",
        "Connections to calls that were made with a new session"
    );
    describe_counter!(
        "talkback_voice_resumes_total",
        "Connections to calls that took a session up again"
    );
    describe_counter!(
        "talkback_voice_epochs_total",
        "Epochs of end-to-end encryption that were joined"
    );
    describe_counter!(
        "talkback_voice_bad_keys_total",
        "Messages about end-to-end encryption that could not be made use of"
    );
    describe_gauge!(
        "talkback_voice_jitter_seconds",
        Unit::Seconds,
        "How unevenly packets come, of the stream where it is worst"
    );
    describe_gauge!(
        "talkback_voice_longest_wait_seconds",
        Unit::Seconds,
        "The longest that a packet of a call that is held has waited for its speaker or its key"
    );
    describe_histogram!(
        "talkback_speech_to_line_seconds",
        Unit::Seconds,
        "Time from the end of speech until it was written down"
    );
    describe_histogram!(
        "talkback_stage_seconds",
        Unit::Seconds,
        "Time that a stage took, by stage"
    );
    Ok(handle)
}
