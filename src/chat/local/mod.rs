//! Local chat models: runs any GGUF file with llama.cpp.
//!
//! The file is loaded when it is first needed. Answers are generated on threads of their own,
//! [`LocalChatSettings::max_concurrent`] at a time; further requests wait in order of arrival.
//! Dropping an answer stops its generation within a few tokens.

mod chat_template;
mod cpu_cores;
mod gguf;
mod inference_slot;
mod llama_log;
mod model;
mod settings;
mod slot_pool;
mod token_text;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::{AnswerChunk, AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard};
use inference_slot::AnswerJob;
use model::LoadedModel;
pub use settings::LocalChatSettings;
use slot_pool::SlotPool;

/// Chunks of an answer that are queued for a slow reader before generation pauses.
const MAX_QUEUED_CHUNKS: usize = 32;

/// The notice for the model that `models fetch` downloads.
const DEMO_MODEL_NOTICE: &str =
    "This answer comes from a small demonstration model and may well be wrong.";

/// A GGUF file as a [`ChatModel`].
pub struct LocalChatModel {
    settings: LocalChatSettings,
    card: ModelCard,
    model: OnceCell<Arc<LoadedModel>>,
    slot_pool: Arc<SlotPool>,
}

impl LocalChatModel {
    /// Creates the model; loads nothing yet.
    #[must_use]
    pub fn new(settings: LocalChatSettings) -> Self {
        Self {
            card: model_card(&settings.model),
            model: OnceCell::new(),
            slot_pool: Arc::new(SlotPool::new(settings.max_concurrent.get())),
            settings,
        }
    }

    /// The model, loaded on a blocking thread at first use. A failure is not kept: the next call
    /// tries again.
    async fn load_model(&self) -> Result<&Arc<LoadedModel>, ChatError> {
        self.model
            .get_or_try_init(|| async {
                let settings = self.settings.clone();
                let loaded =
                    tokio::task::spawn_blocking(move || LoadedModel::load(&settings)).await;
                match loaded {
                    Ok(model) => model.map(Arc::new),
                    Err(_) => Err(model::local_error(
                        &self.settings.model,
                        "loading it failed",
                        false,
                    )),
                }
            })
            .await
    }
}

impl Drop for LocalChatModel {
    fn drop(&mut self) {
        self.slot_pool.join_threads();
    }
}

#[async_trait]
impl ChatModel for LocalChatModel {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        let model = self.load_model().await?;
        let lease = self.slot_pool.acquire().await;
        let (prompt_ready, ready) = oneshot::channel();
        let (sender, pieces) = mpsc::channel(MAX_QUEUED_CHUNKS);
        SlotPool::submit(model, lease, |lease| AnswerJob {
            conversation: conversation.clone(),
            prompt_ready,
            chunks: sender,
            lease,
        })?;
        match ready.await {
            Ok(Ok(())) => Ok(into_answer_stream(pieces)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(model::local_error(
                &self.settings.model,
                "the engine stopped",
                false,
            )),
        }
    }

    /// Loads the model.
    async fn probe(&self) -> Result<ChatProbe, ChatError> {
        self.load_model().await?;
        Ok(ChatProbe::default())
    }
}

/// The chunks up to the end or an error, one of which always comes.
fn into_answer_stream(pieces: mpsc::Receiver<Result<AnswerChunk, ChatError>>) -> AnswerStream {
    Box::pin(stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        let piece = pieces.recv().await.unwrap_or_else(|| {
            Err(ChatError::StreamInterrupted {
                reason: "the local engine stopped".into(),
            })
        });
        let more = matches!(piece, Ok(AnswerChunk::Text(_))).then_some(pieces);
        Some((piece, more))
    }))
}

fn model_card(model: &Path) -> ModelCard {
    let stem = model
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let demonstration = stem.to_ascii_lowercase().starts_with("smollm2-135m");
    ModelCard {
        model: stem,
        host: crate::chat::LOCAL_HOST.to_owned(),
        notice: demonstration.then_some(DEMO_MODEL_NOTICE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_names_the_file_and_the_demonstration_model() {
        let small = model_card(Path::new("/models/SmolLM2-135M-Instruct.Q4_1.gguf"));
        assert_eq!(small.model, "SmolLM2-135M-Instruct.Q4_1");
        assert_eq!(small.host, "this machine");
        assert!(
            small
                .notice
                .is_some_and(|notice| notice.contains("demonstration model"))
        );
        assert!(
            model_card(Path::new("Qwen3-4B.Q4_K_M.gguf"))
                .notice
                .is_none()
        );
    }
}
