//! Combines several transcribers into one: if one fails, the next is tried.

mod health;
mod health_probe;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Capabilities, FailoverAction, Hints, LiveUpload, SpeechError, StreamingRecognition,
    Transcriber, TranscriberInput, Transcript, TranscriptionObserver,
};
use audio::Clip;

use health::HealthRecord;
pub use health::{HealthState, ProviderFault};

/// How unhealthy transcribers are probed. Delays double from the first to the longest.
#[derive(Clone, Debug)]
pub struct FailoverSettings {
    /// Delay before the first probe. Default: 5 s.
    pub first_probe_delay: Duration,
    /// Longest delay between probes. Default: 5 min.
    pub max_probe_delay: Duration,
    /// Delay before the first probe after a refused key or a used-up quota, which only the operator
    /// can fix. Default: 1 min.
    pub first_slow_probe_delay: Duration,
    /// Longest delay between such probes. Default: 30 min.
    pub max_slow_probe_delay: Duration,
    /// Time limit of one probe. Default: 30 s.
    pub probe_timeout: Duration,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            first_probe_delay: Duration::from_secs(5),
            max_probe_delay: Duration::from_secs(300),
            first_slow_probe_delay: Duration::from_secs(60),
            max_slow_probe_delay: Duration::from_secs(1_800),
            probe_timeout: Duration::from_secs(30),
        }
    }
}

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

/// A transcriber on the list and its health.
struct FailoverProvider {
    transcriber: Arc<dyn Transcriber>,
    record: Mutex<HealthRecord>,
}

impl FailoverProvider {
    fn name(&self) -> &'static str {
        self.transcriber.capabilities().name
    }

    fn with_record<T>(&self, look: impl FnOnce(&mut HealthRecord) -> T) -> T {
        // No call leaves the record inconsistent, so a poisoned lock is still usable.
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut record)
    }

    fn is_healthy(&self) -> bool {
        self.with_record(|record| record.is_healthy())
    }
}

impl Failover {
    /// Combines `providers`, in order of preference. All count as healthy at first; no probe is sent
    /// before a failure. With an empty list, every clip gives [`SpeechError::UnsupportedClip`].
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
        let takers: Vec<usize> = (0..self.providers.len())
            .filter(|&place| self.capabilities_of(place).accepts(clip))
            .collect();
        let speakers: Vec<usize> = takers
            .iter()
            .copied()
            .filter(|&place| supports_any_language(self.capabilities_of(place), &hints.languages))
            .collect();
        if speakers.is_empty() {
            takers
        } else {
            speakers
        }
    }

    fn capabilities_of(&self, place: usize) -> &Capabilities {
        self.providers[place].transcriber.capabilities()
    }

    /// Removes and returns the next index in `left`: the first healthy one, else the first.
    fn pop_next_provider(&self, left: &mut Vec<usize>) -> Option<usize> {
        let healthy = left
            .iter()
            .position(|&place| self.providers[place].is_healthy());
        (!left.is_empty()).then(|| left.remove(healthy.unwrap_or(0)))
    }

    fn record_success(&self, place: usize) {
        let provider = &self.providers[place];
        if provider.with_record(HealthRecord::record_success) {
            // The probe task notices the success when it wakes, and ends.
            tracing::info!(provider = provider.name(), "works again");
        }
    }

    fn record_failure(&self, place: usize, error: &SpeechError) {
        let provider = &self.providers[place];
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
            probes[place] = Some(task);
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
        let mut left = self.candidates(clip, hints);
        let mut failed: Option<(usize, SpeechError)> = None;
        let mut next = self.pop_next_provider(&mut left);
        while let Some(place) = next {
            let provider = &self.providers[place];
            let error = match provider.transcriber.transcribe(clip, hints, observer).await {
                Ok(transcript) => {
                    self.record_success(place);
                    return Ok(transcript);
                }
                Err(error) => error,
            };
            self.record_failure(place, &error);
            if error.failover_action() == FailoverAction::GiveUp {
                return Err(error);
            }
            next = self.pop_next_provider(&mut left);
            if let Some(next) = next {
                observer.on_fallback(provider.name(), &error, self.providers[next].name());
            }
            failed = Some(more_useful_error(failed, (place, error)));
        }
        Err(failed.map_or(SpeechError::UnsupportedClip, |(_, error)| error))
    }

    /// Checks that at least one transcriber works now; otherwise returns the first one's error.
    async fn probe(&self) -> Result<(), SpeechError> {
        let mut failed: Option<(usize, SpeechError)> = None;
        for (place, provider) in self.providers.iter().enumerate() {
            match health_probe::probe_with_timeout(provider, self.settings.probe_timeout).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(more_useful_error(failed, (place, error))),
            }
        }
        Err(failed.map_or(SpeechError::UnsupportedClip, |(_, error)| error))
    }

    /// Uses the first healthy transcriber, which will probably get the complete clip.
    fn start_streaming(&self, hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        let first = self.providers.iter().find(|one| one.is_healthy())?;
        let first = &first.transcriber;
        supports_any_language(first.capabilities(), &hints.languages)
            .then(|| first.start_streaming(hints))
            .flatten()
    }

    /// Uses the first healthy transcriber, which will probably get the next clip.
    fn start_upload(&self, hints: &Hints) -> Option<LiveUpload> {
        let first = self.providers.iter().find(|one| one.is_healthy())?;
        let first = &first.transcriber;
        supports_any_language(first.capabilities(), &hints.languages)
            .then(|| first.start_upload(hints))
            .flatten()
    }

    fn supports_upload(&self) -> bool {
        let mut all = self.providers.iter();
        all.any(|one| one.transcriber.supports_upload())
    }

    /// Warms the first healthy transcriber, which will probably get the next clip.
    async fn prewarm(&self) {
        let first = self.providers.iter().find(|one| one.is_healthy());
        if let Some(provider) = first {
            provider.transcriber.prewarm().await;
        }
    }
}

/// The error of the transcriber that is earlier on the list, unless that one only rejected the clip.
fn more_useful_error(
    known: Option<(usize, SpeechError)>,
    new: (usize, SpeechError),
) -> (usize, SpeechError) {
    let rank = |(place, error): &(usize, SpeechError)| {
        (matches!(error, SpeechError::UnsupportedClip), *place)
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
    let input = if all().all(|one| one.input == TranscriberInput::Samples) {
        TranscriberInput::Samples
    } else if all().all(|one| one.input == TranscriberInput::Original) {
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
        min_duration: all().map(|one| one.min_duration).min().unwrap_or_default(),
        max_duration: all().map(|one| one.max_duration).max().unwrap_or_default(),
        word_timestamps: all().any(|one| one.word_timestamps),
        // Which transcriber will be used is not known, so neither are its languages.
        languages: only.map_or(&[], |only| only.languages),
    }
}
