//! Several transcribers in one: the first that can, and the next one when it can't.

mod health;
mod probing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Ahead, Capabilities, Hints, Input, LiveUpload, NextMove, Observer, SpeechError, Transcriber,
    Transcript,
};
use audio::Clip;

use health::Record;
pub use health::{Fault, Health};

/// How a broken transcriber is probed. Waits double from the first to the longest.
#[derive(Clone, Debug)]
pub struct FailoverSettings {
    /// The wait before the first probe. Default: 5 s.
    pub first_probe: Duration,
    /// The longest wait between probes. Default: 5 min.
    pub longest_probe: Duration,
    /// The wait before the first probe after a refused key or a spent quota, which only
    /// somebody at a keyboard can mend. Default: 1 min.
    pub first_slow_probe: Duration,
    /// The longest wait between such probes. Default: 30 min.
    pub longest_slow_probe: Duration,
    /// The time limit of one probe. Default: 30 s.
    pub probe_limit: Duration,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            first_probe: Duration::from_secs(5),
            longest_probe: Duration::from_secs(300),
            first_slow_probe: Duration::from_secs(60),
            longest_slow_probe: Duration::from_secs(1_800),
            probe_limit: Duration::from_secs(30),
        }
    }
}

/// How one transcriber of a [`Failover`] is, for people and metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProviderHealth {
    /// [`Capabilities::name`].
    pub name: &'static str,
    /// Whether it is used.
    pub health: Health,
}

/// An ordered list of transcribers that stands for one.
///
/// A clip goes to the first healthy one that takes it. One that fails with
/// [`NextMove::Another`] is left out from then on and probed in the background until it answers
/// again; probing ends with the `Failover`. If all healthy ones fail, the others are tried as a
/// last resort. Where hints name languages, those who know none of them are tried only if nobody
/// on the list does: an English-only engine would make up words.
///
/// If all fail, the error is that of the first on the list, since this is the one somebody set
/// up; each is logged.
pub struct Failover {
    providers: Vec<Arc<Provider>>,
    probes: Mutex<Vec<Option<AbortOnDropHandle<()>>>>,
    settings: FailoverSettings,
    capabilities: Capabilities,
}

/// One on the list, and what is remembered of it.
struct Provider {
    transcriber: Arc<dyn Transcriber>,
    record: Mutex<Record>,
}

impl Provider {
    fn name(&self) -> &'static str {
        self.transcriber.capabilities().name
    }

    fn with_record<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        // A record is whole between any two statements.
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut record)
    }

    fn is_healthy(&self) -> bool {
        self.with_record(|record| record.is_healthy())
    }
}

