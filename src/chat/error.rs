//! Why there is no answer.

use std::time::Duration;

use crate::net::{Cause, ForeignText, NetError};

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
    /// No answer that makes sense: unreachable, 5xx, malformed.
    #[error("the provider can't be reached or is broken")]
    Unavailable(#[source] NetError),
    /// The server understood the request and will not do it (400, 422).
    #[error("the provider refuses the request: {reason}")]
    Refused {
        /// The provider's own words.
        reason: ForeignText,
    },
    /// The answer stopped in the middle: cut connection, error inside the stream, silence.
    #[error("the answer broke off: {reason}")]
    BrokeOff {
        /// What happened, for the log.
        reason: Cause,
    },
    /// Nothing came for this long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The last turn alone is longer than the model can read.
    #[error("the question is too long for the model")]
    TooLong,
    /// The local engine: model missing or corrupt, not a GGUF, out of memory.
    #[error("the local engine: {reason}")]
    Local {
        /// What is wrong, and with which file.
        reason: String,
        /// Whether fetching the models (again) would mend it.
        fetch_mends: bool,
    },
}
