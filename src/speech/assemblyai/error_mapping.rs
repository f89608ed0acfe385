//! Maps AssemblyAI's failures to [`SpeechError`].

use std::time::Duration;

use reqwest::StatusCode;

use crate::speech::{RefusedParameter, SpeechError};
use audio::AudioError;
use net::{NetError, RedactedText, is_auth_failure};

/// The API of a request; each has its own setting for the model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ApiKind {
    Sync,
    Prerecorded,
    Streaming,
}

impl ApiKind {
    fn model_setting(self) -> &'static str {
        match self {
            Self::Sync => "ASSEMBLYAI_SYNC_MODEL",
            Self::Prerecorded => "ASSEMBLYAI_PRERECORDED_MODELS",
            Self::Streaming => "ASSEMBLYAI_STREAMING_MODEL",
        }
    }
}

/// Maps a failed Sync request or file upload with the time limit `limit`.
pub(super) fn audio_request_error(error: NetError, limit: Duration) -> SpeechError {
    map_error(error, limit, ApiKind::Sync)
}

/// Maps a failed request about a job. It carries no audio, so a 4xx is about the request.
pub(super) fn job_request_error(error: NetError, limit: Duration) -> SpeechError {
    match map_error(error, limit, ApiKind::Prerecorded) {
        SpeechError::BadAudio { reason } => map_refusal(reason, None, ApiKind::Prerecorded),
        other => other,
    }
}

/// Maps a rejected WebSocket handshake of a live session.
pub(super) fn handshake_error(error: NetError, limit: Duration) -> SpeechError {
    match map_error(error, limit, ApiKind::Streaming) {
        SpeechError::BadAudio { reason } => map_refusal(reason, None, ApiKind::Streaming),
        other => other,
    }
}

/// Classifies by error code first (for problem details, RFC 9457, the title in snake case), then by
/// status, then by message. Sources: `docs/sync-stt/error-handling` and the troubleshooting guide.
/// An account without credit gives a 402, or a 400 whose text mentions the balance (pre-recorded).
fn map_error(error: NetError, limit: Duration, api: ApiKind) -> SpeechError {
    let status = match error {
        NetError::Status { status, .. } => status,
        NetError::TimedOut(_) => return SpeechError::TimedOut(limit),
        NetError::InvalidKeyHeader => return SpeechError::KeyRefused(error),
        NetError::Upload(io) => return SpeechError::Audio(AudioError::Unreadable(io)),
        _ => return SpeechError::Unavailable(error),
    };
    let reason = error.provider_message().cloned().unwrap_or_default();
    let code = error.code();
    if status == StatusCode::PAYMENT_REQUIRED
        || (status.is_client_error() && is_empty_account_message(&reason))
    {
        return SpeechError::QuotaExceeded(error);
    }
    if is_auth_failure(status) && is_paid_plan_message(&reason) {
        return SpeechError::NotAllowed(error);
    }
    if is_auth_failure(status) {
        // A model that this account can't use, or must name differently, is not a wrong key.
        return match map_refusal(reason, code, api) {
            refused @ SpeechError::Refused {
                what: RefusedParameter::Model { .. },
                ..
            } => refused,
            _ => SpeechError::KeyRefused(error),
        };
    }
    match (status.as_u16(), code) {
        (429 | 503, _) => SpeechError::Overloaded(error),
        (400..500, Some(code)) if is_capacity_code(code) => SpeechError::Overloaded(error),
        (413 | 415, _) => SpeechError::BadAudio { reason },
        (400 | 409 | 422, code) => match map_refusal(reason, code, api) {
            SpeechError::Refused {
                what: RefusedParameter::Request,
                reason,
            } if is_about_audio(code, &reason) => SpeechError::BadAudio { reason },
            refused => refused,
        },
        // Unknown model names are answered with 404 too.
        (404, code) if is_about_model(code, &reason) => map_refusal(reason, code, api),
        _ => SpeechError::Unavailable(error),
    }
}

