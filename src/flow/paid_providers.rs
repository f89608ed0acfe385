//! Metered providers. The pipeline sees providers only through these wrappers: each call takes a
//! [`Permit`], which learns what was used. The clients themselves stay private.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::time::{sleep, timeout};

use super::admission::{AllowedEngines, CallCost, Payer, Permit};
use crate::chat::{
    AnswerChunk, AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard,
    TokenUsage, UsageMeter, token_budget,
};
use crate::speech::{
    Capabilities, Hints, LOCAL_NAME_SUFFIX, LiveMeter, LiveTranscriber, LiveTranscription,
    SpeechError, StreamingRecognition, Transcriber, Transcript, TranscriptionObserver,
    TranscriptionProgress,
};
use crate::store::UsageAccount;
use audio::Clip;

/// Length of the slice of a stream that is reserved at a time.
pub const STREAM_SLICE: Duration = Duration::from_secs(10);

/// The next slice is requested when less than this is left.
const RENEW_BELOW: Duration = Duration::from_secs(2);

/// How often the usage of a stream is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a stopped stream may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A transcriber whose calls may cost money.
#[derive(Clone)]
pub struct PaidTranscriber(Arc<dyn Transcriber>);

impl PaidTranscriber {
    /// Wraps a client.
    #[must_use]
    pub fn new(client: Arc<dyn Transcriber>) -> Self {
        Self(client)
    }

    /// The client, for code in this module tree that handles its own permits.
    pub(super) fn client(&self) -> &dyn Transcriber {
        &*self.0
    }

    /// Like [`Transcriber::capabilities`].
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    /// Like [`Transcriber::transcribe`]; the permit learns which providers were given the clip.
    ///
    /// # Errors
    ///
    /// The errors of the transcriber.
    pub async fn transcribe(
        &self,
        permit: &Permit,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        if permit.engines() == AllowedEngines::LocalOnly
            && !self.capabilities().name.ends_with(LOCAL_NAME_SUFFIX)
        {
            tracing::error!("a local-only permit was used for a paid provider");
            return Err(SpeechError::UnsupportedClip);
        }
        let billing = BillingObserver {
            permit,
            duration: clip.duration(),
            observer,
        };
        let transcript = self.0.transcribe(clip, hints, &billing).await?;
        if transcript.is_local() {
            permit.charge_local_audio(clip.duration());
        }
        Ok(transcript)
    }

    /// Like [`Transcriber::start_streaming`], which only local, free engines support.
    #[must_use]
    pub fn start_streaming(&self, hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        self.0.start_streaming(hints)
    }

    /// Like [`Transcriber::prewarm`]; free of charge.
    pub async fn warm(&self) {
        self.0.prewarm().await;
    }

    /// Like [`Transcriber::probe`]; free of charge.
    ///
    /// # Errors
    ///
    /// Why it would not work.
    pub async fn probe(&self) -> Result<(), SpeechError> {
        self.0.probe().await
    }
}

/// Forwards progress reports, and charges the permit.
struct BillingObserver<'a> {
    permit: &'a Permit,
    duration: Duration,
    observer: &'a dyn TranscriptionObserver,
}

impl TranscriptionObserver for BillingObserver<'_> {
    fn on_start(&self, provider: &'static str) {
        self.observer.on_start(provider);
    }

    fn on_progress(&self, progress: TranscriptionProgress) {
        self.observer.on_progress(progress);
    }

    fn on_charge(&self) {
        self.permit.charge_recording(self.duration);
    }

    fn on_refund(&self) {
        self.permit.refund_recording(self.duration);
    }

    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.observer.on_fallback(provider, error, next);
    }
}

/// A live transcriber whose streams cost money.
#[derive(Clone)]
pub struct PaidLiveTranscriber(Arc<dyn LiveTranscriber>);

impl PaidLiveTranscriber {
    /// Wraps a client.
    #[must_use]
    pub fn new(client: Arc<dyn LiveTranscriber>) -> Self {
        Self(client)
    }

    /// Like [`LiveTranscriber::name`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Like [`LiveTranscriber::start_stream`]. The permit covers the first [`STREAM_SLICE`]; a new
    /// one is requested for each further slice, and the stream ends if it is refused. Usage is
    /// metered until the provider's session ends, even if the speaker leaves before.
    #[must_use]
    pub fn listen(
        &self,
        permit: Permit,
        (payer, account): (Payer, UsageAccount),
        hints: Hints,
    ) -> LiveTranscription {
        let transcription = self.0.start_stream(hints);
        let meter = transcription.meter();
        let tasks = permit.task_tracker();
        tasks.spawn(meter_stream(permit, (payer, account), meter));
        transcription
    }

    /// Like [`LiveTranscriber::probe`].
    ///
    /// # Errors
    ///
    /// Why it would not work.
    pub async fn probe(&self) -> Result<(), SpeechError> {
        self.0.probe().await
    }
}

/// Requests and settles permits slice by slice until the stream ends.
async fn meter_stream(
    mut permit: Permit,
    (payer, account): (Payer, UsageAccount),
    meter: LiveMeter,
) {
    let mut since = (Duration::ZERO, Duration::ZERO);
    let mut last = Duration::ZERO;
    loop {
        let finished = tokio::select! {
            () = meter.wait_finished() => true,
            () = sleep(POLL_INTERVAL) => false,
        };
        let (pushed, open) = (meter.pushed_audio(), meter.session_open_time());
        let used = open.saturating_sub(since.1);
        permit.set_streamed(pushed.saturating_sub(since.0), used);
        if finished {
            break;
        }
        // A pause is a good time to settle.
        let is_paused = std::mem::replace(&mut last, open) == open;
        let keeps_permit =
            used + RENEW_BELOW <= STREAM_SLICE && permit.counts_against_today() && !is_paused;
        if used.is_zero() || keeps_permit {
            continue;
        }
        match permit
            .request_next(payer, account, CallCost::Stream(STREAM_SLICE))
            .await
        {
            Ok(Ok(next)) => {
                since = (pushed, open);
                std::mem::replace(&mut permit, next).settle().await;
                continue;
            }
            Ok(Err(decision)) => {
                tracing::info!(verdict = ?decision, "stream stopped by the usage rules")
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "usage check failed, stopping the stream"
            ),
        }
        meter.stop();
        let _ = timeout(STOP_TIMEOUT, meter.wait_finished()).await;
        let used = meter.session_open_time().saturating_sub(since.1);
        permit.set_streamed(meter.pushed_audio().saturating_sub(since.0), used);
        break;
    }
    permit.settle().await;
}

