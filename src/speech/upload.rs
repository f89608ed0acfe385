//! A clip that is uploaded while it is still being recorded, so that little is left to do once it is
//! whole.
//!
//! A provider that takes such clips gives a [`SyncLiveUpload`]: samples go in as they are recorded, and
//! at the end the words come out. In between lies a buffer of bounded size. Nothing leaves it for the
//! provider beyond what an [`UploadMeter`] has allowed, so that nothing is sent that nobody has
//! reserved money for.

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

/// The most audio that waits to be sent.
pub const MAX_QUEUED_AUDIO: Duration = Duration::from_secs(30);

/// What bounds one upload.
#[derive(Clone, Copy, Debug)]
pub struct LiveUploadLimits {
    /// The longest clip that the provider takes.
    pub max_duration: Duration,
    /// How long the words may take once all is sent.
    pub answer_timeout: Duration,
}

/// The near end of an upload. Dropping it ends the upload in the middle: the provider gets no more
/// of it, and never the end.
pub struct LiveUpload {
    provider: &'static str,
    limits: LiveUploadLimits,
    channel: Arc<UploadChannel>,
    task: AbortOnDropHandle<Result<Transcript, SpeechError>>,
}

impl LiveUpload {
    /// Begins an upload to `provider`. `send` sends what the body gives, and gives the words; it
    /// runs as a task of its own.
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

    /// The next samples, mono at 16 kHz. Does not wait.
    ///
    /// False: this upload is of no use any more. It was refused or stopped, it broke, the clip is
    /// too long for it, or more waits than there is room for.
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

    /// Sends only while this holds, which is asked before each piece. Once for each upload, before
    /// anything is allowed.
    pub fn send_only_while(&self, holds: impl Fn() -> bool + Send + Sync + 'static) {
        // There is only one who says this.
        let _ = self.channel.send_condition.set(Box::new(holds));
    }

    /// How many samples were pushed.
    pub fn pushed_samples(&self) -> u64 {
        self.channel.lock_state().pushed_samples
    }

    /// Who sees how much is used, and can put an end to it.
    pub fn meter(&self) -> UploadMeter {
        UploadMeter(Arc::clone(&self.channel))
    }

    /// That was all: what is said in it.
    ///
    /// # Errors
    ///
    /// Why there are no words from here. The whole clip can still be given to a transcriber.
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
            // Only what panicked or was aborted is not joined.
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

/// Looks on while a clip is uploaded, for whoever pays for it.
pub struct UploadMeter(Arc<UploadChannel>);

impl UploadMeter {
    /// So much of the clip may be sent in all.
    pub fn allow_up_to(&self, audio: Duration) {
        self.0.lock_state().allowed_samples = duration_to_samples(audio) as u64;
        self.0.notify();
    }

    /// How much of it was sent, as far as a provider may bill it. Final once the upload is
    /// [`over`](Self::over).
    pub fn sent_audio(&self) -> Duration {
        let state = self.0.lock_state();
        let sent = if state.refunded {
            0
        } else {
            state.sent_samples
        };
        samples_to_duration(sent)
    }

    /// Waits until there is less than `margin` between what is recorded and what may be sent.
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

    /// Waits until nothing more is sent, and nothing more comes of it.
    pub async fn wait_finished(&self) {
        self.0.finished.cancelled().await;
    }

    /// Ends the upload in the middle.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The provider's end: what is to be sent.
pub struct UploadBody(Arc<UploadChannel>);

/// An upload that ends in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the upload was stopped")]
pub struct UploadStopped;

impl UploadBody {
    /// The next samples as 16-bit little-endian PCM, at least `least` of them unless it is the end;
    /// `None` after the last.
    ///
    /// # Errors
    ///
    /// The rest is not to be sent, and the end neither.
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

    /// Another handle, for whoever reads the answer.
    pub fn clone_handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// How much was sent so far.
    pub fn sent_audio(&self) -> Duration {
        samples_to_duration(self.0.lock_state().sent_samples)
    }

    /// The provider bills nothing of it: it has refused it.
    pub fn mark_refunded(&self) {
        self.0.lock_state().refunded = true;
    }
}

#[derive(Default)]
struct UploadChannel {
    state: Mutex<UploadChannelState>,
    /// There is more to send, or it may be sent, or nothing more is.
    body_notify: Notify,
    /// Something was pushed, sent, or ended.
    meter_notify: Notify,
    stopped: CancellationToken,
    /// Whether it may still be sent.
    send_condition: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// The end of whoever sends.
    finished: CancellationToken,
}

/// In samples.
#[derive(Default)]
struct UploadChannelState {
    /// PCM that was not sent.
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

    /// Whether something waits that may not be sent.
    fn is_over_budget(&self) -> bool {
        self.pushed_samples > self.allowed_samples && !self.is_finished()
    }

    /// What can be sent now; empty: that was all.
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
        // The state is whole between any two calls.
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

/// Whoever sends is gone, whatever the reason.
struct FinishOnDrop(Arc<UploadChannel>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        self.0.lock_state().is_finished = true;
        self.0.finished.cancel();
        self.0.notify();
    }
}

/// Samples are counted, so that nothing is rounded twice.
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

    /// An upload whose words are how many bytes came, and whether they came to an end.
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
        // Nobody stops it: it asks for itself.
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
