//! Why there is no answer, for members of a server: what they can do about it themselves.

use super::{ANSWER_REJECTED, EMPTY_ANSWER, NO_ACCESS, RESPONSE_EXPIRED};
use crate::chat::{ChatError, EmptyReason};
use crate::flow::PipelineError;
use crate::flow::frontend::{FetchError, JobFailure};
use crate::flow::job_scheduler::SubmitError;
use crate::speech::{RefusedParameter, SpeechError};
use crate::ui_text::{audio_error, daily_limit_message, format_bytes, format_duration, queue_full};
use audio::AudioError;

/// Why a job ended without an answer.
pub fn failure(failure: &JobFailure) -> String {
    match failure {
        JobFailure::Pipeline(PipelineError::Audio(error)) => recording_error(error),
        JobFailure::Pipeline(PipelineError::Speech(error)) => speech_error(error),
        JobFailure::Pipeline(PipelineError::Chat(error)) => chat_error(error),
        JobFailure::Fetch(error) => fetch_error(error),
        JobFailure::NotAdmitted(decision) => daily_limit_message(*decision).unwrap_or_default(),
        JobFailure::Undeliverable => ANSWER_REJECTED.to_owned(),
        JobFailure::ReplyExpiring => RESPONSE_EXPIRED.to_owned(),
        JobFailure::Unreadable => {
            "I can no longer read what was asked here. Send it again.".to_owned()
        }
        JobFailure::TooManyAttempts(_) => {
            "I tried this several times and couldn't finish it. Whoever runs me can find the \
             reason in my log."
                .to_owned()
        }
    }
}

fn recording_error(error: &AudioError) -> String {
    match error {
        AudioError::TooManyBytes { limit } => recording_too_large(*limit),
        AudioError::TooLong { limit } => format!(
            "The recording is longer than {}, the limit here. Send a shorter one.",
            format_duration(*limit)
        ),
        AudioError::Directory
        | AudioError::NotFound
        | AudioError::Unreadable(_)
        | AudioError::Cancelled => {
            "Something went wrong while I was reading the recording. Press “Try again”.".to_owned()
        }
        _ => audio_error("The recording", error),
    }
}

fn recording_too_large(limit: u64) -> String {
    format!(
        "The recording is larger than {}, the limit here. Send a shorter one.",
        format_bytes(limit)
    )
}

fn speech_error(error: &SpeechError) -> String {
    match error {
        SpeechError::Overloaded(_) => {
            "The transcription service is overloaded. Press “Try again” in a minute.".to_owned()
        }
        SpeechError::TimedOut(_) => {
            "Transcribing the recording took too long. Press “Try again”, or send a shorter one."
                .to_owned()
        }
        SpeechError::BadAudio { .. } => {
            "The transcription service can't use this recording. Record it again.".to_owned()
        }
        SpeechError::Refused {
            what: RefusedParameter::KeyTerms | RefusedParameter::Language { .. },
            ..
        } => "The transcription service doesn't accept the languages or key terms that are set \
             here. The people who manage the server can change them under `/settings`."
            .to_owned(),
        SpeechError::UnsupportedClip => {
            "I can't listen to a recording of this length. Send a shorter or longer one.".to_owned()
        }
        SpeechError::Audio(error) => recording_error(error),
        SpeechError::KeyRefused(_)
        | SpeechError::QuotaExceeded(_)
        | SpeechError::NotAllowed(_)
        | SpeechError::Refused { .. }
        | SpeechError::Unavailable(_)
        | SpeechError::JobFailed { .. }
        | SpeechError::LocalEngine { .. } => {
            "I can't transcribe recordings right now. Press “Try again” later; whoever runs me can \
             find the reason in my log."
                .to_owned()
        }
    }
}

fn chat_error(error: &ChatError) -> String {
    match error {
        ChatError::LlmGateway(error) => chat_error(error),
        ChatError::Overloaded(_) => {
            "The model is overloaded. Press “Try again” in a minute.".to_owned()
        }
        ChatError::TimedOut(_) => "The model did not answer in time. Press “Try again”.".to_owned(),
        ChatError::StreamInterrupted { .. } => {
            "The answer broke off in the middle. Press “Try again”.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OutOfTokens) => {
            "The model thought for too long and had no room left for an answer. Press “Try again”, \
             or ask for less at once."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OnlyReasoning) => {
            "The model thought about it and then gave no answer. Press “Try again”.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OnlyToolCalls) => {
            "The model wanted to use a tool that I don't have, and gave no answer. Press “Try \
             again”, or rephrase your question."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::Filtered) => {
            "The provider's content filter blocked the answer. Rephrase your question.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::Nothing) => EMPTY_ANSWER.to_owned(),
        ChatError::PromptTooLong => {
            "This is more than the model can read at once. Send something shorter.".to_owned()
        }
        ChatError::KeyRefused(_)
        | ChatError::QuotaExceeded(_)
        | ChatError::UnknownModel(_)
        | ChatError::Unavailable(_)
        | ChatError::Redirected(_)
        | ChatError::InvalidResponse(_)
        | ChatError::Refused { .. }
        | ChatError::LocalEngine { .. } => {
            "I can't answer right now. Press “Try again” later; whoever runs me can find the \
             reason in my log."
                .to_owned()
        }
    }
}

fn fetch_error(error: &FetchError) -> String {
    match error {
        FetchError::Gone => "The recording is no longer there. Send it again.".to_owned(),
        FetchError::TooLarge(limit) => recording_too_large(*limit),
        FetchError::NotCdnUrl => {
            "The recording isn't on Discord's servers. Upload it here.".to_owned()
        }
        FetchError::Net(_) => {
            "I couldn't get the recording from Discord. Press “Try again” in a minute.".to_owned()
        }
        FetchError::Disk(_) => "I have no space for the recording right now. Press “Try again” \
             later; whoever runs me can find the reason in my log."
            .to_owned(),
    }
}

/// Why a request was not accepted.
pub fn request_refused(error: &SubmitError) -> String {
    match error {
        SubmitError::NotAdmitted(decision) => daily_limit_message(*decision).unwrap_or_default(),
        SubmitError::NoAccess => NO_ACCESS.to_owned(),
        SubmitError::QueueFull(reason) => queue_full(*reason).to_owned(),
        SubmitError::ShuttingDown => "I'm being restarted. Send this again in a minute.".to_owned(),
        SubmitError::Store(_) => {
            "I can't take this on right now. Send it again later; whoever runs me can find the \
             reason in my log."
                .to_owned()
        }
    }
}
