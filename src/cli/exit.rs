//! Exit codes, and the signals that end the process.

use std::process::ExitCode;

use crate::chat::ChatError;
use crate::flow::PipelineError;
use crate::speech::SpeechError;
use audio::AudioError;

/// How the process ends. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// 0: success.
    Success,
    /// 1: a failure without a number of its own.
    Failure,
    /// 2: the command line or a setting is wrong.
    Usage,
    /// 3: a recording can't be used.
    Recording,
    /// 4: a recording has no speech.
    NoSpeech,
    /// 5: a provider refused, failed or could not be reached.
    Provider,
    /// 6: a local model is missing or broken.
    LocalModel,
    /// 130: interrupted, the shells' number for Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Recording => 3,
            Self::NoSpeech => 4,
            Self::Provider => 5,
            Self::LocalModel => 6,
            Self::Interrupted => 130,
        }
    }

    /// The outcome of several steps: the first that is not a success.
    pub(super) fn and(self, next: Self) -> Self {
        match self {
            Self::Success => next,
            failed => failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&PipelineError> for Exit {
    fn from(failure: &PipelineError) -> Self {
        match failure {
            PipelineError::Audio(AudioError::NoSpeech) => Self::NoSpeech,
            PipelineError::Audio(_) | PipelineError::Speech(SpeechError::BadAudio { .. }) => {
                Self::Recording
            }
            PipelineError::Speech(SpeechError::LocalEngine { .. })
            | PipelineError::Chat(ChatError::LocalEngine { .. }) => Self::LocalModel,
            PipelineError::Speech(_) | PipelineError::Chat(_) => Self::Provider,
        }
    }
}

/// Resolves on Ctrl-C, or on SIGTERM where the system has it.
pub(super) async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler the signal ends the process anyway.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