/// A chat model whose answers may cost money.
#[derive(Clone)]
pub struct PaidModel(Arc<dyn ChatModel>);

impl PaidModel {
    /// Wraps a client.
    #[must_use]
    pub fn new(client: Arc<dyn ChatModel>) -> Self {
        Self(client)
    }

    /// Like [`ChatModel::card`].
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        self.0.card()
    }

    /// The most that an answer to `conversation` may cost.
    #[must_use]
    pub fn max_cost(&self, conversation: &Conversation) -> CallCost {
        let is_local = self.card().is_local();
        let unless_local = |tokens: u32| if is_local { 0 } else { tokens.into() };
        CallCost::Answer(TokenUsage {
            prompt_tokens: unless_local(self.0.estimate_prompt_tokens(conversation)),
            answer_tokens: unless_local(self.0.max_answer_tokens()),
        })
    }

    /// Like [`ChatModel::answer`]. The permit is updated while the answer streams: if the stream is
    /// dropped early, what it used so far is counted.
    ///
    /// # Errors
    ///
    /// The errors of the model.
    pub async fn answer<'p>(
        &self,
        permit: &'p Permit,
        conversation: &Conversation,
    ) -> Result<PaidAnswer<'p>, ChatError> {
        let is_paid = !self.card().is_local();
        if permit.engines() == AllowedEngines::LocalOnly && is_paid {
            tracing::error!("a local-only permit was used for a paid provider");
            return Err(ChatError::LocalEngine {
                reason: "no local model".to_owned(),
                fixed_by_fetch: false,
            });
        }
        let meter = AnswerMeter {
            permit,
            is_paid,
            prompt_tokens: self.0.estimate_prompt_tokens(conversation).into(),
            counts: Mutex::default(),
        };
        let stream = self.0.answer_metered(conversation, &meter).await?;
        Ok(PaidAnswer { meter, stream })
    }

    /// Like [`ChatModel::probe`]; free of charge.
    ///
    /// # Errors
    ///
    /// Why it would not answer.
    pub async fn probe(&self) -> Result<ChatProbe, ChatError> {
        self.0.probe().await
    }
}

/// A streaming answer that meters itself.
pub struct PaidAnswer<'p> {
    meter: AnswerMeter<'p>,
    stream: AnswerStream,
}

impl Stream for PaidAnswer<'_> {
    type Item = Result<AnswerChunk, ChatError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            self.meter.count_chunk(chunk);
        }
        polled
    }
}

/// Token counts of one answer: as the server reports them, or estimated.
struct AnswerMeter<'p> {
    permit: &'p Permit,
    is_paid: bool,
    /// Estimated tokens of the conversation.
    prompt_tokens: u64,
    counts: Mutex<AnswerTokenCounts>,
}

#[derive(Default)]
struct AnswerTokenCounts {
    /// How often the conversation was sent to the server.
    requests: u64,
    /// Text received so far.
    ascii_bytes: usize,
    other_chars: usize,
    /// What the server reports.
    reported: Option<TokenUsage>,
}

impl AnswerMeter<'_> {
    fn counts(&self) -> MutexGuard<'_, AnswerTokenCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_chunk(&self, chunk: &AnswerChunk) {
        let mut counts = self.counts();
        match chunk {
            AnswerChunk::Text(text) => {
                counts.ascii_bytes += text.bytes().filter(u8::is_ascii).count();
                counts.other_chars += text.chars().filter(|it| !it.is_ascii()).count();
            }
            // Reasoning is billed too.
            AnswerChunk::Retract => {}
            AnswerChunk::End(end) => counts.reported = end.usage,
        }
        self.update_permit(&counts);
    }

    fn update_permit(&self, counts: &AnswerTokenCounts) {
        let usage = match counts.reported {
            // For requests before the one that was answered there is only an estimate.
            Some(reported) => TokenUsage {
                prompt_tokens: self
                    .prompt_tokens
                    .saturating_mul(counts.requests.saturating_sub(1))
                    .saturating_add(reported.prompt_tokens),
                answer_tokens: reported.answer_tokens,
            },
            None => TokenUsage {
                prompt_tokens: self.prompt_tokens.saturating_mul(counts.requests),
                answer_tokens: token_budget::estimate_tokens_from_counts(
                    counts.ascii_bytes,
                    counts.other_chars,
                )
                .into(),
            },
        };
        self.permit.set_answer_usage(usage, self.is_paid);
    }
}

impl UsageMeter for AnswerMeter<'_> {
    fn on_charge(&self) {
        let mut counts = self.counts();
        counts.requests += 1;
        self.update_permit(&counts);
    }

    fn on_refund(&self) {
        let mut counts = self.counts();
        counts.requests = counts.requests.saturating_sub(1);
        self.update_permit(&counts);
    }

    fn on_unanswered_usage(&self, usage: TokenUsage) {
        let mut counts = self.counts();
        counts.reported = Some(usage);
        self.update_permit(&counts);
    }
}
