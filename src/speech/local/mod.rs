//! Speech to text on this machine: Moonshine tiny (English) through ONNX Runtime.
//!
//! Long recordings are cut at pauses and recognized stretch by stretch, so memory does not grow
//! with the length. The work runs on a blocking thread, bounded in parallel, and stops within a
//! word when the future is dropped.

mod ahead;
mod join;
mod moonshine;
mod runtime;
mod tokenizer;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};

use super::{
    Ahead, Capabilities, Hints, Input, Observer, Progress, SpeechError, Transcriber, Transcript,
};
use crate::models;
use audio::{Clip, Limits};

use ahead::LocalAhead;
use moonshine::Moonshine;

/// The build of the ONNX Runtime library, once it has been loaded.
pub fn runtime_version() -> Option<String> {
    runtime::loaded_version()
}

/// What people read as the provider's name.
pub const NAME: &str = "Moonshine tiny (local)";

/// Progress reports that wait for the observer; further ones are dropped.
const REPORTS: usize = 16;

/// How the local engine runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The encoder, in ONNX Runtime's own format.
    pub encoder: PathBuf,
    /// The decoder.
    pub decoder: PathBuf,
    /// The vocabulary.
    pub tokenizer: PathBuf,
    /// The ONNX Runtime library; none: there is none for this platform.
    pub runtime: Option<PathBuf>,
    /// CPU threads that listen; the words are written by one. Default: the machine's cores, at most 4.
    pub threads: usize,
    /// Recognitions at the same time; each has the model in memory once, about 60 MB.
    /// Default: 1.
    pub parallel: usize,
    /// The limits under which files are decoded.
    pub limits: Limits,
}

impl Settings {
    /// The files as [`models::Store`] keeps them in `folder`.
    pub fn in_folder(folder: &Path, limits: Limits) -> Self {
        let model = folder.join("moonshine-tiny-en");
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            encoder: model.join("encoder_model.ort"),
            decoder: model.join("decoder_model_merged.ort"),
            tokenizer: model.join("tokenizer.bin"),
            runtime: models::runtime()
                .and_then(|asset| asset.files.first())
                .map(|file| folder.join(file.name)),
            threads: cores.min(4),
            parallel: 1,
            limits,
        }
    }
}

/// Moonshine as a [`Transcriber`].
pub struct LocalTranscriber {
    capabilities: Capabilities,
    engines: Engines,
}

/// The engines there are, loaded or not. Cloning shares them.
#[derive(Clone)]
struct Engines {
    settings: Arc<Settings>,
    /// As many permits as engines may exist.
    permits: Arc<Semaphore>,
    /// Engines that are loaded and idle. Shorter than `parallel`.
    idle: Arc<Mutex<Vec<Moonshine>>>,
}

impl LocalTranscriber {
    /// Loads nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            capabilities: Capabilities {
                name: NAME,
                input: Input::Either,
                shortest: ::audio::SHORTEST,
                longest: Duration::MAX,
                word_times: false,
                languages: &["en"],
            },
            engines: Engines {
                permits: Arc::new(Semaphore::new(settings.parallel.max(1))),
                idle: Arc::default(),
                settings: Arc::new(settings),
            },
        }
    }
}

impl LocalTranscriber {
    /// What the model alone makes of at most half a minute of samples: nobody looks for speech in
    /// them first.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub async fn recognize(&self, samples: Vec<f32>) -> Result<String, SpeechError> {
        self.engines.recognize(samples).await
    }
}

impl Engines {
    /// What is said in a stretch.
    async fn recognize(&self, samples: Vec<f32>) -> Result<String, SpeechError> {
        self.with_engine(move |engine, cancelled| engine.recognize(&samples, cancelled))
            .await
    }

    /// Runs `work` with an engine on a blocking thread. The engine is loaded if none is idle, and
    /// idle again afterwards. `work` is told by the flag when nobody waits for it any more.
    async fn with_engine<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Moonshine, &AtomicBool) -> Result<T, SpeechError> + Send + 'static,
    ) -> Result<T, SpeechError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| engine_fault("it is shutting down", false))?;
        let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&cancelled.0);
        let idle = Arc::clone(&self.idle);
        let settings = Arc::clone(&self.settings);
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the future: an engine whose caller has gone is busy
            // until it notices.
            let _permit = permit;
            let loaded = lock(&idle).pop();
            let mut engine = match loaded {
                Some(engine) => engine,
                None => Moonshine::load(&settings)?,
            };
            let result = work(&mut engine, &flag);
            lock(&idle).push(engine);
            result
        });
        done.await
            .unwrap_or_else(|_| Err(engine_fault("it stumbled over the recording", false)))
    }
}

fn lock(idle: &Mutex<Vec<Moonshine>>) -> std::sync::MutexGuard<'_, Vec<Moonshine>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A fault of the engine itself.
fn engine_fault(reason: impl Into<String>, fetch_mends: bool) -> SpeechError {
    SpeechError::Local {
        reason: reason.into(),
        fetch_mends,
    }
}

#[async_trait]
impl Transcriber for LocalTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn transcribe(
        &self,
        clip: &Clip,
        _hints: &Hints,
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        observer.started(NAME);
        let total = clip.duration();
        let limits = self.engines.settings.limits.clone();
        let clip = clip.clone();
        let (reports, mut progress) = mpsc::channel(REPORTS);
        let work = self.engines.with_engine(move |engine, cancelled| {
            work::recognize(engine, &clip, &limits, cancelled, |done| {
                // An observer that is behind misses a report, nothing else.
                let _ = reports.try_send(done);
            })
        });
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                Some(done) = progress.recv() => {
                    observer.progressed(Progress::Recognizing { done, total });
                }
            }
        }
    }

    /// Loads the model and has it listen to half a second of silence.
    async fn probe(&self) -> Result<(), SpeechError> {
        self.engines.recognize(vec![0.0; 8_000]).await.map(|_| ())
    }

    fn ahead(&self, _hints: &Hints) -> Option<Box<dyn Ahead>> {
        Some(Box::new(LocalAhead::new(self.engines.clone())))
    }
}
