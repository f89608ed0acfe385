//! Why a transcription failed, and what to do next.

use std::time::Duration;

use audio::AudioError;
use net::{NetError, RedactedText};

/// Why a transcriber could not do its work. `Display` is for the log; what a user reads is in
/// `words`. Never holds a key or what was said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpeechError {
    /// The key is wrong, revoked, or not allowed to do this (401, 403).
    #[error("the key was refused")]
    KeyRefused(#[source] NetError),
    /// The account has no money or minutes left.
    #[error("the account's quota is spent")]
    QuotaExceeded(#[source] NetError),
    /// The account is in order and may not do this, as one without a paid plan.
    #[error("the account may not do this")]
    NotAllowed(#[source] NetError),
    /// The provider refuses what was asked for, whatever the recording: a model, a hint.
    #[error("the provider refuses {}: {reason}", .what.log_name())]
    Refused {
        /// What it refuses.
        what: RefusedParameter,
        /// The provider's own words.
        reason: RedactedText,
    },
    /// Too many requests, or no capacity; `RetryAdvice-After` has been obeyed and it was not enough.
    #[error("the provider is overloaded")]
    Overloaded(#[source] NetError),
    /// No answer that makes sense: unreachable, 5xx, cut off, malformed.
    #[error("the provider can't be reached or is broken")]
    Unavailable(#[source] NetError),
    /// The provider had the clip and did not finish in time.
    #[error("no result within {0:?}")]
    TimedOut(Duration),
    /// The provider understood the request and refuses the audio itself.
    #[error("the provider refuses the audio: {reason}")]
    BadAudio {
        /// The provider's own words.
        reason: RedactedText,
    },
    /// The provider took the clip and reports that it failed (job status `error`).
    #[error("the provider reports a failure: {reason}")]
    JobFailed {
        /// The provider's own words.
        reason: RedactedText,
    },
    /// The clip can't be given to this transcriber: too short, too long, wrong form.
    #[error("the clip is outside what the provider takes")]
    UnsupportedClip,
    /// The original could not be read or decoded.
    #[error("the recording can't be read")]
    Audio(#[from] AudioError),
    /// The local engine: models missing or corrupt, library not loadable, inference failed.
    #[error("the local engine: {reason}")]
    LocalEngine {
        /// What is wrong, and with which file.
        reason: String,
        /// Whether fetching the models (again) would mend it.
        fixed_by_fetch: bool,
    },
}

/// What a provider refuses of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusedParameter {
    /// The model: unknown, retired, or not for this account.
    Model {
        /// The setting that names it.
        setting: &'static str,
    },
    /// The key terms.
    KeyTerms,
    /// The language, for the model that is asked for.
    Language {
        /// The setting that names the model.
        model: &'static str,
    },
    /// Something else of the request around the recording.
    Request,
}

impl RefusedParameter {
    /// In a word, for the log.
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Model { .. } => "the model",
            Self::KeyTerms => "the key terms",
            Self::Language { .. } => "the language",
            Self::Request => "the request",
        }
    }
}

/// What whoever called a transcriber does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailoverAction {
    /// Give the clip to another transcriber; this one is broken for others too until it has
    /// been probed.
    MarkUnhealthy,
    /// Give the clip to another transcriber; this one is not to blame.
    TryNext,
    /// No transcriber can help.
    GiveUp,
}

impl SpeechError {
    /// What to do next.
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
            // Hints belong to one question: others may be asked with other ones.
            Self::Refused { .. }
            | Self::BadAudio { .. }
            | Self::JobFailed { .. }
            | Self::UnsupportedClip => FailoverAction::TryNext,
            Self::Audio(_) => FailoverAction::GiveUp,
        }
    }
}
