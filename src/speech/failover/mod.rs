//! Combines several transcribers into one: if one fails, the next is tried.

mod health;
mod health_probe;
mod provider;
mod settings;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Capabilities, FailoverAction, Hints, LiveUpload, SpeechError, StreamingRecognition,
    Transcriber, TranscriberInput, Transcript, TranscriptionObserver,
};
use audio::Clip;

use health::HealthRecord;
use provider::FailoverProvider;

pub use health::{HealthState, ProviderFault};
pub use settings::FailoverSettings;

/// The health of one transcriber of a [`Failover`], for status displays and metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProviderHealth {
    /// [`Capabilities::name`].
    pub name: &'static str,
    /// Whether it is used.
    pub health: HealthState,
}

/// An ordered list of transcribers that acts as one.
///
/// A clip goes to the first healthy transcriber that accepts it. One that fails with
/// [`FailoverAction::MarkUnhealthy`] is skipped from then on and probed in the background until it
/// works again; dropping the `Failover` ends the probing. If all healthy ones fail, the others are
/// tried as a last resort. If the hints name languages, transcribers that support none of them are
/// tried only if no other accepts the clip: an English-only engine would invent words.
///
/// If all fail, the error of the first one on the list is returned, since it is the one that the
/// operator prefers. Every failure is logged.
pub struct Failover {
    providers: Vec<Arc<FailoverProvider>>,
    probes: Mutex<Vec<Option<AbortOnDropHandle<()>>>>,
    settings: FailoverSettings,
    capabilities: Capabilities,
}

impl Failover {
    /// Combines `providers`, in order of preference. All count as healthy at first; no probe is
    /// sent before a failure. With an empty list, every clip gives
    /// [`SpeechError::UnsupportedClip`].
    pub fn new(providers: Vec<Arc<dyn Transcriber>>, settings: FailoverSettings) -> Self {
        let capabilities = combined_capabilities(&providers);
        let probes = Mutex::new(providers.iter().map(|_| None).collect());
        let providers = providers
            .into_iter()
            .map(|transcriber| {
                Arc::new(FailoverProvider {
                    transcriber,
                    record: Mutex::default(),
                })
            })
            .collect();
        Self {
            providers,
            probes,
            settings,
            capabilities,
        }
    }

    /// The health of each transcriber, in list order.
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.providers
            .iter()
            .map(|provider| ProviderHealth {
                name: provider.name(),
                health: provider.with_record(|record| record.health().clone()),
            })
            .collect()
    }

    /// Indices of the transcribers that may get the clip, in list order.
    fn candidates(&self, clip: &Clip, hints: &Hints) -> Vec<usize> {
        let accepting: Vec<usize> = (0..self.providers.len())
            .filter(|&index| self.capabilities_of(index).accepts(clip))
            .collect();
        let matching: Vec<usize> = accepting
            .iter()
            .copied()
            .filter(|&index| supports_any_language(self.capabilities_of(index), &hints.languages))
            .collect();
        if matching.is_empty() {
            accepting
        } else {
            matching
        }
    }

    fn capabilities_of(&self, index: usize) -> &Capabilities {
        self.providers[index].transcriber.capabilities()
    }

    /// Removes and returns the next index in `remaining`: the first healthy one, else the first.
    fn pop_next_provider(&self, remaining: &mut Vec<usize>) -> Option<usize> {
        let healthy = remaining
            .iter()
            .position(|&index| self.providers[index].is_healthy());
        (!remaining.is_empty()).then(|| remaining.remove(healthy.unwrap_or(0)))
    }

    fn record_success(&self, index: usize) {
        let provider = &self.providers[index];
        if provider.with_record(HealthRecord::record_success) {
            // The probe task notices the success when it wakes, and ends.
            tracing::info!(provider = provider.name(), "works again");
        }
    }

    fn record_failure(&self, index: usize, error: &SpeechError) {
        let provider = &self.providers[index];
        tracing::warn!(
            provider = provider.name(),
            error = error as &dyn std::error::Error,
            "transcription failed"
        );
        let Some(fault) = ProviderFault::from_error(error) else {
            return;
        };
        if provider.with_record(|record| record.record_failure(fault)) {
            let probing =
                health_probe::probe_until_healthy(provider.clone(), self.settings.clone());
            let task = AbortOnDropHandle::new(tokio::spawn(probing));
            let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
            // One probe task each: this aborts an old one that is still sleeping.
            probes[index] = Some(task);
        }
    }
}

