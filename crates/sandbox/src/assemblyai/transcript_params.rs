//! What a transcript may be asked for.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::errors;
use super::sync_config::unknown_field;
use crate::mock_response::MockResponse;

/// The fields of the published specification that are not obsolete.
const FIELDS: &[&str] = &[
    "audio_url",
    "audio_end_at",
    "audio_start_from",
    "auto_chapters",
    "auto_highlights",
    "content_safety",
    "content_safety_confidence",
    "custom_spelling",
    "disfluencies",
    "entity_detection",
    "filter_profanity",
    "format_text",
    "iab_categories",
    "keyterms_prompt",
    "language_code",
    "language_codes",
    "language_confidence_threshold",
    "language_detection",
    "language_detection_options",
    "multichannel",
    "prompt",
    "punctuate",
    "redact_pii",
    "redact_pii_audio",
    "redact_pii_audio_options",
    "redact_pii_audio_quality",
    "redact_pii_policies",
    "redact_pii_sub",
    "remove_audio_tags",
    "sentiment_analysis",
    "speaker_labels",
    "speaker_options",
    "speakers_expected",
    "speech_models",
    "speech_threshold",
    "speech_understanding",
    "summarization",
    "summary_model",
    "summary_type",
    "temperature",
    "webhook_auth_header_name",
    "webhook_auth_header_value",
    "webhook_url",
    "custom_topics",
    "topics",
];

const BOOLEANS: &[&str] = &[
    "disfluencies",
    "filter_profanity",
    "format_text",
    "language_detection",
    "multichannel",
    "punctuate",
    "speaker_labels",
];

/// The default of new accounts.
const NEWEST_MODEL: &str = "assemblyai-stt-3-7";
const MODELS: &[&str] = &[NEWEST_MODEL, "universal-3-5-pro", "universal-2"];
/// Names that once were models.
const RETIRED_MODELS: &[&str] = &["universal-3-pro", "universal", "slam-1", "best", "nano"];

/// The languages of the models before Universal-2 on the list, as far as they are known.
const NEWEST_MODEL_LANGUAGES: &[&str] = &[
    "en", "es", "de", "fr", "it", "pt", "tr", "nl", "sv", "no", "da", "fi", "hi", "vi", "ar", "he",
    "ja", "ur", "zh",
];

/// The model that writes down a language: the first on the list that knows it.
pub(super) fn model_for<'a>(params: &'a Map<String, Value>, language: &str) -> &'a str {
    let primary = language.split('_').next().unwrap_or_default();
    let knows = |model: &&str| *model == "universal-2" || NEWEST_MODEL_LANGUAGES.contains(&primary);
    let models = params.get("speech_models").and_then(Value::as_array);
    let mut models = models.into_iter().flatten().filter_map(Value::as_str);
    models.find(knows).unwrap_or(NEWEST_MODEL)
}

fn quote_list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

/// The languages of the published specification.
const LANGUAGES: &[&str] = &[
    "en", "en_au", "en_uk", "en_us", "es", "fr", "de", "it", "pt", "nl", "af", "sq", "am", "ar",
    "hy", "as", "az", "ba", "eu", "be", "bn", "bs", "br", "bg", "my", "ca", "zh", "hr", "cs", "da",
    "et", "fo", "fi", "gl", "ka", "el", "gu", "ht", "ha", "haw", "he", "hi", "hu", "is", "id",
    "ja", "jw", "kn", "kk", "km", "ko", "lo", "la", "lv", "ln", "lt", "lb", "mk", "mg", "ms", "ml",
    "mt", "mi", "mr", "mn", "ne", "no", "nn", "oc", "pa", "ps", "fa", "pl", "ro", "ru", "sa", "sr",
    "sn", "sd", "si", "sk", "sl", "so", "su", "sw", "sv", "tl", "tg", "ta", "tt", "te", "th", "bo",
    "tr", "tk", "uk", "ur", "uz", "vi", "cy", "yi", "yo",
];

/// Words in one key term.
const MAX_TERM_WORDS: usize = 6;
const MAX_PROMPT_WORDS: usize = 1_500;

fn bad_request(message: &str) -> MockResponse {
    errors::api_error(StatusCode::BAD_REQUEST, message)
}

