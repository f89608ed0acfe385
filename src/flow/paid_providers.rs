//! The providers as the flow has them: whoever calls one needs a [`Permit`], and the permit learns
//! what was used. The clients themselves are out of reach.

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

/// How much of a stream is reserved at a time.
pub const STREAM_SLICE: Duration = Duration::from_secs(10);

/// With less than this left, the next slice is asked for.
const RENEW_BELOW: Duration = Duration::from_secs(2);

/// How often a stream is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a stream that has been stopped may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A transcriber that is paid, or could be.
#[derive(Clone)]
pub struct PaidTranscriber(Arc<dyn Transcriber>);

impl PaidTranscriber {
    /// Locks a client up.
    #[must_use]
    pub fn new(client: Arc<dyn Transcriber>) -> Self {
        Self(client)
    }

    /// The client, for those who ask for a permit.
    pub(super) fn client(&self) -> &dyn Transcriber {
        &*self.0
    }

    /// As [`Transcriber::capabilities`].
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    /// As [`Transcriber::transcribe`], and the permit learns who was given the clip.
    ///
    /// # Errors
    ///
    /// Those of the transcriber.
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
            tracing::error!("a permit for this machine was shown to a provider");
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

    /// As [`Transcriber::ahead`], which is for engines that cost nothing.
    #[must_use]
    pub fn start_streaming(&self, hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        self.0.start_streaming(hints)
    }

    /// As [`Transcriber::warm`], which costs nothing.
    pub async fn warm(&self) {
        self.0.prewarm().await;
    }

    /// As [`Transcriber::probe`], which costs nothing.
    ///
    /// # Errors
    ///
    /// Why it would not work.
    pub async fn probe(&self) -> Result<(), SpeechError> {
        self.0.probe().await
    }
}

/// An observer's reports, and what they cost.
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

/// A live transcriber that is paid.
#[derive(Clone)]
pub struct PaidLiveTranscriber(Arc<dyn LiveTranscriber>);

impl PaidLiveTranscriber {
    /// Locks a client up.
    #[must_use]
    pub fn new(client: Arc<dyn LiveTranscriber>) -> Self {
        Self(client)
    }

    /// As [`LiveTranscriber::name`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// As [`LiveTranscriber::listen`]. The permit is for the first [`STREAM_SLICE`]; for each further one
    /// it is asked again, and the stream ends where the answer is no. What is used is booked to the
    /// end of the session with the provider, whoever has left before.
    #[must_use]
    pub fn listen(
        &self,
        permit: Permit,
        (payer, account): (Payer, UsageAccount),
        hints: Hints,
    ) -> LiveTranscription {
        let speaker = self.0.start_stream(hints);
        let meter = speaker.meter();
        let tasks = permit.task_tracker();
        tasks.spawn(meter_stream(permit, (payer, account), meter));
        speaker
    }

    /// As [`LiveTranscriber::probe`].
    ///
    /// # Errors
    ///
    /// Why it would not listen.
    pub async fn probe(&self) -> Result<(), SpeechError> {
        self.0.probe().await
    }
}

