//! AssemblyAI's LLM Gateway: OpenAI's API with AssemblyAI's key, accounts and models.

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use super::OpenAiChatModel;
use super::settings::OpenAiSettings;
use crate::chat::{
    AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard, UsageMeter,
};

/// The default model: fast, cheap, and available in every region.
const DEFAULT_MODEL: &str = "claude-haiku-4-5-20251001";

impl OpenAiSettings {
    /// The defaults for AssemblyAI's LLM Gateway at `base`.
    pub fn llm_gateway(base: Url, key: Option<SecretString>) -> Self {
        Self {
            model: DEFAULT_MODEL.to_owned(),
            ..Self::compatible(base, key)
        }
    }
}

/// A model behind AssemblyAI's LLM Gateway. Errors are marked as the gateway's, since it has its
/// own settings to check.
pub struct LlmGatewayModel(OpenAiChatModel);

impl LlmGatewayModel {
    /// Creates the model. Makes no request.
    pub fn new(http: reqwest::Client, settings: OpenAiSettings) -> Self {
        Self(OpenAiChatModel::new(http, settings))
    }
}

#[async_trait]
impl ChatModel for LlmGatewayModel {
    fn card(&self) -> &ModelCard {
        self.0.card()
    }

    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError> {
        self.answer_metered(conversation, &()).await
    }

    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<AnswerStream, ChatError> {
        let answered = self.0.answer_metered(conversation, meter).await;
        answered.map_err(ChatError::into_llm_gateway_error)
    }

    fn estimate_prompt_tokens(&self, conversation: &Conversation) -> u32 {
        self.0.estimate_prompt_tokens(conversation)
    }

    fn max_answer_tokens(&self) -> u32 {
        self.0.max_answer_tokens()
    }

    async fn probe(&self) -> Result<ChatProbe, ChatError> {
        self.0
            .probe()
            .await
            .map_err(ChatError::into_llm_gateway_error)
    }
}
