//! A clip that is uploaded while it is still being recorded, so that little is left to do once it is
//! whole.
//!
//! A provider that takes such clips gives a [`LiveUpload`]: samples go in as they are recorded, and
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

use super::{Observer, SpeechError, Transcript};
use audio::{SAMPLE_RATE, samples_to_duration, to_s16};

/// The most audio that waits to be sent.
pub const ROOM: Duration = Duration::from_secs(30);

/// What bounds one upload.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// The longest clip that the provider takes.
    pub longest: Duration,
    /// How long the words may take once all is sent.
    pub answer: Duration,
}

/// The near end of an upload. Dropping it ends the upload in the middle: the provider gets no more
/// of it, and never the end.
pub struct LiveUpload {
    provider: &'static str,
    limits: UploadLimits,
    line: Arc<Line>,
    work: AbortOnDropHandle<Result<Transcript, SpeechError>>,
}

impl LiveUpload {
    /// Begins an upload to `provider`. `send` sends what the body gives, and gives the words; it
    /// runs as a task of its own.
    pub fn begin<F>(
        provider: &'static str,
        limits: UploadLimits,
        send: impl FnOnce(UploadBody) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Transcript, SpeechError>> + Send + 'static,
    {
        let line = Arc::new(Line::default());
        let over = Over(Arc::clone(&line));
        let sending = send(UploadBody(Arc::clone(&line)));
        let stopped = line.stopped.clone();
        let work = tokio::spawn(async move {
            let _over = over;
            tokio::select! {
                biased;
                () = stopped.cancelled() => Err(SpeechError::Unsuitable),
                words = sending => words,
            }
        });
        Self {
            provider,
            limits,
            line,
            work: AbortOnDropHandle::new(work),
        }
    }

    /// The next samples, mono at 16 kHz. Does not wait.
    ///
    /// False: this upload is of no use any more. It was refused or stopped, it broke, the clip is
    /// too long for it, or more waits than there is room for.
    pub fn push(&self, samples: &[f32]) -> bool {
        let mut state = self.line.state();
        let pushed = state.pushed + samples.len() as u64;
        let fits = samples_to_duration(pushed) <= self.limits.longest
            && state.waiting.len() / 2 + samples.len() <= whole_samples(ROOM);
        if !fits || state.is_over() {
            drop(state);
            self.line.stop();
            return false;
        }
        state.pushed = pushed;
        let bytes = samples.iter().flat_map(|it| to_s16(*it).to_le_bytes());
        state.waiting.extend(bytes);
        drop(state);
        self.line.changed();
        true
    }

    /// Sends only while this holds, which is asked before each piece. Once for each upload, before
    /// anything is allowed.
    pub fn only_while(&self, holds: impl Fn() -> bool + Send + Sync + 'static) {
        // There is only one who says this.
        let _ = self.line.holds.set(Box::new(holds));
    }

    /// How many samples were pushed.
    pub fn pushed(&self) -> u64 {
        self.line.state().pushed
    }

    /// Who sees how much is used, and can put an end to it.
    pub fn meter(&self) -> UploadMeter {
        UploadMeter(Arc::clone(&self.line))
    }

    /// That was all: what is said in it.
    ///
    /// # Errors
    ///
    /// Why there are no words from here. The whole clip can still be given to a transcriber.
    pub async fn finish(mut self, observer: &dyn Observer) -> Result<Transcript, SpeechError> {
        observer.started(self.provider);
        self.line.state().ended = true;
        self.line.changed();
        let limit = self.limits.answer;
        match timeout(limit, &mut self.work).await {
            Ok(Ok(words)) => words,
            // Only what panicked or was aborted is not joined.
            Ok(Err(_)) => Err(SpeechError::Unsuitable),
            Err(_) => Err(SpeechError::TimedOut(limit)),
        }
    }
}

impl Drop for LiveUpload {
    fn drop(&mut self) {
        self.line.stop();
    }
}

/// Looks on while a clip is uploaded, for whoever pays for it.
pub struct UploadMeter(Arc<Line>);

impl UploadMeter {
    /// So much of the clip may be sent in all.
    pub fn allow(&self, audio: Duration) {
        self.0.state().allowed = whole_samples(audio) as u64;
        self.0.changed();
    }

