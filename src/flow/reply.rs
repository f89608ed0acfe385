//! How a flow tells whoever asked how it goes.

use std::time::Duration;

use crate::speech::{SpeechError, Transcript, TranscriptionProgress};

/// Where the answer appears: a terminal, a message in a channel.
///
/// Called from wherever the work runs, decoding threads included: implementations are quick and
/// decide themselves how often anything is drawn or sent.
pub trait Reply: Send + Sync {
    /// The next stage begins.
    fn enter_stage(&self, stage: PipelineStage);

    /// Something happened that the user may want to know.
    fn show_notice(&self, notice: PipelineNotice<'_>) {
        let _ = notice;
    }

    /// So much of the recording has been decoded.
    fn show_decode_progress(&self, done: Duration) {
        let _ = done;
    }

    /// How far the transcription is.
    fn show_transcription_progress(&self, progress: TranscriptionProgress) {
        let _ = progress;
    }

    /// The words of the recording. They come before the answer.
    fn show_transcript(&self, transcript: &Transcript) {
        let _ = transcript;
    }

    /// More words of the answer.
    fn append_answer(&self, text: &str) {
        let _ = text;
    }

    /// All words of the answer so far were the model's thoughts, and are to be shown no longer.
    /// Whoever shows words as they come has to do something about it.
    fn retract_answer(&self);
}

/// What is being done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PipelineStage {
    /// The recording is decoded.
    Decoding,
    /// The recording is written down.
    Transcribing,
    /// The model thinks and answers.
    Answering,
}

/// What a user may want to know on the way. The sentences are in `words`.
#[derive(Debug)]
pub enum PipelineNotice<'a> {
    /// The recording ends in the middle of something; what there is of it is used.
    Truncated,
    /// This provider has the recording now.
    ProviderStarted {
        /// Its name.
        provider: &'static str,
    },
    /// A provider could not do it and another one is tried.
    ProviderFallback {
        /// Who could not.
        provider: &'static str,
        /// Why.
        error: &'a SpeechError,
        /// Who is tried.
        next: &'static str,
    },
}
