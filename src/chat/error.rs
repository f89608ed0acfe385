//! Why there is no answer.

use std::time::Duration;

use net::{Cause, ForeignText, NetError};

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
    QuotaSpent(#[source] NetError),
    /// Rate limit or overload, after the retries.
    #[error("the provider is overloaded")]
    Busy(#[source] NetError),
    /// No such model, or no such endpoint (404).
    #[error("the server does not know the model or the path")]
    UnknownModel(#[source] NetError),
    /// No answer that makes sense: unreachable, 5xx.
    #[error("the provider can't be reached or is broken")]
    Unavailable(#[source] NetError),
    /// The address leads to another one, where no key and no question is sent.
    #[error("the server sends us elsewhere")]
    Moved(Moved),
    /// What came as an answer is none.
    #[error("what came is no answer: {0}")]
    Unreadable(Unreadable),
    /// The model has answered, without a word.
    #[error("the answer is empty: {0}")]
    Empty(Emptiness),
    /// The server understood the request and will not do it (400, 422).
    #[error("the provider refuses the request: {reason}")]
    Refused {
        /// The provider's own words.
        reason: ForeignText,
    },
    /// The answer stopped in the middle.
    #[error("the answer broke off: {reason}")]
    BrokeOff {
        /// What happened.
        reason: Interruption,
    },
    /// Nothing came for this long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The last turn alone is longer than the model can read.
    #[error("the question is too long for the model")]
    TooLong,
    /// A refusal or an outage of AssemblyAI's LLM Gateway: other settings mend it.
    #[error("at AssemblyAI's LLM Gateway: {0}")]
    AtGateway(#[source] Box<Self>),
    /// The local engine: model missing or corrupt, not a GGUF, out of memory.
    #[error("the local engine: {reason}")]
    Local {
        /// What is wrong, and with which file.
        reason: String,
        /// Whether fetching the models (again) would mend it.
        fetch_mends: bool,
    },
}

/// Where a server sends those who ask it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Moved {
    /// To the same API elsewhere: what the setting should be.
    Api(ForeignText),
    /// To something else, such as a page to sign in.
    Elsewhere(ForeignText),
    /// It does not say.
    Nowhere,
}

/// What came in place of an answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Not a byte.
    #[error("nothing")]
    Nothing,
    /// A page for a browser.
    #[error("a web page")]
    Page,
    /// Some other text.
    #[error("a text: {0}")]
    Text(ForeignText),
    /// An answer that ends before its first word, or JSON that ends in the middle.
    #[error("a part of an answer")]
    CutOff,
    /// JSON or events that are none, or are about something else.
    #[error("malformed: {0}")]
    Malformed(Cause),
    /// More than any answer has.
    #[error("it has no end")]
    TooLarge,
}

/// Why an answer has no words.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Emptiness {
    /// The limit on its length was reached before the first one: the model thought too long.
    #[error("out of tokens before the first word")]
    OutOfTokens,
    /// The model thought, and ended.
    #[error("only thoughts")]
    OnlyThoughts,
    /// The model called a tool, and there is none.
    #[error("only a call of a tool")]
    OnlyCalls,
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
    Connection(Cause),
    /// Nothing came for this long.
    #[error("silence for {0:?}")]
    Silence(Duration),
    /// It took longer than this.
    #[error("not done within {0:?}")]
    OutOfTime(Duration),
    /// The server reported a failure.
    #[error("{0}")]
    Server(NetError),
    /// What came next is no part of an answer.
    #[error("{0}")]
    Unreadable(Unreadable),
}

impl From<&'static str> for Interruption {
    fn from(what: &'static str) -> Self {
        Self::Connection(what.into())
    }
}

impl ChatError {
    /// The same failure at AssemblyAI's LLM Gateway, where other settings mend it than elsewhere.
    pub(super) fn at_gateway(self) -> Self {
        match self {
            Self::KeyRefused(_)
            | Self::QuotaSpent(_)
            | Self::UnknownModel(_)
            | Self::Refused { .. }
            | Self::Unavailable(_) => Self::AtGateway(Box::new(self)),
            other => other,
        }
    }
}
