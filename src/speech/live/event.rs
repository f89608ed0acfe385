//! The results of a live transcription.

use crate::speech::{SpeechError, Transcript};

/// A result for one utterance. `Debug` shows sizes only.
pub enum LiveEvent {
    /// The text recognized so far; replaces the previous partial.
    Partial {
        /// The utterance's number.
        utterance: u64,
        /// The whole text so far.
        text: String,
    },
    /// The complete transcript. Sent once per utterance, in order of their numbers.
    Final {
        /// The utterance's number.
        utterance: u64,
        /// The transcript; its text is empty if no speech was recognized.
        transcript: Transcript,
    },
    /// Transcription failed. Sent instead of [`Final`](Self::Final).
    Failed {
        /// The utterance's number.
        utterance: u64,
        /// Why.
        error: SpeechError,
    },
}

impl LiveEvent {
    /// The number of the utterance that the event is about.
    pub fn utterance(&self) -> u64 {
        match self {
            Self::Partial { utterance, .. }
            | Self::Final { utterance, .. }
            | Self::Failed { utterance, .. } => *utterance,
        }
    }
}

impl std::fmt::Debug for LiveEvent {
    /// Transcript text never reaches a log, only its size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Partial { utterance, text } => f
                .debug_struct("Partial")
                .field("utterance", utterance)
                .field("characters", &text.chars().count())
                .finish(),
            Self::Final {
                utterance,
                transcript,
            } => f
                .debug_struct("Final")
                .field("utterance", utterance)
                .field("transcript", transcript)
                .finish(),
            Self::Failed { utterance, error } => f
                .debug_struct("Failed")
                .field("utterance", utterance)
                .field("error", error)
                .finish(),
        }
    }
}