    /// How much of it was sent, as far as a provider may bill it. Final once the upload is
    /// [`over`](Self::over).
    pub fn sent(&self) -> Duration {
        let state = self.0.state();
        let sent = if state.refunded { 0 } else { state.sent };
        samples_to_duration(sent)
    }

    /// Waits until there is less than `margin` between what is recorded and what may be sent.
    pub async fn wants_more(&self, margin: Duration) {
        let margin = whole_samples(margin) as u64;
        loop {
            let changed = self.0.to_meter.notified();
            {
                let state = self.0.state();
                let nearly = state.pushed + margin > state.allowed && !state.ended;
                if nearly && !state.is_over() || state.lacks() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until nothing more is sent, and nothing more comes of it.
    pub async fn over(&self) {
        self.0.over.cancelled().await;
    }

    /// Ends the upload in the middle.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The provider's end: what is to be sent.
pub struct UploadBody(Arc<Line>);

/// An upload that ends in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the upload was stopped")]
pub struct Stopped;

impl UploadBody {
    /// The next samples as 16-bit little-endian PCM, at least `least` of them unless it is the end;
    /// `None` after the last.
    ///
    /// # Errors
    ///
    /// The rest is not to be sent, and the end neither.
    pub async fn next(&self, least: Duration) -> Result<Option<Bytes>, Stopped> {
        let least = whole_samples(least).max(1);
        loop {
            let changed = self.0.to_body.notified();
            if !self.0.holds.get().is_none_or(|holds| holds()) {
                self.0.stop();
            }
            let next = self.0.state().take(least)?;
            if let Some(next) = next {
                self.0.to_meter.notify_one();
                return Ok((!next.is_empty()).then_some(next));
            }
            changed.await;
        }
    }

    /// Another handle, for whoever reads the answer.
    pub fn handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// How much was sent so far.
    pub fn sent(&self) -> Duration {
        samples_to_duration(self.0.state().sent)
    }

    /// The provider bills nothing of it: it has refused it.
    pub fn refunded(&self) {
        self.0.state().refunded = true;
    }
}

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    /// There is more to send, or it may be sent, or nothing more is.
    to_body: Notify,
    /// Something was pushed, sent, or ended.
    to_meter: Notify,
    stopped: CancellationToken,
    /// Whether it may still be sent.
    holds: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// The end of whoever sends.
    over: CancellationToken,
}

/// In samples.
#[derive(Default)]
struct State {
    /// PCM that was not sent.
    waiting: VecDeque<u8>,
    pushed: u64,
    sent: u64,
    allowed: u64,
    ended: bool,
    stopped: bool,
    over: bool,
    refunded: bool,
}

impl State {
    fn is_over(&self) -> bool {
        self.stopped || self.over
    }

    /// Whether something waits that may not be sent.
    fn lacks(&self) -> bool {
        self.pushed > self.allowed && !self.is_over()
    }

    /// What can be sent now; empty: that was all.
    fn take(&mut self, least: usize) -> Result<Option<Bytes>, Stopped> {
        if self.is_over() {
            return Err(Stopped);
        }
        let waiting = self.waiting.len() / 2;
        if self.ended && waiting == 0 {
            return Ok(Some(Bytes::new()));
        }
        let allowed = usize::try_from(self.allowed.saturating_sub(self.sent)).unwrap_or(usize::MAX);
        let count = waiting.min(allowed);
        if count == 0 || count < least && !self.ended {
            return Ok(None);
        }
        self.sent += count as u64;
        Ok(Some(self.waiting.drain(..2 * count).collect()))
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.to_body.notify_one();
        self.to_meter.notify_one();
    }

    fn stop(&self) {
        {
            let mut state = self.state();
            state.stopped = true;
            state.waiting = VecDeque::new();
        }
        self.stopped.cancel();
        self.changed();
    }
}

/// Whoever sends is gone, whatever the reason.
struct Over(Arc<Line>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.over.cancel();
        self.0.changed();
    }
}

/// Samples are counted, so that nothing is rounded twice.
fn whole_samples(duration: Duration) -> usize {
    (duration.as_millis() as usize).saturating_mul(SAMPLE_RATE as usize / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    static SECOND: [f32; 16_000] = [0.5; 16_000];

    fn words(text: &str) -> Transcript {
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
    fn counted(longest: u64) -> LiveUpload {
        let limits = UploadLimits {
            longest: Duration::from_secs(longest),
            answer: Duration::from_secs(5),
        };
        LiveUpload::begin("somebody", limits, |body| async move {
            let mut bytes = 0;
            while let Some(piece) = body
                .next(Duration::from_millis(100))
                .await
                .map_err(|_| SpeechError::Unsuitable)?
            {
                bytes += piece.len();
            }
            Ok(words(&bytes.to_string()))
        })
    }

    #[tokio::test]
    async fn all_that_was_pushed_is_sent_and_then_the_words_come() {
        let upload = counted(10);
        let meter = upload.meter();
        meter.allow(Duration::from_secs(9));
        for _ in 0..3 {
            assert!(upload.push(&SECOND));
        }
        assert!(upload.push(&SECOND[..10]), "less than a piece, but the end");
        let heard = upload.finish(&()).await.expect("words");
        assert_eq!(heard.text, (2 * (3 * 16_000 + 10)).to_string());
        meter.over().await;
        assert_eq!(meter.sent(), samples_to_duration(3 * 16_000 + 10));
    }

    #[tokio::test]
    async fn nothing_is_sent_beyond_what_is_allowed() {
        let upload = counted(10);
        let meter = upload.meter();
        assert!(upload.push(&SECOND) && upload.push(&SECOND));
        meter.wants_more(Duration::ZERO).await;
        assert_eq!(meter.sent(), Duration::ZERO);
        meter.allow(Duration::from_secs(1));
        while meter.sent() < Duration::from_secs(1) {
            tokio::task::yield_now().await;
        }
        meter.wants_more(Duration::ZERO).await;
        assert_eq!(meter.sent(), Duration::from_secs(1));
        drop(upload);
        meter.over().await;
        assert_eq!(
            meter.sent(),
            Duration::from_secs(1),
            "what was sent is sent"
        );
    }

    #[tokio::test]
    async fn what_waits_is_not_sent_once_it_may_not_be() {
        let upload = counted(10);
        let leave = CancellationToken::new();
        let ends = leave.clone();
        upload.only_while(move || !ends.is_cancelled());
        let meter = upload.meter();
        assert!(upload.push(&SECOND));
        // Nobody stops it: it asks for itself.
        leave.cancel();
        meter.allow(Duration::from_secs(9));
        meter.over().await;
        assert_eq!(meter.sent(), Duration::ZERO);
        assert!(upload.finish(&()).await.is_err());
    }

    #[tokio::test]
    async fn what_is_too_much_ends_it() {
        let long = counted(2);
        assert!(long.push(&SECOND) && long.push(&SECOND));
        assert!(!long.push(&SECOND[..1]), "longer than the provider takes");
        assert!(!long.push(&[]), "it is over");
        long.meter().over().await;

        let waiting = counted(600);
        for _ in 0..30 {
            assert!(waiting.push(&SECOND));
        }
        assert!(!waiting.push(&SECOND[..1]), "more than there is room for");
        assert!(waiting.finish(&()).await.is_err());
    }

    #[tokio::test]
    async fn what_was_refused_is_not_billed() {
        let limits = UploadLimits {
            longest: Duration::from_secs(10),
            answer: Duration::from_secs(5),
        };
        let upload = LiveUpload::begin("somebody", limits, |body| async move {
            let _ = body.next(Duration::ZERO).await;
            body.refunded();
            Err(SpeechError::Unsuitable)
        });
        let meter = upload.meter();
        meter.allow(Duration::from_secs(1));
        assert!(upload.push(&SECOND));
        meter.over().await;
        assert_eq!(meter.sent(), Duration::ZERO);
        assert!(!upload.push(&SECOND));
        assert!(upload.finish(&()).await.is_err());
    }
}
