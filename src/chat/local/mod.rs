//! Any GGUF on this machine, through llama.cpp.
//!
//! The file is read once, when it is first needed. Answers are made on threads of their own,
//! [`Settings::parallel`] at a time; further ones wait in order of arrival. Dropping an answer
//! at any time ends its work within a few tokens.

mod cores;
mod gguf;
mod log;
mod model;
mod settings;
mod slot;
mod slots;
mod template;
mod text;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::{AnswerStream, ChatError, ChatModel, Conversation, ModelCard, Piece, Probe};
use model::Model;
pub use settings::Settings;
use slot::Job;
use slots::Slots;

/// Pieces of an answer that wait for a slow reader before the model waits too.
const PIECES: usize = 32;

/// What must be said with the answers of the model that `models fetch` brings.
const DEMONSTRATION: &str =
    "This answer comes from a small demonstration model and may well be wrong.";

/// A GGUF as a [`ChatModel`].
pub struct LocalModel {
    settings: Settings,
    card: ModelCard,
    model: OnceCell<Arc<Model>>,
    slots: Arc<Slots>,
}

impl LocalModel {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            card: card(&settings.model),
            model: OnceCell::new(),
            slots: Arc::new(Slots::new(settings.parallel.get())),
            settings,
        }
    }

    /// The model, read on a blocking thread by whoever needs it first. A failure is not kept:
    /// the next one tries again.
    async fn model(&self) -> Result<&Arc<Model>, ChatError> {
        self.model
            .get_or_try_init(|| async {
                let settings = self.settings.clone();
                let loaded = tokio::task::spawn_blocking(move || Model::load(&settings)).await;
                match loaded {
                    Ok(model) => model.map(Arc::new),
                    Err(_) => Err(model::local(
                        &self.settings.model,
                        "loading it failed",
                        false,
                    )),
                }
            })
            .await
    }
}

impl Drop for LocalModel {
    fn drop(&mut self) {
        self.slots.close();
    }
}

#[async_trait]
impl ChatModel for LocalModel {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        let model = self.model().await?;
        let lease = self.slots.lease().await;
        let (started, ready) = oneshot::channel();
        let (sender, pieces) = mpsc::channel(PIECES);
        Slots::start(model, lease, |lease| Job {
            conversation: conversation.clone(),
            started,
            pieces: sender,
            lease,
        })?;
        match ready.await {
            Ok(Ok(())) => Ok(stream_of(pieces)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(model::local(
                &self.settings.model,
                "the engine stopped",
                false,
            )),
        }
    }

    /// Loads the model.
    async fn probe(&self) -> Result<Probe, ChatError> {
        self.model().await?;
        Ok(Probe::default())
    }
}

/// The pieces up to the end or an error, one of which there always is.
fn stream_of(pieces: mpsc::Receiver<Result<Piece, ChatError>>) -> AnswerStream {
    Box::pin(stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        let piece = pieces.recv().await.unwrap_or_else(|| {
            Err(ChatError::BrokeOff {
                reason: "the local engine stopped".into(),
            })
        });
        let more = matches!(piece, Ok(Piece::Text(_))).then_some(pieces);
        Some((piece, more))
    }))
}

fn card(model: &Path) -> ModelCard {
    let stem = model
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let demonstration = stem.to_ascii_lowercase().starts_with("smollm2-135m");
    ModelCard {
        model: stem,
        host: crate::chat::THIS_MACHINE.to_owned(),
        notice: demonstration.then_some(DEMONSTRATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_names_the_file_and_the_demonstration_model() {
        let small = card(Path::new("/models/SmolLM2-135M-Instruct.Q4_1.gguf"));
        assert_eq!(small.model, "SmolLM2-135M-Instruct.Q4_1");
        assert_eq!(small.host, "this machine");
        assert!(
            small
                .notice
                .is_some_and(|notice| notice.contains("demonstration model"))
        );
        assert!(card(Path::new("Qwen3-4B.Q4_K_M.gguf")).notice.is_none());
    }
}
