//! A model that remembers how it did last, for whoever looks on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;

use super::{AnswerStream, ChatError, ChatModel, Conversation, Meter, ModelCard, Probe};

/// How a model did last. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<AtomicU8>);

/// What a [`Watch`] keeps; 0 is nothing yet.
const WORKED: u8 = 1;
const FAILED: u8 = 2;

impl Watch {
    /// Whether it began to answer when it was last asked; none before it was asked.
    #[must_use]
    pub fn worked(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            WORKED => Some(true),
            FAILED => Some(false),
            _ => None,
        }
    }

    fn note(&self, worked: bool) {
        let kept = if worked { WORKED } else { FAILED };
        self.0.store(kept, Ordering::Relaxed);
    }
}

/// The model, and the watch over it.
pub struct Watched {
    model: Arc<dyn ChatModel>,
    watch: Watch,
}

impl Watched {
    /// Watches over `model`.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, watch: Watch) -> Self {
        Self { model, watch }
    }

    fn noted<T>(&self, outcome: Result<T, ChatError>) -> Result<T, ChatError> {
        self.watch.note(outcome.is_ok());
        outcome
    }
}

#[async_trait]
impl ChatModel for Watched {
    fn card(&self) -> &ModelCard {
        self.model.card()
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        self.noted(self.model.answer(conversation).await)
    }

    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn Meter,
    ) -> Result<AnswerStream, ChatError> {
        self.noted(self.model.answer_metered(conversation, meter).await)
    }

    fn prompt_tokens(&self, conversation: &Conversation) -> u32 {
        self.model.prompt_tokens(conversation)
    }

    fn longest_answer(&self) -> u32 {
        self.model.longest_answer()
    }

    async fn probe(&self) -> Result<Probe, ChatError> {
        self.noted(self.model.probe().await)
    }
}
