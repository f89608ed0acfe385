//! What the stories about AssemblyAI share.

use std::sync::Mutex;
use std::time::Duration;

use audio::{Clip, Pcm, Recording};
use net::{self, RetryPolicy};
use sandbox::{Recorded, Sandbox};
use talkback::speech::assemblyai::{
    PollPace, PrerecordedTranscriber, Settings, StreamingSettings, SyncTranscriber,
};
use talkback::speech::{Hints, Observer, Progress, SpeechError, Transcriber, Transcript};

/// Who asks, as AssemblyAI is told.
pub(crate) const USER_AGENT: &str = concat!(
    "talkback/",
    env!("CARGO_PKG_VERSION"),
    " AssemblyAI/1.0 (sdk=Talkback/",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// Settings for the sandbox: the same limits as always, only in milliseconds.
pub(crate) fn settings(sandbox: &Sandbox) -> Settings {
    let server = sandbox.assemblyai();
    let defaults = Settings::new(server.key().into());
    Settings {
        api_base: server.api_url().parse().expect("a URL"),
        sync_base: server.sync_url().parse().expect("a URL"),
        retry: RetryPolicy {
            retries: 2,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(2),
            longest_retry_after: Duration::from_secs(20),
        },
        poll: PollPace {
            first: Duration::from_millis(1),
            usual: Duration::from_millis(2),
            longest: Duration::from_millis(4),
        },
        streaming: StreamingSettings {
            base: server.streaming_url().parse().expect("a URL"),
            ..defaults.streaming.clone()
        },
        ..defaults
    }
}

/// The limit that a story waits for when nothing comes.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// A limit that is waited for at one request and must not be reached at the others, also on a
/// machine with much to do.
pub(crate) const LONGER: Duration = Duration::from_millis(800);

pub(crate) fn sync(settings: &Settings) -> SyncTranscriber {
    SyncTranscriber::new(net::client().expect("a client"), settings)
}

pub(crate) fn prerecorded(settings: &Settings) -> PrerecordedTranscriber {
    PrerecordedTranscriber::new(net::client().expect("a client"), settings)
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
pub(crate) fn kind(error: &SpeechError, key: &str) -> &'static str {
    let mut shown = format!("{error:?}");
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        shown.push_str(&error.to_string());
        source = error.source();
    }
    assert!(!shown.contains(key), "the key is in the error");
    match error {
        SpeechError::KeyRefused(_) => "key refused",
        SpeechError::QuotaSpent(_) => "quota spent",
        SpeechError::NotAllowed(_) => "not allowed",
        SpeechError::Refused { what, .. } => what.name(),
        SpeechError::Busy(_) => "busy",
        SpeechError::Unavailable(_) => "unavailable",
        SpeechError::TimedOut(_) => "timed out",
        SpeechError::BadAudio { .. } => "bad audio",
        SpeechError::Failed { .. } => "failed",
        SpeechError::Unsuitable => "unsuitable",
        SpeechError::Audio(_) => "audio",
        _ => "something else",
    }
}

/// Gives the clip to the pre-recorded API, without hints.
pub(crate) async fn upload_and_transcribe(
    settings: &Settings,
    clip: &Clip,
) -> Result<Transcript, SpeechError> {
    prerecorded(settings)
        .transcribe(clip, &Hints::default(), &())
        .await
}

/// How many requests have this method and a path that begins like this.
pub(crate) fn count(requests: &[Recorded], step: &str) -> usize {
    let (method, path) = step.split_once(' ').expect("a method and a path");
    requests
        .iter()
        .filter(|request| request.method == method && request.path.starts_with(path))
        .count()
}

/// Writes down who had the clip and how far it got.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Vec<String>>);

impl Journal {
    fn note(&self, line: String) {
        let mut lines = self.0.lock().expect("no panic inside");
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic inside").clone()
    }
}

impl Observer for Journal {
    fn started(&self, provider: &'static str) {
        self.note(format!("{provider} has it"));
    }

    fn progressed(&self, progress: Progress) {
        self.note(match progress {
            Progress::Uploading { sent, total } => format!("sent {sent} of {total}"),
            other => format!("{other:?}"),
        });
    }

    fn fell_back(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.note(format!("{provider} -> {next}: {error}"));
    }
}
