//! Uploads a clip while it is still being recorded, so that little work is left when it ends.
//!
//! A transcriber that supports this returns a [`LiveUpload`]: samples go in as they are recorded,
//! and [`LiveUpload::finish`] returns the transcript. A bounded buffer lies in between. No audio
//! leaves it before an [`UploadMeter`] has allowed it, so that nothing is sent that has not been
//! reserved in the budget.

mod body;
mod channel;
mod meter;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{SpeechError, Transcript, TranscriptionObserver};
use audio::{samples_to_duration, to_s16};
use channel::{FinishOnDrop, UploadChannel, duration_to_samples};

pub use body::UploadBody;
pub use channel::UploadStopped;
pub use meter::UploadMeter;

/// The most audio that may wait to be sent.
pub const MAX_QUEUED_AUDIO: Duration = Duration::from_secs(30);

/// Time limits of one upload.
#[derive(Clone, Copy, Debug)]
pub struct LiveUploadLimits {
    /// The longest clip that the provider accepts.
    pub max_duration: Duration,
    /// How long the transcript may take after the last byte was sent.
    pub answer_timeout: Duration,
}

/// The caller's end of an upload. Dropping it cancels the upload: no more audio is sent, and the
/// request is never completed.
pub struct LiveUpload {
    provider: &'static str,
    limits: LiveUploadLimits,
    channel: Arc<UploadChannel>,
    task: AbortOnDropHandle<Result<Transcript, SpeechError>>,
}

impl LiveUpload {
    /// Starts an upload to `provider`. `send` sends the body and returns the transcript; it runs as
    /// a task of its own.
    pub fn start<F>(
        provider: &'static str,
        limits: LiveUploadLimits,
        send: impl FnOnce(UploadBody) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Transcript, SpeechError>> + Send + 'static,
    {
        let channel = Arc::new(UploadChannel::default());
        let finish_guard = FinishOnDrop(Arc::clone(&channel));
        let transcribe = send(UploadBody(Arc::clone(&channel)));
        let stopped = channel.stopped.clone();
        let task = tokio::spawn(async move {
            let _finish_guard = finish_guard;
            tokio::select! {
                biased;
                () = stopped.cancelled() => Err(SpeechError::UnsupportedClip),
                transcript = transcribe => transcript,
            }
        });
        Self {
            provider,
            limits,
            channel,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// The next samples, mono at 16 kHz. Does not block.
    ///
    /// Returns false once the upload is over: refused, stopped or failed, the clip exceeds the
    /// provider's limit, or the buffer is full.
    pub fn push(&self, samples: &[f32]) -> bool {
        let mut state = self.channel.lock_state();
        let pushed = state.pushed_samples + samples.len() as u64;
        let fits = samples_to_duration(pushed) <= self.limits.max_duration
            && state.queued_bytes.len() / 2 + samples.len()
                <= duration_to_samples(MAX_QUEUED_AUDIO);
        if !fits || state.is_finished() {
            drop(state);
            self.channel.stop();
            return false;
        }
        state.pushed_samples = pushed;
        let bytes = samples
            .iter()
            .flat_map(|sample| to_s16(*sample).to_le_bytes());
        state.queued_bytes.extend(bytes);
        drop(state);
        self.channel.notify();
        true
    }

    /// Sends audio only while this condition holds; it is checked before each chunk. Call it at
    /// most once, before any audio is allowed.
    pub fn send_only_while(&self, condition: impl Fn() -> bool + Send + Sync + 'static) {
        // There is only one caller.
        let _ = self.channel.send_condition.set(Box::new(condition));
    }

    /// Number of samples pushed so far.
    pub fn pushed_samples(&self) -> u64 {
        self.channel.lock_state().pushed_samples
    }

    /// A meter that controls how much may be sent, measures it, and can stop the upload.
    pub fn meter(&self) -> UploadMeter {
        UploadMeter(Arc::clone(&self.channel))
    }

    /// Ends the clip and waits for its transcript.
    ///
    /// # Errors
    ///
    /// Why the upload gave no transcript. The complete clip can still be given to a transcriber.
    pub async fn finish(
        mut self,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        observer.on_start(self.provider);
        self.channel.lock_state().input_ended = true;
        self.channel.notify();
        let limit = self.limits.answer_timeout;
        match timeout(limit, &mut self.task).await {
            Ok(Ok(transcript)) => transcript,
            // A join error means that the task panicked or was aborted.
            Ok(Err(_)) => Err(SpeechError::UnsupportedClip),
            Err(_) => Err(SpeechError::TimedOut(limit)),
        }
    }
}

impl Drop for LiveUpload {
    fn drop(&mut self) {
        self.channel.stop();
    }
}
