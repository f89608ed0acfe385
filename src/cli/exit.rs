//! Exit codes, and what ends a process early.

use std::process::ExitCode;

use crate::chat::ChatError;
use crate::flow::PipelineError;
use crate::speech::SpeechError;
use audio::AudioError;

/// How the process ends. The numbers are part of the command line's promise to scripts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// 0: all went well.
    Success,
    /// 1: something failed that has no number of its own.
    Failure,
    /// 2: the command line or a setting is wrong.
    Usage,
    /// 3: a recording can't be used.
    Recording,
    /// 4: nobody says anything in a recording.
    NoSpeech,
    /// 5: a provider refused, failed or could not be reached.
    Provider,
    /// 6: a local model is missing or broken.
    LocalModel,
    /// 130: interrupted, as shells count Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
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

    /// The outcome of several pieces of work: the first one that is not a success.
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

/// Resolves when somebody wants the process to end: Ctrl-C, or SIGTERM where there is one.
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
    // Without a handler the signal ends the process by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