/// Pays for a stream slice by slice, to its end.
async fn meter_stream(
    mut permit: Permit,
    (payer, account): (Payer, UsageAccount),
    meter: LiveMeter,
) {
    let mut since = (Duration::ZERO, Duration::ZERO);
    let mut last = Duration::ZERO;
    loop {
        let over = tokio::select! {
            () = meter.wait_finished() => true,
            () = sleep(POLL_INTERVAL) => false,
        };
        let (pushed, open) = (meter.pushed_audio(), meter.session_open_time());
        let used = open.saturating_sub(since.1);
        permit.set_streamed(pushed.saturating_sub(since.0), used);
        if over {
            break;
        }
        // A pause is a good time to book.
        let pauses = std::mem::replace(&mut last, open) == open;
        let goes_on =
            used + RENEW_BELOW <= STREAM_SLICE && permit.counts_against_today() && !pauses;
        if used.is_zero() || goes_on {
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
            Ok(Err(verdict)) => tracing::info!(?verdict, "a stream is stopped"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "a stream can't be judged, and is stopped"
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

/// A model that is paid, or could be.
#[derive(Clone)]
pub struct PaidModel(Arc<dyn ChatModel>);

impl PaidModel {
    /// Locks a client up.
    #[must_use]
    pub fn new(client: Arc<dyn ChatModel>) -> Self {
        Self(client)
    }

    /// As [`ChatModel::card`].
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        self.0.card()
    }

    /// What the answer to `conversation` may use.
    #[must_use]
    pub fn max_cost(&self, conversation: &Conversation) -> CallCost {
        let is_local = self.card().is_local();
        let unless_local = |tokens: u32| if is_local { 0 } else { tokens.into() };
        CallCost::Answer(TokenUsage {
            prompt_tokens: unless_local(self.0.estimate_prompt_tokens(conversation)),
            answer_tokens: unless_local(self.0.max_answer_tokens()),
        })
    }

    /// As [`ChatModel::answer`]. The permit learns what is used as it is used: a stream that is
    /// dropped in the middle has cost what it gave.
    ///
    /// # Errors
    ///
    /// Those of the model.
    pub async fn answer<'p>(
        &self,
        permit: &'p Permit,
        conversation: &Conversation,
    ) -> Result<PaidAnswer<'p>, ChatError> {
        let is_paid = !self.card().is_local();
        if permit.engines() == AllowedEngines::LocalOnly && is_paid {
            tracing::error!("a permit for this machine was shown to a provider");
            return Err(ChatError::LocalEngine {
                reason: "no model of this machine".to_owned(),
                fixed_by_fetch: false,
            });
        }
        let tally = AnswerMeter {
            permit,
            is_paid,
            prompt_tokens: self.0.estimate_prompt_tokens(conversation).into(),
            counts: Mutex::default(),
        };
        let stream = self.0.answer_metered(conversation, &tally).await?;
        Ok(PaidAnswer {
            meter: tally,
            stream,
        })
    }

    /// As [`ChatModel::probe`], which costs nothing.
    ///
    /// # Errors
    ///
    /// Why it would not answer.
    pub async fn probe(&self) -> Result<ChatProbe, ChatError> {
        self.0.probe().await
    }
}

/// An answer as it comes, while somebody counts.
pub struct PaidAnswer<'p> {
    meter: AnswerMeter<'p>,
    stream: AnswerStream,
}

impl Stream for PaidAnswer<'_> {
    type Item = Result<AnswerChunk, ChatError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.meter.count_piece(piece);
        }
        polled
    }
}

/// Tokens of one answer, from what the server says, or else estimated.
struct AnswerMeter<'p> {
    permit: &'p Permit,
    is_paid: bool,
    /// Tokens of the conversation.
    prompt_tokens: u64,
    counts: Mutex<AnswerTokenCounts>,
}

#[derive(Default)]
struct AnswerTokenCounts {
    /// How often the conversation was given to the server.
    requests: u64,
    /// What came so far.
    ascii_bytes: usize,
    other_chars: usize,
    /// What the server says.
    reported: Option<TokenUsage>,
}

impl AnswerMeter<'_> {
    fn counts(&self) -> MutexGuard<'_, AnswerTokenCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_piece(&self, piece: &AnswerChunk) {
        let mut counts = self.counts();
        match piece {
            AnswerChunk::Text(text) => {
                counts.ascii_bytes += text.bytes().filter(u8::is_ascii).count();
                counts.other_chars += text.chars().filter(|it| !it.is_ascii()).count();
            }
            // Thoughts are billed too.
            AnswerChunk::Retract => {}
            AnswerChunk::End(end) => counts.reported = end.usage,
        }
        self.update_permit(&counts);
    }

    fn update_permit(&self, counts: &AnswerTokenCounts) {
        let usage = match counts.reported {
            // Tries before the one that was answered are known by an estimate only.
            Some(told) => TokenUsage {
                prompt_tokens: self
                    .prompt_tokens
                    .saturating_mul(counts.requests.saturating_sub(1))
                    .saturating_add(told.prompt_tokens),
                answer_tokens: told.answer_tokens,
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
