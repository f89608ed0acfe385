//! A transcriber that follows a script.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use audio::Clip;
use net::NetError;
use talkback::speech::{
    Capabilities, Hints, SpeechError, Transcriber, TranscriberInput, Transcript,
    TranscriptionObserver,
};

pub(crate) type ScriptedOutcome = Result<(), SpeechError>;

/// A transcriber that does as it is told; once the script is over, it works.
pub(crate) struct ScriptedTranscriber {
    capabilities: Capabilities,
    script: Mutex<TranscriberScript>,
}

#[derive(Default)]
pub(crate) struct TranscriberScript {
    clips: VecDeque<ScriptedOutcome>,
    probes: VecDeque<ScriptedOutcome>,
    clips_seen: usize,
    pub(crate) probed_at: Vec<tokio::time::Instant>,
}

impl ScriptedTranscriber {
    pub(crate) fn named(name: &'static str) -> Self {
        Self {
            capabilities: Capabilities {
                name,
                input: TranscriberInput::Samples,
                min_duration: Duration::ZERO,
                max_duration: Duration::from_secs(120),
                word_timestamps: false,
                languages: &[],
            },
            script: Mutex::default(),
        }
    }

    pub(crate) fn with_languages(mut self, languages: &'static [&'static str]) -> Self {
        self.capabilities.languages = languages;
        self
    }

    pub(crate) fn with_max_seconds(mut self, seconds: u64) -> Self {
        self.capabilities.max_duration = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn with_clip_outcomes(
        self,
        outcomes: impl IntoIterator<Item = ScriptedOutcome>,
    ) -> Self {
        self.script().clips = outcomes.into_iter().collect();
        self
    }

    pub(crate) fn with_probe_outcomes(
        self,
        outcomes: impl IntoIterator<Item = ScriptedOutcome>,
    ) -> Self {
        self.script().probes = outcomes.into_iter().collect();
        self
    }

    pub(crate) fn script(&self) -> std::sync::MutexGuard<'_, TranscriberScript> {
        self.script.lock().expect("no test holds it over a panic")
    }

    pub(crate) fn clips_seen(&self) -> usize {
        self.script().clips_seen
    }

    pub(crate) fn probes_seen(&self) -> usize {
        self.script().probed_at.len()
    }
}

#[async_trait]
impl Transcriber for ScriptedTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn transcribe(
        &self,
        _clip: &Clip,
        _hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        observer.on_start(self.capabilities.name);
        // Whoever else is under way gets a turn.
        tokio::task::yield_now().await;
        let mut script = self.script();
        script.clips_seen += 1;
        script.clips.pop_front().unwrap_or(Ok(()))?;
        Ok(Transcript {
            text: "Hello.".to_owned(),
            segments: Vec::new(),
            words: Vec::new(),
            language: None,
            confidence: None,
            provider: self.capabilities.name,
        })
    }

    async fn probe(&self) -> ScriptedOutcome {
        let mut script = self.script();
        script.probed_at.push(tokio::time::Instant::now());
        script.probes.pop_front().unwrap_or(Ok(()))
    }
}

fn malformed() -> NetError {
    NetError::Malformed {
        what: "scripted".into(),
    }
}

pub(crate) fn outage() -> ScriptedOutcome {
    Err(SpeechError::Unavailable(malformed()))
}

pub(crate) fn refusal() -> ScriptedOutcome {
    Err(SpeechError::KeyRefused(malformed()))
}

pub(crate) fn bad_audio() -> ScriptedOutcome {
    Err(SpeechError::BadAudio {
        reason: "noise".into(),
    })
}
