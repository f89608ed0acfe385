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
        SpeechError::QuotaExceeded(_) => "quota exceeded",
        SpeechError::NotAllowed(_) => "not allowed",
        SpeechError::Refused { what, .. } => what.log_name(),
        SpeechError::Overloaded(_) => "overloaded",
        SpeechError::Unavailable(_) => "unavailable",
        SpeechError::TimedOut(_) => "timed out",
        SpeechError::BadAudio { .. } => "bad audio",
        SpeechError::JobFailed { .. } => "failed",
        SpeechError::UnsupportedClip => "unsupported clip",
        SpeechError::Audio(_) => "audio",
        SpeechError::LocalEngine { .. } => "local",
    }
}

#[test]
fn documented_failures_are_classified() {
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
        (status(400, None, balance), "quota exceeded"),
        (status(402, None, "Payment Required"), "quota exceeded"),
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
        (
            status(429, None, "Rate limit, quota of requests"),
            "overloaded",
        ),
        (
            status(500, Some("inference_error"), "internal"),
            "unavailable",
        ),
        (
            status(503, Some("capacity_exceeded"), "overloaded"),
            "overloaded",
        ),
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
fn rejected_parameters_and_their_settings_are_named() {
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
    for (message, meaning) in cases {
        for code in [None, Some("bad_request"), Some("validation_error")] {
            let error = status(400, code, message);
            assert_eq!(
                kind(&audio_request_error(error, Duration::ZERO)),
                meaning,
                "{message}"
            );
            let error = status(422, code, message);
            assert_eq!(
                kind(&job_request_error(error, Duration::ZERO)),
                meaning,
                "{message}"
            );
        }
    }
    let settings = [
        (ApiKind::Sync, "ASSEMBLYAI_SYNC_MODEL"),
        (ApiKind::Prerecorded, "ASSEMBLYAI_PRERECORDED_MODELS"),
        (ApiKind::Streaming, "ASSEMBLYAI_STREAMING_MODEL"),
    ];
    for (api, setting) in settings {
        let refused = map_refusal("unknown model: x".into(), None, api);
        let what = RefusedParameter::Model { setting };
        assert!(
            matches!(refused, SpeechError::Refused { what: it, .. } if it == what),
            "{refused:?}"
        );
    }
}

#[test]
fn account_restrictions_are_not_reported_as_a_wrong_key() {
    let error = status(
        403,
        None,
        "This feature is paid-only and requires a credit card",
    );
    assert_eq!(
        kind(&audio_request_error(error, Duration::ZERO)),
        "not allowed"
    );
    let error = status(
        403,
        None,
        "Model universal-9 is not enabled for this account",
    );
    assert_eq!(
        kind(&audio_request_error(error, Duration::ZERO)),
        "the model"
    );
}

#[test]
fn failed_jobs_are_classified() {
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