/// The URL of the audio, and everything else that was asked for.
pub(super) fn parse_params(body: &[u8]) -> Result<(String, Map<String, Value>), MockResponse> {
    let Ok(Value::Object(params)) = serde_json::from_slice(body) else {
        return Err(bad_request("Invalid JSON body"));
    };
    for obsolete in ["speech_model", "word_boost", "boost_param"] {
        if params.contains_key(obsolete) {
            let instead = if obsolete == "speech_model" {
                "speech_models"
            } else {
                "keyterms_prompt"
            };
            return Err(bad_request(&format!(
                "{obsolete} is deprecated. Use \"{instead}\" instead. See documentation: https://www.assemblyai.com/docs"
            )));
        }
    }
    if let Some(unknown) = unknown_field(&params, FIELDS) {
        return Err(bad_request(&format!(
            "Invalid endpoint schema, unknown field: {unknown}"
        )));
    }
    for name in BOOLEANS {
        if params
            .get(*name)
            .is_some_and(|value| !value.is_boolean() && !value.is_null())
        {
            return Err(bad_request(&format!("{name} must be a boolean")));
        }
    }
    let models = check_models(&params)?;
    check_language(&params)?;
    check_keyterms(&params, &models)?;
    check_prompt(&params)?;
    let audio_url = params.get("audio_url").and_then(Value::as_str);
    let audio_url = audio_url.ok_or_else(|| bad_request("\"audio_url\" is required"))?;
    let is_url =
        url::Url::parse(audio_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_url {
        return Err(bad_request(
            "Invalid endpoint schema, audio_url is not a valid URL",
        ));
    }
    Ok((audio_url.to_owned(), params.clone()))
}

fn check_models(params: &Map<String, Value>) -> Result<Vec<&str>, MockResponse> {
    let Some(value) = params.get("speech_models") else {
        return Ok(Vec::new());
    };
    let models: Option<Vec<&str>> = value
        .as_array()
        .and_then(|models| models.iter().map(Value::as_str).collect());
    let models = models.filter(|models| !models.is_empty());
    let models = models.ok_or_else(|| {
        bad_request(&format!(
            "\"speech_models\" must be a non-empty list containing one or more of: {}",
            quote_list(MODELS)
        ))
    })?;
    let retired: Vec<&str> = models
        .iter()
        .copied()
        .filter(|model| RETIRED_MODELS.contains(model))
        .collect();
    if !retired.is_empty() {
        return Err(bad_request(&format!(
            "The {} speech model(s) have been deprecated. Use speech_models: [{}] instead.",
            quote_list(&retired),
            quote_list(&[NEWEST_MODEL, "universal-2"])
        )));
    }
    if models.iter().any(|model| !MODELS.contains(model)) {
        return Err(bad_request(&format!(
            "\"speech_models\" must be a non-empty list containing one or more of: {}",
            quote_list(MODELS)
        )));
    }
    Ok(models)
}

fn check_language(params: &Map<String, Value>) -> Result<(), MockResponse> {
    let detect = params.get("language_detection") == Some(&Value::Bool(true));
    match params.get("language_code") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(_)) if detect => Err(bad_request(
            "\"language_code\" and \"language_detection\" can't be used together",
        )),
        Some(Value::String(code)) if LANGUAGES.contains(&code.as_str()) => Ok(()),
        Some(_) => Err(bad_request(
            "Invalid endpoint schema, language_code is not supported",
        )),
    }
}

fn check_keyterms(params: &Map<String, Value>, models: &[&str]) -> Result<(), MockResponse> {
    let terms = match params.get("keyterms_prompt") {
        None | Some(Value::Null) => return Ok(()),
        Some(value) => value.as_array(),
    };
    let terms = terms.ok_or_else(|| bad_request("keyterms_prompt must be a list"))?;
    // What the smallest of them takes.
    let limit = if models.is_empty() || models.contains(&"universal-2") {
        200
    } else {
        1_000
    };
    if terms.len() > limit {
        return Err(bad_request(&format!(
            "keyterms_prompt has more than {limit} terms"
        )));
    }
    let fits = |term: &Value| {
        term.as_str()
            .is_some_and(|term| (1..=MAX_TERM_WORDS).contains(&term.split_whitespace().count()))
    };
    if terms.iter().all(fits) {
        Ok(())
    } else {
        Err(bad_request(
            "keyterms_prompt: each term must be text of at most 6 words",
        ))
    }
}

fn check_prompt(params: &Map<String, Value>) -> Result<(), MockResponse> {
    match params.get("prompt") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(prompt)) if prompt.split_whitespace().count() <= MAX_PROMPT_WORDS => {
            Ok(())
        }
        Some(_) => Err(bad_request("prompt must be text of at most 1500 words")),
    }
}
