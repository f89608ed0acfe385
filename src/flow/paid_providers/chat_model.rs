//! Metered chat models: the permit is updated while an answer streams.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;

use crate::chat::{
    AnswerChunk, AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard,
    TokenUsage, UsageMeter, token_budget,
};
use crate::flow::admission::{AllowedEngines, CallCost, Permit};

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
