//! A conversation goes to a [`ChatModel`], an answer streams back.

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

/// Answers a conversation.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Who answers. Constant for the life of the model.
    fn card(&self) -> &ModelCard;

    /// Answers the last turn of `conversation`.
    ///
    /// The conversation is cut to the model's token budget from its oldest turn. Errors before
    /// the first word have been retried where that makes sense; errors inside the stream are
    /// final. Dropping the stream ends the work.
    async fn answer(&self, conversation: &Conversation) -> Result<AnswerStream, ChatError>;

    /// The same, telling `meter` each time that the conversation is given to a server.
    async fn answer_metered(
        &self,
        conversation: &Conversation,
        meter: &dyn UsageMeter,
    ) -> Result<AnswerStream, ChatError> {
        meter.on_charge();
        self.answer(conversation).await
    }

    /// Tokens of what would be sent of `conversation`, estimated on the high side.
    fn estimate_prompt_tokens(&self, conversation: &Conversation) -> u32 {
        token_budget::estimate_conversation_tokens(conversation)
    }

    /// Tokens of the longest answer, where there is a limit.
    fn max_answer_tokens(&self) -> u32 {
        0
    }

    /// Finds out with the smallest request whether the model would answer now.
    async fn probe(&self) -> Result<ChatProbe, ChatError>;
}

/// Hears of what a server may bill. Called from wherever the work runs: be quick.
pub trait UsageMeter: Send + Sync {
    /// The server is given the conversation: from here on it may bill it, whatever becomes of it.
    /// Once for each time that this happens.
    fn on_charge(&self) {}

    /// The server has surely done nothing with what it was given last.
    fn on_refund(&self) {}

    /// What the server was given last has cost this, although no answer came of it.
    fn on_unanswered_usage(&self, usage: TokenUsage) {
        let _ = usage;
    }
}

/// Nobody who counts.
impl UsageMeter for () {}

/// The answer as it comes. Ends with exactly one [`AnswerChunk::AnswerEnd`], or with an error.
pub type AnswerStream = Pin<Box<dyn Stream<Item = Result<AnswerChunk, ChatError>> + Send>>;

/// A part of an answer.
#[derive(Clone, PartialEq)]
pub enum AnswerChunk {
    /// Some more words, never empty.
    Text(String),
    /// All words so far were the model's thoughts, not its answer, which follows.
    Retract,
    /// The answer is over.
    End(AnswerEnd),
}

impl std::fmt::Debug for AnswerChunk {
    /// Answers never reach a log: only their size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Retract => f.write_str("TakeBack"),
            Self::End(end) => write!(f, "{end:?}"),
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnswerEnd {
    /// Why there is no more.
    pub reason: FinishReason,
    /// What it cost, where the model says.
    pub usage: Option<TokenUsage>,
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FinishReason {
    /// The model had said everything.
    Complete,
    /// The limit on the answer's length was reached.
    Length,
    /// The provider's content filter stepped in.
    ContentFilter,
}

/// Tokens that an answer cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenUsage {
    /// Tokens read: the conversation.
    pub prompt_tokens: u64,
    /// Tokens written: the answer.
    pub answer_tokens: u64,
}

/// Who answers, as people are told.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// The model: "gpt-6-luna", "SmolLM2-135M-Instruct.Q4_1".
    pub model: String,
    /// Where it runs: "api.openai.com", "this machine".
    pub host: String,
    /// A sentence that must accompany every answer, such as that this is a demonstration model.
    pub notice: Option<&'static str>,
}

/// Where a model of this machine runs.
pub const LOCAL_HOST: &str = "this machine";

impl ModelCard {
    /// Whether it runs on this machine, which costs nothing.
    pub fn is_local(&self) -> bool {
        self.host == LOCAL_HOST
    }
}

/// What a probe found out beyond that the model works.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChatProbe {
    /// The day on which the provider switches the model off (`YYYY-MM-DD`), where it says.
    pub shutdown_date: Option<String>,
    /// False where the server lists its models and this one is not among them.
    pub is_listed: Option<bool>,
    /// How far this machine's clock is from the server's, where it tells the time.
    pub clock_skew: Option<ClockSkew>,
}
