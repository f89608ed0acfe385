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
fn map_error(error: NetError, limit: Duration, asked: ApiKind) -> SpeechError {
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
        return match map_refusal(reason, code, asked) {
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
        (400 | 409 | 422, code) => match map_refusal(reason, code, asked) {
            SpeechError::Refused {
                what: RefusedParameter::Request,
                reason,
            } if is_about_audio(code, &reason) => SpeechError::BadAudio { reason },
            refused => refused,
        },
        // Unknown model names are answered with 404 too.
        (404, code) if is_about_model(code, &reason) => map_refusal(reason, code, asked),
        _ => SpeechError::Unavailable(error),
    }
}

/// Finds the rejected parameter. Messages about key terms and languages mention the model as well,
/// so those two are checked first.
pub(super) fn map_refusal(reason: RedactedText, code: Option<&str>, asked: ApiKind) -> SpeechError {
    let coded =
        |signs: &[&str]| code.is_some_and(|code| signs.iter().any(|sign| code.contains(sign)));
    // "Audio Too Large" is about the audio, whatever its message mentions.
    if coded(&["audio", "media"]) {
        return SpeechError::BadAudio { reason };
    }
    let model = asked.model_setting();
    let what = if coded(&["keyterm", "key_term", "word_boost"])
        || reason.contains_any(&["keyterm", "key term", "key_term", "word_boost"])
    {
        RefusedParameter::KeyTerms
    } else if coded(&["language"]) || reason.contains_any(&["language"]) {
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
pub(super) fn is_empty_account_message(words: &RedactedText) -> bool {
    words.contains_any(&[
        "account balance",
        "insufficient funds",
        "insufficient credit",
    ])
}

/// "This feature is paid-only and requires you to add a credit card", "Upgrade your plan …".
pub(super) fn is_paid_plan_message(words: &RedactedText) -> bool {
    words.contains_any(&[
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
mod tests {
    use super::*;
    use net::ErrorCode;

    fn status(status: u16, code: Option<&str>, message: &str) -> NetError {
        NetError::Status {
            status: StatusCode::from_u16(status).expect("a status"),
            code: code.map(ErrorCode::new),
            message: message.into(),
            retry_after: None,
            should_retry: None,
            request_id: None,
        }
    }

    fn kind(error: &SpeechError) -> &'static str {
        match error {
            SpeechError::KeyRefused(_) => "key refused",
            SpeechError::QuotaExceeded(_) => "quota spent",
            SpeechError::NotAllowed(_) => "not allowed",
            SpeechError::Refused { what, .. } => what.log_name(),
            SpeechError::Overloaded(_) => "busy",
            SpeechError::Unavailable(_) => "unavailable",
            SpeechError::TimedOut(_) => "timed out",
            SpeechError::BadAudio { .. } => "bad audio",
            SpeechError::JobFailed { .. } => "failed",
            SpeechError::UnsupportedClip => "unsuitable",
            SpeechError::Audio(_) => "audio",
            SpeechError::LocalEngine { .. } => "local",
        }
    }

    #[test]
    fn every_published_failure_has_its_meaning() {
        let balance = "Your current account balance is negative. Please top up to continue.";
        let table = [
            (status(400, Some("bad_audio"), "Malformed WAV"), "bad audio"),
            (
                status(400, Some("audio_too_short"), "below 80 ms"),
                "bad audio",
            ),
            (
                status(400, Some("bad_request"), "invalid config"),
                "the request",
            ),
            (status(400, None, balance), "quota spent"),
            (status(402, None, "Payment Required"), "quota spent"),
            (
                status(401, None, "API token missing/invalid"),
                "key refused",
            ),
            (
                status(403, None, "Cannot access uploaded file"),
                "key refused",
            ),
            (status(404, None, "Not found"), "unavailable"),
            (
                status(413, Some("audio_too_large"), "too long"),
                "bad audio",
            ),
            (
                status(415, Some("unsupported_media_type"), "8-bit"),
                "bad audio",
            ),
            (status(422, None, "unprocessable"), "bad audio"),
            (status(422, None, "misaligned PCM"), "bad audio"),
            (status(429, None, "Rate limit, quota of requests"), "busy"),
            (
                status(500, Some("inference_error"), "internal"),
                "unavailable",
            ),
            (status(503, Some("capacity_exceeded"), "busy"), "busy"),
            (
                status(504, Some("inference_timeout"), "30 s"),
                "unavailable",
            ),
            (status(302, None, "Found"), "unavailable"),
            (NetError::InvalidKeyHeader, "key refused"),
            (NetError::TooLarge { limit: 1 }, "unavailable"),
        ];
        for (error, meaning) in table {
            let shown = error.to_string();
            let error = audio_request_error(error, Duration::from_secs(1));
            assert_eq!(kind(&error), meaning, "{shown}");
        }
    }

    #[test]
    fn what_is_refused_is_named_and_the_setting_with_it() {
        let cases = [
            (
                "The \"universal-3-pro\" speech model(s) have been deprecated. Use speech_models: [\"universal-2\"] instead.",
                "the model",
            ),
            ("\"speech_models\" must be a non-empty list", "the model"),
            ("unknown model: universal-9", "the model"),
            (
                "Model deprecated. See docs for new model information",
                "the model",
            ),
            (
                "keyterms_prompt is not supported by this model",
                "the key terms",
            ),
            (
                "config.keyterms_prompt has 9000 characters, at most 8000 are allowed",
                "the key terms",
            ),
            ("unsupported language code: xx", "the language"),
            (
                "language_code fa is not supported by the model universal-3-5-pro",
                "the language",
            ),
            ("config is not a JSON object", "the request"),
        ];
        for (words, meaning) in cases {
            for code in [None, Some("bad_request"), Some("validation_error")] {
                let told = status(400, code, words);
                assert_eq!(
                    kind(&audio_request_error(told, Duration::ZERO)),
                    meaning,
                    "{words}"
                );
                let told = status(422, code, words);
                assert_eq!(
                    kind(&job_request_error(told, Duration::ZERO)),
                    meaning,
                    "{words}"
                );
            }
        }
        let settings = [
            (ApiKind::Sync, "ASSEMBLYAI_SYNC_MODEL"),
            (ApiKind::Prerecorded, "ASSEMBLYAI_PRERECORDED_MODELS"),
            (ApiKind::Streaming, "ASSEMBLYAI_STREAMING_MODEL"),
        ];
        for (asked, setting) in settings {
            let refused = map_refusal("unknown model: x".into(), None, asked);
            let what = RefusedParameter::Model { setting };
            assert!(
                matches!(refused, SpeechError::Refused { what: it, .. } if it == what),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn an_account_that_may_not_is_no_wrong_key() {
        let told = status(
            403,
            None,
            "This feature is paid-only and requires a credit card",
        );
        assert_eq!(
            kind(&audio_request_error(told, Duration::ZERO)),
            "not allowed"
        );
        let told = status(
            403,
            None,
            "Model universal-9 is not enabled for this account",
        );
        assert_eq!(
            kind(&audio_request_error(told, Duration::ZERO)),
            "the model"
        );
    }

    #[test]
    fn a_failed_job_says_whether_the_audio_is_to_blame() {
        let silence = "language_detection cannot be performed on files with no spoken audio.";
        assert!(failed_job_error(silence).is_none());
        let table = [
            (
                "File does not appear to contain audio. File type is text.",
                "bad audio",
            ),
            ("Transcoding failed. File does not appear …", "bad audio"),
            ("Audio duration is too short.", "bad audio"),
            (
                "Detected language 'xx' is not supported by the requested model",
                "the language",
            ),
            ("Server error, developers have been alerted.", "failed"),
            ("", "failed"),
        ];
        for (message, meaning) in table {
            let error = failed_job_error(message).expect("an error");
            assert_eq!(kind(&error), meaning, "{message}");
        }
    }
}
