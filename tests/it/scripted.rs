//! A transcriber that follows a script.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use audio::Clip;
use net::NetError;
use talkback::speech::{
    Capabilities, Hints, Input, Observer, SpeechError, Transcriber, Transcript,
};

pub(crate) type Outcome = Result<(), SpeechError>;

/// A transcriber that does as it is told; once the script is over, it works.
pub(crate) struct Scripted {
    capabilities: Capabilities,
    script: Mutex<Script>,
}

#[derive(Default)]
pub(crate) struct Script {
    clips: VecDeque<Outcome>,
    probes: VecDeque<Outcome>,
    clips_seen: usize,
    pub(crate) probed_at: Vec<tokio::time::Instant>,
}

impl Scripted {
    pub(crate) fn named(name: &'static str) -> Self {
        Self {
            capabilities: Capabilities {
                name,
                input: Input::Samples,
                shortest: Duration::ZERO,
                longest: Duration::from_secs(120),
                word_times: false,
                languages: &[],
            },
            script: Mutex::default(),
        }
    }

    pub(crate) fn knowing(mut self, languages: &'static [&'static str]) -> Self {
        self.capabilities.languages = languages;
        self
    }

    pub(crate) fn up_to(mut self, seconds: u64) -> Self {
        self.capabilities.longest = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn clips(self, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        self.script().clips = outcomes.into_iter().collect();
        self
    }

    pub(crate) fn probes(self, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        self.script().probes = outcomes.into_iter().collect();
        self
    }

    pub(crate) fn script(&self) -> std::sync::MutexGuard<'_, Script> {
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
impl Transcriber for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn transcribe(
        &self,
        _clip: &Clip,
        _hints: &Hints,
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        observer.started(self.capabilities.name);
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

    async fn probe(&self) -> Outcome {
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

pub(crate) fn down() -> Outcome {
    Err(SpeechError::Unavailable(malformed()))
}

pub(crate) fn refused() -> Outcome {
    Err(SpeechError::KeyRefused(malformed()))
}

pub(crate) fn bad_audio() -> Outcome {
    Err(SpeechError::BadAudio {
        reason: "noise".into(),
    })
}
