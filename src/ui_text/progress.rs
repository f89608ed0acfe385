//! What is being done, while it is being done.

use super::speech_errors::speech_error_reason;
use super::{format_bytes, format_duration};
use crate::flow::{PipelineNotice, PipelineStage};
use crate::speech::TranscriptionProgress;

/// A stage of the pipeline, for a progress line.
pub fn stage(stage: PipelineStage) -> &'static str {
    match stage {
        PipelineStage::Decoding => "Decoding",
        PipelineStage::Transcribing => "Listening",
        PipelineStage::Answering => "Thinking",
    }
}

/// How far a transcription has got.
pub fn progress(progress: TranscriptionProgress) -> String {
    match progress {
        TranscriptionProgress::Uploading { sent, total } => {
            format!("sent {} of {}", format_bytes(sent), format_bytes(total))
        }
        TranscriptionProgress::Queued => "queued".to_owned(),
        TranscriptionProgress::Processing => "in progress".to_owned(),
        TranscriptionProgress::Recognizing { done, total } => {
            format!("{} of {}", format_duration(done), format_duration(total))
        }
    }
}

/// A notice that deserves a line of its own.
pub fn notice(notice: &PipelineNotice<'_>) -> Option<String> {
    match notice {
        PipelineNotice::Truncated => {
            Some("The recording is cut off at the end; I'm using what there is.".to_owned())
        }
        PipelineNotice::ProviderStarted { .. } => None,
        PipelineNotice::ProviderFallback {
            provider,
            error,
            next,
        } => Some(format!(
            "{provider}: {} {next} takes over.",
            speech_error_reason(error)
        )),
    }
}

/// On a terminal, after text that turns out to be the model's reasoning and not its answer.
pub const REASONING_ENDED: &str = "\n\n(That was the model thinking. Here is its answer:)\n\n";
