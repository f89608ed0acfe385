//! Why a model gave no answer.

use std::time::Duration;

use net::{ErrorCause, NetError, RedactedText};

/// Why a model gave no answer, or only part of one. `Display` is for the log; texts for users are
/// in `ui_text`. Never contains a key, a prompt or an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The key is wrong, revoked, or not allowed to do this (401, 403).
    #[error("the key was refused")]
    KeyRefused(#[source] NetError),
    /// The account has no credit left (`insufficient_quota`).
    #[error("the account's quota is spent")]
    QuotaExceeded(#[source] NetError),
    /// Rate limit or overload, after all retries.
    #[error("the provider is overloaded")]
    Overloaded(#[source] NetError),
    /// Unknown model or endpoint (404).
    #[error("the server does not know the model or the path")]
    UnknownModel(#[source] NetError),
    /// No usable response: unreachable, 5xx.
    #[error("the provider can't be reached or is broken")]
    Unavailable(#[source] NetError),
    /// The server redirects. We don't follow, so that neither key nor prompt is sent elsewhere.
    #[error("the server redirects elsewhere")]
    Redirected(RedirectTarget),
    /// The response body is not an answer.
    #[error("the response is not an answer: {0}")]
    InvalidResponse(InvalidResponse),
    /// The model answered without any text.
    #[error("the answer is empty: {0}")]
    EmptyAnswer(EmptyReason),
    /// The server understood the request but rejects it (400, 422).
    #[error("the provider refuses the request: {reason}")]
    Refused {
        /// The provider's message.
        reason: RedactedText,
    },
    /// The answer stopped in the middle.
    #[error("the answer broke off: {reason}")]
    StreamInterrupted {
        /// What interrupted it.
        reason: Interruption,
    },
    /// Nothing was received for this long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The last turn alone exceeds the model's context.
    #[error("the question is too long for the model")]
    PromptTooLong,
    /// An error of AssemblyAI's LLM Gateway, which has its own settings to check.
    #[error("at AssemblyAI's LLM Gateway: {0}")]
    LlmGateway(#[source] Box<Self>),
    /// The local engine failed: model missing or corrupt, not a GGUF file, out of memory.
    #[error("the local engine: {reason}")]
    LocalEngine {
        /// What is wrong, and with which file.
        reason: String,
        /// Whether fetching the models (again) would fix it.
        fixed_by_fetch: bool,
    },
}

/// Where a server redirects to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RedirectTarget {
    /// The same API at another base URL, which the setting should name.
    SameApi(RedactedText),
    /// Something else, such as a login page.
    Elsewhere(RedactedText),
    /// The redirect has no usable location.
    NoLocation,
}

/// What was received instead of an answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// An empty body.
    #[error("nothing")]
    EmptyBody,
    /// An HTML page.
    #[error("a web page")]
    WebPage,
    /// Some other text.
    #[error("a text: {0}")]
    Text(RedactedText),
    /// An answer that ends before its first word, or JSON that ends in the middle.
    #[error("a part of an answer")]
    Truncated,
    /// Invalid JSON or events, or JSON that is not an answer.
    #[error("malformed: {0}")]
    Malformed(ErrorCause),
    /// A body larger than any answer.
    #[error("it has no end")]
    TooLarge,
}

/// Why an answer has no text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EmptyReason {
    /// The token limit was reached before the first word: the model reasoned too long.
    #[error("out of tokens before the first word")]
    OutOfTokens,
    /// The model reasoned, then stopped.
    #[error("only thoughts")]
    OnlyReasoning,
    /// The model called a tool, which this program doesn't offer.
    #[error("only a call of a tool")]
    OnlyToolCalls,
    /// The provider's content filter withheld the answer.
    #[error("filtered")]
    Filtered,
    /// Unknown reason.
    #[error("nothing")]
    Nothing,
}

/// What interrupted an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The connection broke or was closed.
    #[error("{0}")]
    Connection(ErrorCause),
    /// Nothing was received for this long.
    #[error("silence for {0:?}")]
    Silence(Duration),
    /// The answer took longer than this.
    #[error("not done within {0:?}")]
    DeadlineExceeded(Duration),
    /// The server reported an error.
    #[error("{0}")]
    Server(NetError),
    /// The rest of the body is not part of an answer.
    #[error("{0}")]
    InvalidResponse(InvalidResponse),
}

impl From<&'static str> for Interruption {
    fn from(what: &'static str) -> Self {
        Self::Connection(what.into())
    }
}

impl ChatError {
    /// Marks errors that depend on the gateway's settings as errors of AssemblyAI's LLM Gateway.
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
