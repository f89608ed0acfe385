//! What the stories about AssemblyAI share.

use std::sync::Mutex;
use std::time::Duration;

use audio::{Clip, Pcm, Recording};
use net::{self, RetryPolicy};
use sandbox::{RecordedRequest, Sandbox};
use talkback::speech::assemblyai::{
    AssemblyAiSettings, PollSchedule, PrerecordedTranscriber, StreamingSettings, SyncTranscriber,
};
use talkback::speech::{
    Hints, SpeechError, Transcriber, Transcript, TranscriptionObserver, TranscriptionProgress,
};

/// Who asks, as AssemblyAI is told.
pub(crate) const USER_AGENT: &str = concat!(
    "talkback/",
    env!("CARGO_PKG_VERSION"),
    " AssemblyAI/1.0 (sdk=Talkback/",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// Settings for the sandbox: the same limits as always, only in milliseconds.
pub(crate) fn settings(sandbox: &Sandbox) -> AssemblyAiSettings {
    let server = sandbox.assemblyai();
    let defaults = AssemblyAiSettings::new(server.key().into());
    AssemblyAiSettings {
        api_base: server.api_url().parse().expect("a URL"),
        sync_base: server.sync_url().parse().expect("a URL"),
        retry: RetryPolicy {
            max_retries: 2,
            first_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(2),
            max_retry_after: Duration::from_secs(20),
        },
        poll_schedule: PollSchedule {
            min_first_delay: Duration::from_millis(1),
            max_short_clip_delay: Duration::from_millis(2),
            max_delay: Duration::from_millis(4),
        },
        streaming: StreamingSettings {
            base: server.streaming_url().parse().expect("a URL"),
            ..defaults.streaming.clone()
        },
        ..defaults
    }
}

/// The limit that a story waits for when nothing comes.
pub(crate) const SHORT_TIMEOUT: Duration = Duration::from_millis(150);

/// A limit that is waited for at one request and must not be reached at the others, also on a
/// machine with much to do.
pub(crate) const LONG_TIMEOUT: Duration = Duration::from_millis(800);

pub(crate) fn sync(settings: &AssemblyAiSettings) -> SyncTranscriber {
    SyncTranscriber::new(net::http_client().expect("a client"), settings)
}

pub(crate) fn prerecorded(settings: &AssemblyAiSettings) -> PrerecordedTranscriber {
    PrerecordedTranscriber::new(net::http_client().expect("a client"), settings)
}

/// A tone that was never a file.
pub(crate) fn utterance() -> Clip {
    Clip::from_pcm(tone(8_000))
}

pub(crate) fn tone(samples: usize) -> Pcm {
    let samples: Vec<f32> = (0..samples).map(|n| (n as f32 * 0.1).sin() * 0.5).collect();
    samples.into()
}

/// The question that comes with the project, as a file.
pub(crate) fn question() -> Clip {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/question.ogg");
    Clip::from_recording(Recording::from_path(path), Duration::from_secs(4), None)
}

/// The error in one word, for tables; asserts that it keeps the key to itself.
pub(crate) fn error_kind(error: &SpeechError, key: &str) -> &'static str {
    let mut shown = format!("{error:?}");
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        shown.push_str(&error.to_string());
        source = error.source();
    }
    assert!(!shown.contains(key), "the key is in the error");
    match error {
        SpeechError::KeyRefused(_) => "key refused",
        SpeechError::QuotaExceeded(_) => "quota spent",
        SpeechError::NotAllowed(_) => "not allowed",
        SpeechError::Refused { what, .. } => what.log_name(),
        SpeechError::Overloaded(_) => "busy",
        SpeechError::Unavailable(_) => "unavailable",
        SpeechError::TimedOut(_) => "timed out",
        SpeechError::BadAudio { .. } => "bad audio",
        SpeechError::JobFailed { .. } => "failed",
        SpeechError::UnsupportedClip => "unsuitable",
        SpeechError::Audio(_) => "audio",
        _ => "something else",
    }
}

/// Gives the clip to the pre-recorded API, without hints.
pub(crate) async fn upload_and_transcribe(
    settings: &AssemblyAiSettings,
    clip: &Clip,
) -> Result<Transcript, SpeechError> {
    prerecorded(settings)
        .transcribe(clip, &Hints::default(), &())
        .await
}

/// How many requests have this method and a path that begins like this.
pub(crate) fn count_requests(requests: &[RecordedRequest], step: &str) -> usize {
    let (method, path) = step.split_once(' ').expect("a method and a path");
    requests
        .iter()
        .filter(|request| request.method == method && request.path.starts_with(path))
        .count()
}

/// Writes down who had the clip and how far it got.
#[derive(Default)]
pub(crate) struct ObserverLog(Mutex<Vec<String>>);

impl ObserverLog {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().expect("no panic inside");
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic inside").clone()
    }
}

impl TranscriptionObserver for ObserverLog {
    fn on_start(&self, provider: &'static str) {
        self.push(format!("{provider} has it"));
    }

    fn on_progress(&self, progress: TranscriptionProgress) {
        self.push(match progress {
            TranscriptionProgress::Uploading { sent, total } => format!("sent {sent} of {total}"),
            other => format!("{other:?}"),
        });
    }

    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.push(format!("{provider} -> {next}: {error}"));
    }
}