#[async_trait]
impl Transcriber for Failover {
    /// The combined capabilities of the list: a clip outside of them is accepted by no transcriber,
    /// one inside by some, not necessarily.
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Ends within the sum of the time limits on the list.
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        let mut remaining = self.candidates(clip, hints);
        let mut failed: Option<(usize, SpeechError)> = None;
        let mut next = self.pop_next_provider(&mut remaining);
        while let Some(index) = next {
            let provider = &self.providers[index];
            let error = match provider.transcriber.transcribe(clip, hints, observer).await {
                Ok(transcript) => {
                    self.record_success(index);
                    return Ok(transcript);
                }
                Err(error) => error,
            };
            self.record_failure(index, &error);
            if error.failover_action() == FailoverAction::GiveUp {
                return Err(error);
            }
            next = self.pop_next_provider(&mut remaining);
            if let Some(next) = next {
                observer.on_fallback(provider.name(), &error, self.providers[next].name());
            }
            failed = Some(more_useful_error(failed, (index, error)));
        }
        Err(failed.map_or(SpeechError::UnsupportedClip, |(_, error)| error))
    }

    /// Checks that at least one transcriber works now; otherwise returns the first one's error.
    async fn probe(&self) -> Result<(), SpeechError> {
        let mut failed: Option<(usize, SpeechError)> = None;
        for (index, provider) in self.providers.iter().enumerate() {
            match health_probe::probe_with_timeout(provider, self.settings.probe_timeout).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(more_useful_error(failed, (index, error))),
            }
        }
        Err(failed.map_or(SpeechError::UnsupportedClip, |(_, error)| error))
    }

    /// Uses the first healthy transcriber, which will probably get the complete clip.
    fn start_streaming(&self, hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        let first = self
            .providers
            .iter()
            .find(|provider| provider.is_healthy())?;
        let first = &first.transcriber;
        supports_any_language(first.capabilities(), &hints.languages)
            .then(|| first.start_streaming(hints))
            .flatten()
    }

    /// Uses the first healthy transcriber, which will probably get the next clip.
    fn start_upload(&self, hints: &Hints) -> Option<LiveUpload> {
        let first = self
            .providers
            .iter()
            .find(|provider| provider.is_healthy())?;
        let first = &first.transcriber;
        supports_any_language(first.capabilities(), &hints.languages)
            .then(|| first.start_upload(hints))
            .flatten()
    }

    fn supports_upload(&self) -> bool {
        let mut all = self.providers.iter();
        all.any(|provider| provider.transcriber.supports_upload())
    }

    /// Warms the first healthy transcriber, which will probably get the next clip.
    async fn prewarm(&self) {
        let first = self.providers.iter().find(|provider| provider.is_healthy());
        if let Some(provider) = first {
            provider.transcriber.prewarm().await;
        }
    }
}

/// The error of the transcriber that is earlier on the list, unless that one only rejected the
/// clip.
fn more_useful_error(
    known: Option<(usize, SpeechError)>,
    new: (usize, SpeechError),
) -> (usize, SpeechError) {
    let rank = |(index, error): &(usize, SpeechError)| {
        (matches!(error, SpeechError::UnsupportedClip), *index)
    };
    match known {
        Some(known) if rank(&known) <= rank(&new) => known,
        _ => new,
    }
}

fn supports_any_language(capabilities: &Capabilities, languages: &[String]) -> bool {
    languages.is_empty()
        || capabilities.languages.is_empty()
        || languages.iter().any(|language| {
            let primary = language.split(['-', '_']).next().unwrap_or_default();
            capabilities
                .languages
                .iter()
                .any(|known| known.eq_ignore_ascii_case(primary))
        })
}

fn combined_capabilities(providers: &[Arc<dyn Transcriber>]) -> Capabilities {
    let all = || providers.iter().map(|provider| provider.capabilities());
    let input = if all().all(|provider| provider.input == TranscriberInput::Samples) {
        TranscriberInput::Samples
    } else if all().all(|provider| provider.input == TranscriberInput::Original) {
        TranscriberInput::Original
    } else {
        TranscriberInput::Either
    };
    let only = match providers {
        [only] => Some(only.capabilities()),
        _ => None,
    };
    Capabilities {
        name: only.map_or("the first that works", |only| only.name),
        input,
        min_duration: all()
            .map(|provider| provider.min_duration)
            .min()
            .unwrap_or_default(),
        max_duration: all()
            .map(|provider| provider.max_duration)
            .max()
            .unwrap_or_default(),
        word_timestamps: all().any(|provider| provider.word_timestamps),
        // Which transcriber will be used is not known, so neither are its languages.
        languages: only.map_or(&[], |only| only.languages),
    }
}
