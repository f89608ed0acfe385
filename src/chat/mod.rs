//! Chat models: a [`ChatModel`] answers a [`Conversation`] and streams the answer back.
//!
//! [`openai`] talks to any OpenAI-compatible server; `local` runs a GGUF file with llama.cpp.

mod conversation;
mod error;
#[cfg(feature = "local-chat")]
pub mod local;
pub mod model_health;
pub mod model_shutdown;
pub mod openai;
pub mod prompt;
pub mod token_budget;

use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;

use net::ClockSkew;

pub use conversation::{ChatRole, ChatTurn, Conversation};
pub use error::{ChatError, EmptyReason, Interruption, InvalidResponse, RedirectTarget};

/// A model that answers conversations.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// The model's name and host. Constant for its lifetime.
    fn card(&self) -> &ModelCard;

    /// Answers the last turn of `conversation`.
    ///
    /// Drops the oldest turns if the conversation exceeds the model's token budget. Errors before
    /// the first word have already been retried where that makes sense; errors in the stream are
    /// final. Dropping the stream cancels the work.
    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError>;

    /// Answers like [`answer`](Self::answer), and tells `meter` whenever the conversation is sent.
    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<AnswerStream, ChatError> {
        meter.on_charge();
        self.answer(conversation).await
    }

    /// Estimated prompt tokens of `conversation` after trimming; errs on the high side.
    fn estimate_prompt_tokens(&self, conversation: &Conversation) -> u32 {
        token_budget::estimate_conversation_tokens(conversation)
    }

    /// The most tokens that an answer can have; 0 if the model doesn't say.
    fn max_answer_tokens(&self) -> u32 {
        0
    }

    /// Sends the smallest possible request to check that the model works now.
    async fn probe(&self) -> Result<ChatProbe, ChatError>;
}

/// Callbacks about what a server may bill. They run on the task that does the work: return quickly.
pub trait UsageMeter: Send + Sync {
    /// The conversation is sent to the server, which may bill it from here on, whatever the
    /// outcome. Called once each time that happens.
    fn on_charge(&self) {}

    /// The server certainly does not bill the last charge: it did not process the conversation.
    fn on_refund(&self) {}

    /// The last charge used these tokens, although it gave no answer.
    fn on_unanswered_usage(&self, usage: TokenUsage) {
        let _ = usage;
    }
}

/// A meter that ignores everything.
impl UsageMeter for () {}

/// The streamed answer. Ends with exactly one [`AnswerChunk::End`], or with an error.
pub type AnswerStream = Pin<Box<dyn Stream<Item = Result<AnswerChunk, ChatError>> + Send>>;

/// A part of a streamed answer.
#[derive(Clone, PartialEq)]
pub enum AnswerChunk {
    /// More text of the answer, never empty.
    Text(String),
    /// All text so far was the model's reasoning; discard it. The answer follows.
    Retract,
    /// The answer is complete.
    End(AnswerEnd),
}

impl std::fmt::Debug for AnswerChunk {
    /// Answers never reach a log, only their size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Retract => f.write_str("Retract"),
            Self::End(end) => write!(f, "{end:?}"),
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnswerEnd {
    /// Why the answer ended.
    pub reason: FinishReason,
    /// Tokens used, if the server reports them.
    pub usage: Option<TokenUsage>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FinishReason {
    /// The model finished its answer.
    Complete,
    /// The token limit was reached.
    Length,
    /// The provider's content filter stopped the answer.
    ContentFilter,
}

/// Tokens used for an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenUsage {
    /// Tokens of the conversation.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub answer_tokens: u64,
}

/// A model's name and host, as shown to users.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// The model, for example "gpt-6-luna" or "SmolLM2-135M-Instruct.Q4_1".
    pub model: String,
    /// Where it runs, for example "api.openai.com" or "this machine".
    pub host: String,
    /// A sentence that must accompany every answer, for example that this is a demonstration model.
    pub notice: Option<&'static str>,
}

/// The `host` of models that run on this machine.
pub const LOCAL_HOST: &str = "this machine";

impl ModelCard {
    /// Whether the model runs on this machine, which costs nothing.
    pub fn is_local(&self) -> bool {
        self.host == LOCAL_HOST
    }
}

/// What a probe found out, beyond the fact that the model works.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChatProbe {
    /// The date on which the provider shuts the model down (`YYYY-MM-DD`), if known.
    pub shutdown_date: Option<String>,
    /// Whether the model is on the server's list; `None` if the server has no list.
    pub is_listed: Option<bool>,
    /// Difference between this machine's clock and the server's, if known.
    pub clock_skew: Option<ClockSkew>,
}
