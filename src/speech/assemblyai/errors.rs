//! What AssemblyAI's failures mean to a caller.

use std::time::Duration;

use reqwest::StatusCode;

use crate::audio::AudioError;
use crate::net::{ForeignText, NetError, refuses_key};
use crate::speech::SpeechError;

/// Translates a failed exchange that had `limit` to succeed.
///
/// Which status means what: `docs/sync-stt/error-handling` and the troubleshooting guide. An
/// empty account is a 400 whose text speaks of the balance (pre-recorded) or a 402.
pub(super) fn speech_error(error: NetError, limit: Duration) -> SpeechError {
    let status = match error {
        NetError::Status { status, .. } => status,
        NetError::TimedOut(_) => return SpeechError::TimedOut(limit),
        NetError::KeyUnsendable => return SpeechError::KeyRefused(error),
        NetError::Upload(io) => return SpeechError::Audio(AudioError::Unreadable(io)),
        _ => return SpeechError::Unavailable(error),
    };
    let reason = error.provider_words().cloned().unwrap_or_default();
    if status == StatusCode::PAYMENT_REQUIRED
        || (status.is_client_error() && speaks_of_an_empty_account(&reason))
    {
        return SpeechError::QuotaSpent(error);
    }
    if refuses_key(status) {
        return SpeechError::KeyRefused(error);
    }
    match status.as_u16() {
        429 | 503 => SpeechError::Busy(error),
        // Sync's `bad_request` is about the request around the audio.
        400..500 if error.code() == Some("bad_request") => SpeechError::Failed { reason },
        400 | 413 | 415 | 422 => SpeechError::BadAudio { reason },
        _ => SpeechError::Unavailable(error),
    }
}

/// Translates a failure of the request that creates a job: it carries no audio, so a 4xx is
/// about the request.
pub(super) fn job_request_error(error: NetError, limit: Duration) -> SpeechError {
    match speech_error(error, limit) {
        SpeechError::BadAudio { reason } => SpeechError::Failed { reason },
        other => other,
    }
}

/// What `status: "error"` of a job comes to: an empty transcript (`None`) if nothing was said.
pub(super) fn job_failure(message: &str) -> Option<SpeechError> {
    let reason = ForeignText::new(message);
    // "language_detection cannot be performed on files with no spoken audio."
    if reason.speaks_of(&["no spoken audio"]) {
        return None;
    }
    // "File does not appear to contain audio. …", "Transcoding failed. …",
    // "Audio duration is too short."
    let audio_is_bad = reason.speaks_of(&[
        "not appear to contain audio",
        "transcoding failed",
        "duration is too short",
        "audio file could not be",
        "file is empty",
    ]);
    Some(if audio_is_bad {
        SpeechError::BadAudio { reason }
    } else {
        SpeechError::Failed { reason }
    })
}

/// "Your current account balance is negative. Please top up to continue using the API." and
/// "Insufficient funds". A rate limit ("quota", "limit") is not enough: waiting cures that.
pub(super) fn speaks_of_an_empty_account(words: &ForeignText) -> bool {
    words.speaks_of(&[
        "account balance",
        "insufficient funds",
        "insufficient credit",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Code;

    fn status(status: u16, code: Option<&str>, message: &str) -> NetError {
        NetError::Status {
            status: StatusCode::from_u16(status).expect("a status"),
            code: code.map(Code::new),
            message: message.into(),
            retry_after: None,
            should_retry: None,
            request_id: None,
        }
    }

    fn kind(error: &SpeechError) -> &'static str {
        match error {
            SpeechError::KeyRefused(_) => "key refused",
            SpeechError::QuotaSpent(_) => "quota spent",
            SpeechError::Busy(_) => "busy",
            SpeechError::Unavailable(_) => "unavailable",
            SpeechError::TimedOut(_) => "timed out",
            SpeechError::BadAudio { .. } => "bad audio",
            SpeechError::Failed { .. } => "failed",
            SpeechError::Unsuitable => "unsuitable",
            SpeechError::Audio(_) => "audio",
            SpeechError::Local { .. } => "local",
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
            (status(400, Some("bad_request"), "invalid config"), "failed"),
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
            (NetError::KeyUnsendable, "key refused"),
            (NetError::TooLarge { limit: 1 }, "unavailable"),
        ];
        for (error, meaning) in table {
            let shown = error.to_string();
            let error = speech_error(error, Duration::from_secs(1));
            assert_eq!(kind(&error), meaning, "{shown}");
        }
    }

    #[test]
    fn a_failed_job_says_whether_the_audio_is_to_blame() {
        let silence = "language_detection cannot be performed on files with no spoken audio.";
        assert!(job_failure(silence).is_none());
        let table = [
            (
                "File does not appear to contain audio. File type is text.",
                "bad audio",
            ),
            ("Transcoding failed. File does not appear …", "bad audio"),
            ("Audio duration is too short.", "bad audio"),
            ("Server error, developers have been alerted.", "failed"),
            ("", "failed"),
        ];
        for (message, meaning) in table {
            let error = job_failure(message).expect("an error");
            assert_eq!(kind(&error), meaning, "{message}");
        }
    }
}