/// Finds the rejected parameter. Messages about key terms and languages mention the model as well,
/// so those two are checked first.
pub(super) fn map_refusal(reason: RedactedText, code: Option<&str>, api: ApiKind) -> SpeechError {
    let code_contains = |needles: &[&str]| {
        code.is_some_and(|code| needles.iter().any(|needle| code.contains(needle)))
    };
    // "Audio Too Large" is about the audio, whatever its message mentions.
    if code_contains(&["audio", "media"]) {
        return SpeechError::BadAudio { reason };
    }
    let model = api.model_setting();
    let what = if code_contains(&["keyterm", "key_term", "word_boost"])
        || reason.contains_any(&["keyterm", "key term", "key_term", "word_boost"])
    {
        RefusedParameter::KeyTerms
    } else if code_contains(&["language"]) || reason.contains_any(&["language"]) {
        RefusedParameter::Language { model }
    } else if is_about_model(code, &reason) {
        RefusedParameter::Model { setting: model }
    } else {
        RefusedParameter::Request
    };
    SpeechError::Refused { what, reason }
}

/// Whether the model was rejected. A mere mention of a model is not enough.
fn is_about_model(code: Option<&str>, reason: &RedactedText) -> bool {
    code.is_some_and(|code| code.contains("model"))
        || reason.contains_any(&["speech_model", "speech model", "x-aai-model"])
        || (reason.contains_any(&["model"])
            && reason.contains_any(&[
                "deprecated",
                "retired",
                "unknown",
                "unsupported",
                "not supported",
                "not found",
                "not available",
                "no longer",
                "not exist",
                "no such",
                "invalid",
                "unrecognized",
                "not recognized",
                "not enabled",
                "not allowed",
                "no access",
            ]))
}

/// Whether the audio was rejected, if no parameter is named.
fn is_about_audio(code: Option<&str>, reason: &RedactedText) -> bool {
    match code {
        // The request around the audio.
        Some(
            "bad_request" | "invalid_request" | "invalid_config" | "missing_audio"
            | "missing_config" | "validation_error",
        ) => false,
        Some(_) => true,
        None => !reason.contains_any(&["config", "header", "field", "json", "multipart", " part"]),
    }
}

/// Codes for a server without capacity, whatever the status.
fn is_capacity_code(code: &str) -> bool {
    matches!(
        code,
        "capacity_exceeded"
            | "rate_limit"
            | "rate_limit_exceeded"
            | "service_unavailable"
            | "too_many_requests"
    )
}

/// Maps a job with `status: "error"`; `None` (an empty transcript) if there was no speech.
pub(super) fn failed_job_error(message: &str) -> Option<SpeechError> {
    let reason = RedactedText::new(message);
    // "language_detection cannot be performed on files with no spoken audio."
    if reason.contains_any(&["no spoken audio"]) {
        return None;
    }
    // "File does not appear to contain audio. …", "Transcoding failed. …",
    // "Audio duration is too short."
    let audio_is_bad = reason.contains_any(&[
        "not appear to contain audio",
        "transcoding failed",
        "duration is too short",
        "audio file could not be",
        "file is empty",
    ]);
    if audio_is_bad {
        return Some(SpeechError::BadAudio { reason });
    }
    Some(
        match map_refusal(reason.clone(), None, ApiKind::Prerecorded) {
            SpeechError::Refused {
                what: RefusedParameter::Request,
                ..
            } => SpeechError::JobFailed { reason },
            refused => refused,
        },
    )
}

/// "Your current account balance is negative. Please top up to continue using the API." and
/// "Insufficient funds". Rate limits ("quota", "limit") don't count: they pass with time.
pub(super) fn is_empty_account_message(message: &RedactedText) -> bool {
    message.contains_any(&[
        "account balance",
        "insufficient funds",
        "insufficient credit",
    ])
}

/// "This feature is paid-only and requires you to add a credit card", "Upgrade your plan …".
pub(super) fn is_paid_plan_message(message: &RedactedText) -> bool {
    message.contains_any(&[
        "paid-only",
        "credit card",
        "upgrade",
        "paid plan",
        "paid account",
        "free plan",
        "free account",
        "free tier",
    ])
}

#[cfg(test)]
mod tests;
