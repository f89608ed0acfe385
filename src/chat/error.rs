//! Why there is no answer.

use std::time::Duration;

use net::{ErrorCause, NetError, RedactedText};

/// Why a model gave no answer, or no whole one. `Display` is for the log; what a user reads is in
/// `words`. Never holds a key, a prompt or an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The key is wrong, revoked, or not allowed to do this (401, 403).
    #[error("the key was refused")]
    KeyRefused(#[source] NetError),
    /// The account has no money left (`insufficient_quota`).
    #[error("the account's quota is spent")]
    QuotaExceeded(#[source] NetError),
    /// Rate limit or overload, after the retries.
    #[error("the provider is overloaded")]
    Overloaded(#[source] NetError),
    /// No such model, or no such endpoint (404).
    #[error("the server does not know the model or the path")]
    UnknownModel(#[source] NetError),
    /// No answer that makes sense: unreachable, 5xx.
    #[error("the provider can't be reached or is broken")]
    Unavailable(#[source] NetError),
    /// The address leads to another one, where no key and no question is sent.
    #[error("the server sends us elsewhere")]
    Redirected(RedirectTarget),
    /// What came as an answer is none.
    #[error("what came is no answer: {0}")]
    InvalidResponse(InvalidResponse),
    /// The model has answered, without a word.
    #[error("the answer is empty: {0}")]
    EmptyAnswer(EmptyReason),
    /// The server understood the request and will not do it (400, 422).
    #[error("the provider refuses the request: {reason}")]
    Refused {
        /// The provider's own words.
        reason: RedactedText,
    },
    /// The answer stopped in the middle.
    #[error("the answer broke off: {reason}")]
    StreamInterrupted {
        /// What happened.
        reason: Interruption,
    },
    /// Nothing came for this long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The last turn alone is longer than the model can read.
    #[error("the question is too long for the model")]
    PromptTooLong,
    /// A refusal or an outage of AssemblyAI's LLM Gateway: other settings mend it.
    #[error("at AssemblyAI's LLM Gateway: {0}")]
    LlmGateway(#[source] Box<Self>),
    /// The local engine: model missing or corrupt, not a GGUF, out of memory.
    #[error("the local engine: {reason}")]
    LocalEngine {
        /// What is wrong, and with which file.
        reason: String,
        /// Whether fetching the models (again) would mend it.
        fixed_by_fetch: bool,
    },
}

/// Where a server sends those who ask it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RedirectTarget {
    /// To the same API elsewhere: what the setting should be.
    SameApi(RedactedText),
    /// To something else, such as a page to sign in.
    Elsewhere(RedactedText),
    /// It does not say.
    NoLocation,
}

/// What came in place of an answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// Not a byte.
    #[error("nothing")]
    EmptyBody,
    /// A page for a browser.
    #[error("a web page")]
    WebPage,
    /// Some other text.
    #[error("a text: {0}")]
    Text(RedactedText),
    /// An answer that ends before its first word, or JSON that ends in the middle.
    #[error("a part of an answer")]
    Truncated,
    /// JSON or events that are none, or are about something else.
    #[error("malformed: {0}")]
    Malformed(ErrorCause),
    /// More than any answer has.
    #[error("it has no end")]
    TooLarge,
}

/// Why an answer has no words.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EmptyReason {
    /// The limit on its length was reached before the first one: the model thought too long.
    #[error("out of tokens before the first word")]
    OutOfTokens,
    /// The model thought, and ended.
    #[error("only thoughts")]
    OnlyReasoning,
    /// The model called a tool, and there is none.
    #[error("only a call of a tool")]
    OnlyToolCalls,
    /// The provider's content filter held it back.
    #[error("filtered")]
    Filtered,
    /// Nobody knows.
    #[error("nothing")]
    Nothing,
}

/// What stopped an answer in the middle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The connection broke or ended.
    #[error("{0}")]
    Connection(ErrorCause),
    /// Nothing came for this long.
    #[error("silence for {0:?}")]
    Silence(Duration),
    /// It took longer than this.
    #[error("not done within {0:?}")]
    DeadlineExceeded(Duration),
    /// The server reported a failure.
    #[error("{0}")]
    Server(NetError),
    /// What came next is no part of an answer.
    #[error("{0}")]
    InvalidResponse(InvalidResponse),
}

impl From<&'static str> for Interruption {
    fn from(what: &'static str) -> Self {
        Self::Connection(what.into())
    }
}

impl ChatError {
    /// The same failure at AssemblyAI's LLM Gateway, where other settings mend it than elsewhere.
    pub(super) fn into_llm_gateway_error(self) -> Self {
        match self {
            Self::KeyRefused(_)
            | Self::QuotaExceeded(_)
            | Self::UnknownModel(_)
            | Self::Refused { .. }
            | Self::Unavailable(_) => Self::LlmGateway(Box::new(self)),
            other => other,
        }
    }
}