impl Failover {
    /// Stands for `providers`, the preferred one first. All count as healthy at first; nothing
    /// is probed before something fails. With an empty list every clip is
    /// [`SpeechError::Unsuitable`].
    pub fn new(providers: Vec<Arc<dyn Transcriber>>, settings: FailoverSettings) -> Self {
        let capabilities = joint_capabilities(&providers);
        let probes = Mutex::new(providers.iter().map(|_| None).collect());
        let providers = providers
            .into_iter()
            .map(|transcriber| {
                Arc::new(Provider {
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

    /// How each one is, in the order of the list.
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.providers
            .iter()
            .map(|provider| ProviderHealth {
                name: provider.name(),
                health: provider.with_record(|record| record.health().clone()),
            })
            .collect()
    }

    /// Those on the list that may be given the clip, by their places.
    fn candidates(&self, clip: &Clip, hints: &Hints) -> Vec<usize> {
        let takers: Vec<usize> = (0..self.providers.len())
            .filter(|&place| self.capabilities_of(place).takes(clip))
            .collect();
        let speakers: Vec<usize> = takers
            .iter()
            .copied()
            .filter(|&place| knows_a_language(self.capabilities_of(place), &hints.languages))
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

    /// Takes the next one out of `left`: the first healthy one, else the first.
    fn take_next(&self, left: &mut Vec<usize>) -> Option<usize> {
        let healthy = left
            .iter()
            .position(|&place| self.providers[place].is_healthy());
        (!left.is_empty()).then(|| left.remove(healthy.unwrap_or(0)))
    }

    fn note_success(&self, place: usize) {
        let provider = &self.providers[place];
        if provider.with_record(Record::worked) {
            // Its probing sees that when it wakes, and ends.
            tracing::info!(provider = provider.name(), "works again");
        }
    }

    fn note_failure(&self, place: usize, error: &SpeechError) {
        let provider = &self.providers[place];
        tracing::warn!(
            provider = provider.name(),
            error = error as &dyn std::error::Error,
            "transcription failed"
        );
        let Some(fault) = Fault::of(error) else {
            return;
        };
        if provider.with_record(|record| record.failed(fault)) {
            let probing = probing::until_healthy(provider.clone(), self.settings.clone());
            let task = AbortOnDropHandle::new(tokio::spawn(probing));
            let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
            // One at a time: what may still sleep there from before is ended.
            probes[place] = Some(task);
        }
    }
}

#[async_trait]
impl Transcriber for Failover {
    /// What the list can do together: a clip outside of this is taken by nobody, one inside
    /// perhaps.
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Ends within the sum of the bounds of those on the list.
    async fn transcribe(
        &self,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        let mut left = self.candidates(clip, hints);
        let mut failed: Option<(usize, SpeechError)> = None;
        let mut next = self.take_next(&mut left);
        while let Some(place) = next {
            let provider = &self.providers[place];
            let error = match provider.transcriber.transcribe(clip, hints, observer).await {
                Ok(transcript) => {
                    self.note_success(place);
                    return Ok(transcript);
                }
                Err(error) => error,
            };
            self.note_failure(place, &error);
            if error.next_move() == NextMove::GiveUp {
                return Err(error);
            }
            next = self.take_next(&mut left);
            if let Some(next) = next {
                observer.fell_back(provider.name(), &error, self.providers[next].name());
            }
            failed = Some(more_useful(failed, (place, error)));
        }
        Err(failed.map_or(SpeechError::Unsuitable, |(_, error)| error))
    }

    /// Whether at least one on the list would work now; else the first one's error.
    async fn probe(&self) -> Result<(), SpeechError> {
        let mut failed: Option<(usize, SpeechError)> = None;
        for (place, provider) in self.providers.iter().enumerate() {
            match probing::probe(provider, self.settings.probe_limit).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(more_useful(failed, (place, error))),
            }
        }
        Err(failed.map_or(SpeechError::Unsuitable, |(_, error)| error))
    }

    /// Whoever is likely to be given the whole listens ahead.
    fn ahead(&self, hints: &Hints) -> Option<Box<dyn Ahead>> {
        let first = self.providers.iter().find(|one| one.is_healthy())?;
        let first = &first.transcriber;
        knows_a_language(first.capabilities(), &hints.languages)
            .then(|| first.ahead(hints))
            .flatten()
    }

    /// The first healthy one takes it, which is likely to be given the next clip.
    fn upload(&self, hints: &Hints) -> Option<LiveUpload> {
        let first = self.providers.iter().find(|one| one.is_healthy())?;
        let first = &first.transcriber;
        knows_a_language(first.capabilities(), &hints.languages)
            .then(|| first.upload(hints))
            .flatten()
    }

    fn takes_uploads(&self) -> bool {
        let mut all = self.providers.iter();
        all.any(|one| one.transcriber.takes_uploads())
    }

    /// Warms the first healthy one, which is likely to be given the next clip.
    async fn warm(&self) {
        let first = self.providers.iter().find(|one| one.is_healthy());
        if let Some(provider) = first {
            provider.transcriber.warm().await;
        }
    }
}

/// The error of whoever is first on the list, unless it only says that the clip does not suit.
fn more_useful(
    known: Option<(usize, SpeechError)>,
    new: (usize, SpeechError),
) -> (usize, SpeechError) {
    let rank =
        |(place, error): &(usize, SpeechError)| (matches!(error, SpeechError::Unsuitable), *place);
    match known {
        Some(known) if rank(&known) <= rank(&new) => known,
        _ => new,
    }
}

fn knows_a_language(capabilities: &Capabilities, languages: &[String]) -> bool {
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

fn joint_capabilities(providers: &[Arc<dyn Transcriber>]) -> Capabilities {
    let all = || providers.iter().map(|provider| provider.capabilities());
    let input = if all().all(|one| one.input == Input::Samples) {
        Input::Samples
    } else if all().all(|one| one.input == Input::Original) {
        Input::Original
    } else {
        Input::Either
    };
    let only = match providers {
        [only] => Some(only.capabilities()),
        _ => None,
    };
    Capabilities {
        name: only.map_or("the first that works", |only| only.name),
        input,
        shortest: all().map(|one| one.shortest).min().unwrap_or_default(),
        longest: all().map(|one| one.longest).max().unwrap_or_default(),
        word_times: all().any(|one| one.word_times),
        // Which one will answer is not known, nor, then, which languages count.
        languages: only.map_or(&[], |only| only.languages),
    }
}
