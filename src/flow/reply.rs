//! How the pipeline reports progress and results.

use std::time::Duration;

use crate::speech::{SpeechError, Transcript, TranscriptionProgress};

/// Where the answer appears: a terminal, or a message in a channel.
///
/// Called from whichever thread does the work, including decoder threads: implementations must
/// return quickly, and decide themselves how often to draw or send.
pub trait Reply: Send + Sync {
    /// The next stage begins.
    fn enter_stage(&self, stage: PipelineStage);

    /// Something happened that the user may want to know.
    fn show_notice(&self, notice: PipelineNotice<'_>) {
        let _ = notice;
    }

    /// This much of the recording has been decoded.
    fn show_decode_progress(&self, done: Duration) {
        let _ = done;
    }

    /// Progress of the transcription.
    fn show_transcription_progress(&self, progress: TranscriptionProgress) {
        let _ = progress;
    }

    /// The transcript of the recording. Comes before the answer.
    fn show_transcript(&self, transcript: &Transcript) {
        let _ = transcript;
    }

    /// More text of the answer.
    fn append_answer(&self, text: &str) {
        let _ = text;
    }

    /// All answer text so far was the model's reasoning and must disappear. There is no default: an
    /// implementation that streams text has to handle it.
    fn retract_answer(&self);
}

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PipelineStage {
    /// Decoding the recording.
    Decoding,
    /// Transcribing it.
    Transcribing,
    /// Waiting for the model and streaming its answer.
    Answering,
}

/// Something that happened on the way. The texts for users are in `words`.
#[derive(Debug)]
pub enum PipelineNotice<'a> {
    /// The recording is cut off; the part that is there is used.
    Truncated,
    /// This provider has started on the recording.
    ProviderStarted {
        /// Name of the provider.
        provider: &'static str,
    },
    /// A provider failed and the next one is tried.
    ProviderFallback {
        /// Name of the provider that failed.
        provider: &'static str,
        /// Why it failed.
        error: &'a SpeechError,
        /// Name of the provider that is tried next.
        next: &'static str,
    },
}
