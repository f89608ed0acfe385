//! The providers as the flow has them: whoever calls one needs a [`Permit`], and the permit learns
//! what was used. The clients themselves are out of reach.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::time::{sleep, timeout};

use super::admission::{Cost, Engines, Payer, Permit};
use crate::chat::{
    AnswerStream, ChatError, ChatModel, Conversation, Meter, ModelCard, Piece, Probe, Usage, budget,
};
use crate::speech::{
    Ahead, Capabilities, Hints, LOCAL, LiveMeter, LiveSpeaker, LiveTranscriber, Observer, Progress,
    SpeechError, Transcriber, Transcript,
};
use crate::store::Account;
use audio::Clip;

/// How much of a stream is reserved at a time.
pub const SLICE: Duration = Duration::from_secs(10);

/// With less than this left, the next slice is asked for.
const LAST_OF_SLICE: Duration = Duration::from_secs(2);

/// How often a stream is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a stream that has been stopped may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

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
        observer: &dyn Observer,
    ) -> Result<Transcript, SpeechError> {
        if permit.engines() == Engines::Local && !self.capabilities().name.ends_with(LOCAL) {
            tracing::error!("a permit for this machine was shown to a provider");
            return Err(SpeechError::Unsuitable);
        }
        let billing = Billing {
            permit,
            length: clip.duration(),
            observer,
        };
        let transcript = self.0.transcribe(clip, hints, &billing).await?;
        if transcript.is_local() {
            permit.heard_here(clip.duration());
        }
        Ok(transcript)
    }

    /// As [`Transcriber::ahead`], which is for engines that cost nothing.
    #[must_use]
    pub fn ahead(&self, hints: &Hints) -> Option<Box<dyn Ahead>> {
        self.0.ahead(hints)
    }

    /// As [`Transcriber::warm`], which costs nothing.
    pub async fn warm(&self) {
        self.0.warm().await;
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
struct Billing<'a> {
    permit: &'a Permit,
    length: Duration,
    observer: &'a dyn Observer,
}

impl Observer for Billing<'_> {
    fn started(&self, provider: &'static str) {
        self.observer.started(provider);
    }

    fn progressed(&self, progress: Progress) {
        self.observer.progressed(progress);
    }

    fn charged(&self) {
        self.permit.charge_recording(self.length);
    }

    fn refunded(&self) {
        self.permit.refund_recording(self.length);
    }

    fn fell_back(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.observer.fell_back(provider, error, next);
    }
}

/// A live transcriber that is paid.
#[derive(Clone)]
pub struct PaidLive(Arc<dyn LiveTranscriber>);

impl PaidLive {
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

    /// As [`LiveTranscriber::listen`]. The permit is for the first [`SLICE`]; for each further one
    /// it is asked again, and the stream ends where the answer is no. What is used is booked to the
    /// end of the session with the provider, whoever has left before.
    #[must_use]
    pub fn listen(
        &self,
        permit: Permit,
        (payer, account): (Payer, Account),
        hints: Hints,
    ) -> LiveSpeaker {
        let speaker = self.0.listen(hints);
        let meter = speaker.meter();
        let tasks = permit.tasks();
        tasks.spawn(metered(permit, (payer, account), meter));
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
async fn metered(mut permit: Permit, (payer, account): (Payer, Account), meter: LiveMeter) {
    let mut since = (Duration::ZERO, Duration::ZERO);
    let mut last = Duration::ZERO;
    loop {
        let over = tokio::select! {
            () = meter.over() => true,
            () = sleep(LOOK_EVERY) => false,
        };
        let (pushed, open) = (meter.pushed(), meter.open_time());
        let used = open.saturating_sub(since.1);
        permit.streamed(pushed.saturating_sub(since.0), used);
        if over {
            break;
        }
        // A pause is a good time to book.
        let pauses = std::mem::replace(&mut last, open) == open;
        let goes_on = used + LAST_OF_SLICE <= SLICE && permit.is_of_today() && !pauses;
        if used.is_zero() || goes_on {
            continue;
        }
        match permit.another(payer, account, Cost::Stream(SLICE)).await {
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
        let _ = timeout(STOPPED_WITHIN, meter.over()).await;
        let used = meter.open_time().saturating_sub(since.1);
        permit.streamed(meter.pushed().saturating_sub(since.0), used);
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
    pub fn cost(&self, conversation: &Conversation) -> Cost {
        let is_local = self.card().is_local();
        let unless_local = |tokens: u32| if is_local { 0 } else { tokens.into() };
        Cost::Answer(Usage {
            prompt_tokens: unless_local(self.0.prompt_tokens(conversation)),
            answer_tokens: unless_local(self.0.longest_answer()),
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
        if permit.engines() == Engines::Local && is_paid {
            tracing::error!("a permit for this machine was shown to a provider");
            return Err(ChatError::Local {
                reason: "no model of this machine".to_owned(),
                fetch_mends: false,
            });
        }
        let tally = Tally {
            permit,
            is_paid,
            prompt: self.0.prompt_tokens(conversation).into(),
            counts: Mutex::default(),
        };
        let stream = self.0.answer_metered(conversation, &tally).await?;
        Ok(PaidAnswer { tally, stream })
    }

    /// As [`ChatModel::probe`], which costs nothing.
    ///
    /// # Errors
    ///
    /// Why it would not answer.
    pub async fn probe(&self) -> Result<Probe, ChatError> {
        self.0.probe().await
    }
}

/// An answer as it comes, while somebody counts.
pub struct PaidAnswer<'p> {
    tally: Tally<'p>,
    stream: AnswerStream,
}

impl Stream for PaidAnswer<'_> {
    type Item = Result<Piece, ChatError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.tally.came(piece);
        }
        polled
    }
}

/// Tokens of one answer, from what the server says, or else estimated.
struct Tally<'p> {
    permit: &'p Permit,
    is_paid: bool,
    /// Tokens of the conversation.
    prompt: u64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// How often the conversation was given to the server.
    asked: u64,
    /// What came so far.
    ascii: usize,
    others: usize,
    /// What the server says.
    told: Option<Usage>,
}

impl Tally<'_> {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self, piece: &Piece) {
        let mut counts = self.counts();
        match piece {
            Piece::Text(text) => {
                counts.ascii += text.bytes().filter(u8::is_ascii).count();
                counts.others += text.chars().filter(|it| !it.is_ascii()).count();
            }
            // Thoughts are billed too.
            Piece::TakeBack => {}
            Piece::End(end) => counts.told = end.usage,
        }
        self.tell(&counts);
    }

    fn tell(&self, counts: &Counts) {
        let usage = match counts.told {
            // Tries before the one that was answered are known by an estimate only.
            Some(told) => Usage {
                prompt_tokens: self
                    .prompt
                    .saturating_mul(counts.asked.saturating_sub(1))
                    .saturating_add(told.prompt_tokens),
                answer_tokens: told.answer_tokens,
            },
            None => Usage {
                prompt_tokens: self.prompt.saturating_mul(counts.asked),
                answer_tokens: budget::estimate_counted(counts.ascii, counts.others).into(),
            },
        };
        self.permit.answered(usage, self.is_paid);
    }
}

impl Meter for Tally<'_> {
    fn charged(&self) {
        let mut counts = self.counts();
        counts.asked += 1;
        self.tell(&counts);
    }

    fn refunded(&self) {
        let mut counts = self.counts();
        counts.asked = counts.asked.saturating_sub(1);
        self.tell(&counts);
    }

    fn spent(&self, usage: Usage) {
        let mut counts = self.counts();
        counts.told = Some(usage);
        self.tell(&counts);
    }
}
