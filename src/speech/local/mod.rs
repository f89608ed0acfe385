//! Local speech to text: Moonshine tiny (English) on ONNX Runtime.
//!
//! Long recordings are cut at pauses and recognized segment by segment, so memory use doesn't grow
//! with the length. The work runs on a blocking thread, with a limit on parallel runs, and stops
//! within a word when the future is dropped.

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

/// The version of the ONNX Runtime library, once it has been loaded.
pub fn runtime_version() -> Option<String> {
    onnx_runtime::loaded_version()
}

/// The provider's name, as users see it.
pub const PROVIDER_NAME: &str = "Moonshine tiny (local)";

/// Queued progress reports; further ones are dropped.
const MAX_QUEUED_REPORTS: usize = 16;

/// Model files, resources and limits of the local engine.
#[derive(Clone, Debug)]
pub struct LocalSpeechSettings {
    /// The encoder model, in ONNX Runtime's own format.
    pub encoder: PathBuf,
    /// The decoder model.
    pub decoder: PathBuf,
    /// The vocabulary.
    pub tokenizer: PathBuf,
    /// The ONNX Runtime library; `None` if there is none for this platform.
    pub runtime: Option<PathBuf>,
    /// CPU threads for the encoder; the decoder uses one. Default: the number of cores, at most 4.
    pub threads: usize,
    /// Recognitions at the same time; each holds a copy of the model in memory, about 60 MB.
    /// Default: 1.
    pub max_concurrent: usize,
    /// Limits for decoding files.
    pub limits: AudioLimits,
}

impl LocalSpeechSettings {
    /// The settings for model files that [`models::ModelStore`] keeps in `folder`.
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

/// The pool of engines, loaded or not. Clones share it.
#[derive(Clone)]
struct EnginePool {
    settings: Arc<LocalSpeechSettings>,
    /// One permit per engine that may exist.
    permits: Arc<Semaphore>,
    /// Loaded engines that are idle, at most `max_concurrent`.
    idle: Arc<Mutex<Vec<Moonshine>>>,
}

impl LocalTranscriber {
    /// Creates the transcriber; loads no model yet.
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
    /// Runs the model alone on at most half a minute of samples, without looking for speech first.
    ///
    /// # Errors
    ///
    /// The engine's errors.
    pub async fn recognize_samples(&self, samples: Vec<f32>) -> Result<String, SpeechError> {
        self.engines.recognize_samples(samples).await
    }
}

impl EnginePool {
    /// Recognizes one segment.
    async fn recognize_samples(&self, samples: Vec<f32>) -> Result<String, SpeechError> {
        self.with_engine(move |engine, cancelled| engine.recognize(&samples, cancelled))
            .await
    }

    /// Runs `work` with an engine on a blocking thread. Loads an engine if none is idle, and
    /// returns it to the pool afterwards. The flag tells `work` that the caller has gone.
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
            // Held by the thread, not by the future: an engine stays busy until it notices that its
            // caller has gone.
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
            .unwrap_or_else(|_| Err(engine_error("it failed on the recording", false)))
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

/// An error of the engine itself.
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
                // A slow observer only misses a report.
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

    /// Loads the model and runs it on half a second of silence.
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
