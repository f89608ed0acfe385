//! Errors of the pipeline.

use crate::chat::ChatError;
use crate::speech::SpeechError;
use audio::AudioError;

/// Why there is no transcript or no answer. The texts for users are in `words`.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The recording can't be used.
    #[error("audio: {0}")]
    Audio(#[source] AudioError),
    /// No provider could transcribe it.
    #[error("speech to text: {0}")]
    Speech(#[source] SpeechError),
    /// The model gave no answer.
    #[error("answer: {0}")]
    Chat(#[from] ChatError),
}

impl From<AudioError> for PipelineError {
    fn from(error: AudioError) -> Self {
        Self::Audio(error)
    }
}

impl From<SpeechError> for PipelineError {
    /// A problem that the transcriber finds in the recording itself counts as an audio error.
    fn from(error: SpeechError) -> Self {
        match error {
            SpeechError::Audio(error) => Self::Audio(error),
            error => Self::Speech(error),
        }
    }
}
