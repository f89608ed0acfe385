//! A model that remembers how it did last, for whoever looks on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use super::{AnswerStream, ChatError, ChatModel, Conversation, ModelCard, Probe};

/// How a model did last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Last {
    /// Whether it began to answer.
    pub worked: bool,
    /// When.
    pub at: Instant,
}

/// How a model did last; none before it was asked. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Option<Last>>>);

impl Watch {
    /// How it did last.
    #[must_use]
    pub fn last(&self) -> Option<Last> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, worked: bool) {
        let at = Instant::now();
        let last = Some(Last { worked, at });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
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

    async fn probe(&self) -> Result<Probe, ChatError> {
        self.noted(self.model.probe().await)
    }
}
