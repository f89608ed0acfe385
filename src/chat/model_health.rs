//! Wraps a model to record whether its last request succeeded, for the status display.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;

use super::{AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard, UsageMeter};

/// The outcome of a model's last request. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ModelHealth(Arc<AtomicU8>);

/// Values of [`ModelHealth`]; 0 means no request yet.
const WORKED: u8 = 1;
const FAILED: u8 = 2;

impl ModelHealth {
    /// Whether the last request led to an answer; `None` before the first request.
    #[must_use]
    pub fn last_succeeded(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            WORKED => Some(true),
            FAILED => Some(false),
            _ => None,
        }
    }

    fn record(&self, worked: bool) {
        let kept = if worked { WORKED } else { FAILED };
        self.0.store(kept, Ordering::Relaxed);
    }
}

/// A model whose outcomes are recorded.
pub struct HealthTrackedModel {
    model: Arc<dyn ChatModel>,
    health: ModelHealth,
}

impl HealthTrackedModel {
    /// Wraps `model` and records its outcomes in `health`.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, health: ModelHealth) -> Self {
        Self { model, health }
    }

    fn record_outcome<T>(&self, outcome: Result<T, ChatError>) -> Result<T, ChatError> {
        self.health.record(outcome.is_ok());
        outcome
    }
}

#[async_trait]
impl ChatModel for HealthTrackedModel {
    fn card(&self) -> &ModelCard {
        self.model.card()
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        self.record_outcome(self.model.answer(conversation).await)
    }

    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<AnswerStream, ChatError> {
        self.record_outcome(self.model.answer_metered(conversation, meter).await)
    }

    fn estimate_prompt_tokens(&self, conversation: &Conversation) -> u32 {
        self.model.estimate_prompt_tokens(conversation)
    }

    fn max_answer_tokens(&self) -> u32 {
        self.model.max_answer_tokens()
    }

    async fn probe(&self) -> Result<ChatProbe, ChatError> {
        self.record_outcome(self.model.probe().await)
    }
}
