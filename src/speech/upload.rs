//! Uploads a clip while it is still being recorded, so that little work is left when it ends.
//!
//! A transcriber that supports this returns a [`LiveUpload`]: samples go in as they are recorded, and
//! [`LiveUpload::finish`] returns the transcript. A bounded buffer lies in between. No audio leaves
//! it before an [`UploadMeter`] has allowed it, so that nothing is sent that has not been reserved in
//! the budget.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{SpeechError, Transcript, TranscriptionObserver};
use audio::{SAMPLE_RATE, samples_to_duration, to_s16};

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
        let over = FinishOnDrop(Arc::clone(&channel));
        let sending = send(UploadBody(Arc::clone(&channel)));
        let stopped = channel.stopped.clone();
        let work = tokio::spawn(async move {
            let _over = over;
            tokio::select! {
                biased;
                () = stopped.cancelled() => Err(SpeechError::UnsupportedClip),
                words = sending => words,
            }
        });
        Self {
            provider,
            limits,
            channel,
            task: AbortOnDropHandle::new(work),
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
        let bytes = samples.iter().flat_map(|it| to_s16(*it).to_le_bytes());
        state.queued_bytes.extend(bytes);
        drop(state);
        self.channel.notify();
        true
    }

    /// Sends audio only while this condition holds; it is checked before each chunk. Call it at most
    /// once, before any audio is allowed.
    pub fn send_only_while(&self, holds: impl Fn() -> bool + Send + Sync + 'static) {
        // There is only one caller.
        let _ = self.channel.send_condition.set(Box::new(holds));
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
            Ok(Ok(words)) => words,
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

/// Controls and measures what an upload sends, for billing.
pub struct UploadMeter(Arc<UploadChannel>);

impl UploadMeter {
    /// Allows this much of the clip, counted from its start, to be sent.
    pub fn allow_up_to(&self, audio: Duration) {
        self.0.lock_state().allowed_samples = duration_to_samples(audio) as u64;
        self.0.notify();
    }

    /// How much audio was sent that a provider may bill. Final once
    /// [`wait_finished`](Self::wait_finished) has returned.
    pub fn sent_audio(&self) -> Duration {
        let state = self.0.lock_state();
        let sent = if state.refunded {
            0
        } else {
            state.sent_samples
        };
        samples_to_duration(sent)
    }

    /// Waits until less than `margin` is left between the recorded and the allowed audio.
    pub async fn wait_budget_low(&self, margin: Duration) {
        let margin = duration_to_samples(margin) as u64;
        loop {
            let changed = self.0.meter_notify.notified();
            {
                let state = self.0.lock_state();
                let nearly =
                    state.pushed_samples + margin > state.allowed_samples && !state.input_ended;
                if nearly && !state.is_finished() || state.is_over_budget() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until the upload is over, whatever the outcome.
    pub async fn wait_finished(&self) {
        self.0.finished.cancelled().await;
    }

    /// Cancels the upload.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The provider's end of an upload: the audio to send.
pub struct UploadBody(Arc<UploadChannel>);

/// The upload was cancelled before its end.
#[derive(Debug, thiserror::Error)]
#[error("the upload was stopped")]
pub struct UploadStopped;

impl UploadBody {
    /// The next samples as 16-bit little-endian PCM: at least `min_audio` except at the end of the
    /// clip. `None` after the last chunk.
    ///
    /// # Errors
    ///
    /// The upload was cancelled: neither send the rest nor complete the request.
    pub async fn next(&self, least: Duration) -> Result<Option<Bytes>, UploadStopped> {
        let least = duration_to_samples(least).max(1);
        loop {
            let changed = self.0.body_notify.notified();
            if !self.0.send_condition.get().is_none_or(|holds| holds()) {
                self.0.stop();
            }
            let next = self.0.lock_state().take_chunk(least)?;
            if let Some(next) = next {
                self.0.meter_notify.notify_one();
                return Ok((!next.is_empty()).then_some(next));
            }
            changed.await;
        }
    }

    /// Another handle, for the code that reads the response.
    pub fn clone_handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// How much audio was sent so far.
    pub fn sent_audio(&self) -> Duration {
        samples_to_duration(self.0.lock_state().sent_samples)
    }

    /// Records that the provider refused the upload and bills nothing of it.
    pub fn mark_refunded(&self) {
        self.0.lock_state().refunded = true;
    }
}

#[derive(Default)]
struct UploadChannel {
    state: Mutex<UploadChannelState>,
    /// Notified when there is more audio, more of it is allowed, or the upload is over.
    body_notify: Notify,
    /// Notified when audio was pushed or sent, or the upload is over.
    meter_notify: Notify,
    stopped: CancellationToken,
    /// Audio is sent only while this returns true.
    send_condition: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// The sending task has ended.
    finished: CancellationToken,
}

/// Amounts are in samples.
#[derive(Default)]
struct UploadChannelState {
    /// PCM that was not sent yet.
    queued_bytes: VecDeque<u8>,
    pushed_samples: u64,
    sent_samples: u64,
    allowed_samples: u64,
    input_ended: bool,
    stopped: bool,
    is_finished: bool,
    refunded: bool,
}

impl UploadChannelState {
    fn is_finished(&self) -> bool {
        self.stopped || self.is_finished
    }

    /// Whether audio is queued that may not be sent yet.
    fn is_over_budget(&self) -> bool {
        self.pushed_samples > self.allowed_samples && !self.is_finished()
    }

    /// What can be sent now, if anything; empty at the end of the clip.
    fn take_chunk(&mut self, least: usize) -> Result<Option<Bytes>, UploadStopped> {
        if self.is_finished() {
            return Err(UploadStopped);
        }
        let waiting = self.queued_bytes.len() / 2;
        if self.input_ended && waiting == 0 {
            return Ok(Some(Bytes::new()));
        }
        let allowed = usize::try_from(self.allowed_samples.saturating_sub(self.sent_samples))
            .unwrap_or(usize::MAX);
        let count = waiting.min(allowed);
        if count == 0 || count < least && !self.input_ended {
            return Ok(None);
        }
        self.sent_samples += count as u64;
        Ok(Some(self.queued_bytes.drain(..2 * count).collect()))
    }
}

impl UploadChannel {
    fn lock_state(&self) -> MutexGuard<'_, UploadChannelState> {
        // No call leaves the state inconsistent, so a poisoned lock is still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.body_notify.notify_one();
        self.meter_notify.notify_one();
    }

    fn stop(&self) {
        {
            let mut state = self.lock_state();
            state.stopped = true;
            state.queued_bytes = VecDeque::new();
        }
        self.stopped.cancel();
        self.notify();
    }
}

/// Marks the upload as finished when the sending task ends, for whatever reason.
struct FinishOnDrop(Arc<UploadChannel>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        self.0.lock_state().is_finished = true;
        self.0.finished.cancel();
        self.0.notify();
    }
}

/// Counts in whole milliseconds, so that sums are not rounded twice.
fn duration_to_samples(duration: Duration) -> usize {
    (duration.as_millis() as usize).saturating_mul(SAMPLE_RATE as usize / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    static SECOND: [f32; 16_000] = [0.5; 16_000];

    fn transcript_of(text: &str) -> Transcript {
        Transcript {
            text: text.to_owned(),
            segments: Vec::new(),
            words: Vec::new(),
            language: None,
            confidence: None,
            provider: "somebody",
        }
    }

    /// An upload whose transcript is the number of bytes received.
    fn upload_counting_samples(longest: u64) -> LiveUpload {
        let limits = LiveUploadLimits {
            max_duration: Duration::from_secs(longest),
            answer_timeout: Duration::from_secs(5),
        };
        LiveUpload::start("somebody", limits, |body| async move {
            let mut bytes = 0;
            while let Some(piece) = body
                .next(Duration::from_millis(100))
                .await
                .map_err(|_| SpeechError::UnsupportedClip)?
            {
                bytes += piece.len();
            }
            Ok(transcript_of(&bytes.to_string()))
        })
    }

    #[tokio::test]
    async fn all_that_was_pushed_is_sent_and_then_the_words_come() {
        let upload = upload_counting_samples(10);
        let meter = upload.meter();
        meter.allow_up_to(Duration::from_secs(9));
        for _ in 0..3 {
            assert!(upload.push(&SECOND));
        }
        assert!(upload.push(&SECOND[..10]), "less than a piece, but the end");
        let heard = upload.finish(&()).await.expect("words");
        assert_eq!(heard.text, (2 * (3 * 16_000 + 10)).to_string());
        meter.wait_finished().await;
        assert_eq!(meter.sent_audio(), samples_to_duration(3 * 16_000 + 10));
    }

    #[tokio::test]
    async fn nothing_is_sent_beyond_what_is_allowed() {
        let upload = upload_counting_samples(10);
        let meter = upload.meter();
        assert!(upload.push(&SECOND) && upload.push(&SECOND));
        meter.wait_budget_low(Duration::ZERO).await;
        assert_eq!(meter.sent_audio(), Duration::ZERO);
        meter.allow_up_to(Duration::from_secs(1));
        while meter.sent_audio() < Duration::from_secs(1) {
            tokio::task::yield_now().await;
        }
        meter.wait_budget_low(Duration::ZERO).await;
        assert_eq!(meter.sent_audio(), Duration::from_secs(1));
        drop(upload);
        meter.wait_finished().await;
        assert_eq!(
            meter.sent_audio(),
            Duration::from_secs(1),
            "what was sent is sent"
        );
    }

    #[tokio::test]
    async fn what_waits_is_not_sent_once_it_may_not_be() {
        let upload = upload_counting_samples(10);
        let leave = CancellationToken::new();
        let ends = leave.clone();
        upload.send_only_while(move || !ends.is_cancelled());
        let meter = upload.meter();
        assert!(upload.push(&SECOND));
        // No call to stop(): the upload checks the condition itself.
        leave.cancel();
        meter.allow_up_to(Duration::from_secs(9));
        meter.wait_finished().await;
        assert_eq!(meter.sent_audio(), Duration::ZERO);
        assert!(upload.finish(&()).await.is_err());
    }

    #[tokio::test]
    async fn what_is_too_much_ends_it() {
        let long = upload_counting_samples(2);
        assert!(long.push(&SECOND) && long.push(&SECOND));
        assert!(!long.push(&SECOND[..1]), "longer than the provider takes");
        assert!(!long.push(&[]), "it is over");
        long.meter().wait_finished().await;

        let waiting = upload_counting_samples(600);
        for _ in 0..30 {
            assert!(waiting.push(&SECOND));
        }
        assert!(!waiting.push(&SECOND[..1]), "more than there is room for");
        assert!(waiting.finish(&()).await.is_err());
    }

    #[tokio::test]
    async fn what_was_refused_is_not_billed() {
        let limits = LiveUploadLimits {
            max_duration: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(5),
        };
        let upload = LiveUpload::start("somebody", limits, |body| async move {
            let _ = body.next(Duration::ZERO).await;
            body.mark_refunded();
            Err(SpeechError::UnsupportedClip)
        });
        let meter = upload.meter();
        meter.allow_up_to(Duration::from_secs(1));
        assert!(upload.push(&SECOND));
        meter.wait_finished().await;
        assert_eq!(meter.sent_audio(), Duration::ZERO);
        assert!(!upload.push(&SECOND));
        assert!(upload.finish(&()).await.is_err());
    }
}
