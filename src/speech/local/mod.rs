//! Speech to text on this machine: Moonshine tiny (English) through ONNX Runtime.
//!
//! Long recordings are cut at pauses and recognized stretch by stretch, so memory does not grow
//! with the length. The work runs on a blocking thread, bounded in parallel, and stops within a
//! word when the future is dropped.

mod clip_recognition;
mod moonshine;
mod onnx_runtime;
mod overlap_merge;
mod streaming_recognition;
mod tokenizer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};

use super::{
    Capabilities, Hints, SpeechError, StreamingRecognition, Transcriber, TranscriberInput,
    Transcript, TranscriptionObserver, TranscriptionProgress,
};
use crate::models;
use audio::{AudioLimits, Clip};

use moonshine::Moonshine;
use streaming_recognition::LocalStreamingRecognition;

/// The build of the ONNX Runtime library, once it has been loaded.
pub fn runtime_version() -> Option<String> {
    onnx_runtime::loaded_version()
}

/// What people read as the provider's name.
pub const PROVIDER_NAME: &str = "Moonshine tiny (local)";

/// Progress reports that wait for the observer; further ones are dropped.
const MAX_QUEUED_REPORTS: usize = 16;

/// How the local engine runs.
#[derive(Clone, Debug)]
pub struct LocalSpeechSettings {
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
    pub max_concurrent: usize,
    /// The limits under which files are decoded.
    pub limits: AudioLimits,
}

impl LocalSpeechSettings {
    /// The files as [`models::Store`] keeps them in `folder`.
    pub fn in_folder(folder: &Path, limits: AudioLimits) -> Self {
        let model = folder.join("moonshine-tiny-en");
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            encoder: model.join("encoder_model.ort"),
            decoder: model.join("decoder_model_merged.ort"),
            tokenizer: model.join("tokenizer.bin"),
            runtime: models::onnx_runtime()
                .and_then(|asset| asset.files.first())
                .map(|file| folder.join(file.name)),
            threads: cores.min(4),
            max_concurrent: 1,
            limits,
        }
    }
}

/// Moonshine as a [`Transcriber`].
pub struct LocalTranscriber {
    capabilities: Capabilities,
    engines: EnginePool,
}

/// The engines there are, loaded or not. Cloning shares them.
#[derive(Clone)]
struct EnginePool {
    settings: Arc<LocalSpeechSettings>,
    /// As many permits as engines may exist.
    permits: Arc<Semaphore>,
    /// Engines that are loaded and idle. Shorter than `parallel`.
    idle: Arc<Mutex<Vec<Moonshine>>>,
}

impl LocalTranscriber {
    /// Loads nothing yet.
    pub fn new(settings: LocalSpeechSettings) -> Self {
        Self {
            capabilities: Capabilities {
                name: PROVIDER_NAME,
                input: TranscriberInput::Either,
                min_duration: ::audio::MIN_DURATION,
                max_duration: Duration::MAX,
                word_timestamps: false,
                languages: &["en"],
            },
            engines: EnginePool {
                permits: Arc::new(Semaphore::new(settings.max_concurrent.max(1))),
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
    pub async fn recognize_samples(&self, samples: Vec<f32>) -> Result<String, SpeechError> {
        self.engines.recognize_samples(samples).await
    }
}

impl EnginePool {
    /// What is said in a stretch.
    async fn recognize_samples(&self, samples: Vec<f32>) -> Result<String, SpeechError> {
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
            .map_err(|_| engine_error("it is shutting down", false))?;
        let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&cancelled.0);
        let idle = Arc::clone(&self.idle);
        let settings = Arc::clone(&self.settings);
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the future: an engine whose caller has gone is busy
            // until it notices.
            let _permit = permit;
            let loaded = lock_idle(&idle).pop();
            let mut engine = match loaded {
                Some(engine) => engine,
                None => Moonshine::load(&settings)?,
            };
            let result = work(&mut engine, &flag);
            lock_idle(&idle).push(engine);
            result
        });
        done.await
            .unwrap_or_else(|_| Err(engine_error("it stumbled over the recording", false)))
    }
}

fn lock_idle(idle: &Mutex<Vec<Moonshine>>) -> std::sync::MutexGuard<'_, Vec<Moonshine>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A fault of the engine itself.
fn engine_error(reason: impl Into<String>, fetch_mends: bool) -> SpeechError {
    SpeechError::LocalEngine {
        reason: reason.into(),
        fixed_by_fetch: fetch_mends,
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
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        observer.on_start(PROVIDER_NAME);
        let total = clip.duration();
        let limits = self.engines.settings.limits.clone();
        let clip = clip.clone();
        let (reports, mut progress) = mpsc::channel(MAX_QUEUED_REPORTS);
        let work = self.engines.with_engine(move |engine, cancelled| {
            clip_recognition::recognize_clip(engine, &clip, &limits, cancelled, |done| {
                // An observer that is behind misses a report, nothing else.
                let _ = reports.try_send(done);
            })
        });
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                Some(done) = progress.recv() => {
                    observer.on_progress(TranscriptionProgress::Recognizing { done, total });
                }
            }
        }
    }

    /// Loads the model and has it listen to half a second of silence.
    async fn probe(&self) -> Result<(), SpeechError> {
        self.engines
            .recognize_samples(vec![0.0; 8_000])
            .await
            .map(|_| ())
    }

    fn start_streaming(&self, _hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        Some(Box::new(LocalStreamingRecognition::new(
            self.engines.clone(),
        )))
    }
}
