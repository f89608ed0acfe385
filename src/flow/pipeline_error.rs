//! What can end a flow before its answer.

use crate::chat::ChatError;
use crate::speech::SpeechError;
use audio::AudioError;

/// Why there is no transcript or no answer. The sentence for the user is in `words`.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The recording can't be used.
    #[error("audio: {0}")]
    Audio(#[source] AudioError),
    /// Nobody could write it down.
    #[error("speech to text: {0}")]
    Speech(#[source] SpeechError),
    /// Nobody answered.
    #[error("answer: {0}")]
    Chat(#[from] ChatError),
}

impl From<AudioError> for PipelineError {
    fn from(error: AudioError) -> Self {
        Self::Audio(error)
    }
}

impl From<SpeechError> for PipelineError {
    /// A transcriber that stumbles over the recording itself is the recording's failure.
    fn from(error: SpeechError) -> Self {
        match error {
            SpeechError::Audio(error) => Self::Audio(error),
            error => Self::Speech(error),
        }
    }
}
