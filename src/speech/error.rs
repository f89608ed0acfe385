//! Why a transcription failed, and how the failover chain reacts.

use std::time::Duration;

use audio::AudioError;
use net::{NetError, RedactedText};

/// Why a transcriber failed. `Display` is for the log; texts for users are in `ui_text`. Never
/// contains a key or transcript text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeechError {
    /// The key is wrong, revoked, or not allowed to do this (401, 403).
    #[error("the key was refused")]
    KeyRefused(#[source] NetError),
    /// The account has no money or minutes left.
    #[error("the account's quota is spent")]
    QuotaExceeded(#[source] NetError),
    /// The key is valid, but the account may not use this feature, for example without a paid plan.
    #[error("the account may not do this")]
    NotAllowed(#[source] NetError),
    /// The provider rejects a request parameter (model, hint), whatever the recording.
    #[error("the provider refuses {}: {reason}", .what.log_name())]
    Refused {
        /// The rejected parameter.
        what: RefusedParameter,
        /// The provider's message.
        reason: RedactedText,
    },
    /// Too many requests, or no capacity, even after waiting as long as `Retry-After` asked.
    #[error("the provider is overloaded")]
    Overloaded(#[source] NetError),
    /// No usable response: unreachable, 5xx, connection cut, malformed body.
    #[error("the provider can't be reached or is broken")]
    Unavailable(#[source] NetError),
    /// The provider received the clip but didn't finish in time.
    #[error("no result within {0:?}")]
    TimedOut(Duration),
    /// The provider understood the request but rejects the audio itself.
    #[error("the provider refuses the audio: {reason}")]
    BadAudio {
        /// The provider's message.
        reason: RedactedText,
    },
    /// The provider accepted the clip, then reported a failure (job status `error`).
    #[error("the provider reports a failure: {reason}")]
    JobFailed {
        /// The provider's message.
        reason: RedactedText,
    },
    /// This transcriber doesn't accept the clip: too short, too long, or in the wrong form.
    #[error("the clip is outside what the provider takes")]
    UnsupportedClip,
    /// The original file could not be read or decoded.
    #[error("the recording can't be read")]
    Audio(#[from] AudioError),
    /// The local engine failed: models missing or corrupt, library not loadable, inference error.
    #[error("the local engine: {reason}")]
    LocalEngine {
        /// What is wrong, and with which file.
        reason: String,
        /// Whether fetching the models (again) would fix it.
        fixed_by_fetch: bool,
    },
}

/// The request parameter that a provider rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusedParameter {
    /// The model: unknown, retired, or not for this account.
    Model {
        /// The setting that names the model.
        setting: &'static str,
    },
    /// The key terms.
    KeyTerms,
    /// The language, which the requested model doesn't support.
    Language {
        /// The setting that names the model.
        model: &'static str,
    },
    /// Anything else in the request other than the audio.
    Request,
}

impl RefusedParameter {
    /// Short name for the log.
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Model { .. } => "the model",
            Self::KeyTerms => "the key terms",
            Self::Language { .. } => "the language",
            Self::Request => "the request",
        }
    }
}

/// How the caller of a transcriber should react to its error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailoverAction {
    /// Try the next transcriber, and skip this one for all clips until a probe succeeds.
    MarkUnhealthy,
    /// Try the next transcriber; this one stays healthy.
    TryNext,
    /// No transcriber can handle this clip.
    GiveUp,
}

impl SpeechError {
    /// How to react to this error.
    pub fn failover_action(&self) -> FailoverAction {
        match self {
            Self::KeyRefused(_)
            | Self::QuotaExceeded(_)
            | Self::NotAllowed(_)
            | Self::Refused {
                what: RefusedParameter::Model { .. },
                ..
            }
            | Self::Overloaded(_)
            | Self::Unavailable(_)
            | Self::TimedOut(_)
            | Self::LocalEngine { .. } => FailoverAction::MarkUnhealthy,
            // Hints vary from request to request: others may still succeed.
            Self::Refused { .. }
            | Self::BadAudio { .. }
            | Self::JobFailed { .. }
            | Self::UnsupportedClip => FailoverAction::TryNext,
            Self::Audio(_) => FailoverAction::GiveUp,
        }
    }
}
