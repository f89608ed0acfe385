//! Machine-readable error codes of providers.

use std::fmt;

/// The machine-readable code of a failure. Only known codes are kept: on the wire a code is free
/// text, and a self-hosted server may put anything there.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ErrorCode(Option<&'static str>);

/// Error codes and types that OpenAI, AssemblyAI and compatible servers (OpenRouter, vLLM, Ollama,
/// llama.cpp, LiteLLM, Groq, Mistral) are known to send. Sorted.
const KNOWN_CODES: &[&str] = &[
    "BadRequestError",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "InternalServerError",
    "NOT_FOUND",
    "NotFoundError",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "Unauthorized",
    "account_deactivated",
    "api_error",
    "audio_too_large",
    "audio_too_long",
    "audio_too_quiet",
    "audio_too_short",
    "authentication_error",
    "bad_audio",
    "bad_request",
    "billing_hard_limit_reached",
    "billing_not_active",
    "capacity_exceeded",
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "deprecated_model",
    "engine_overloaded",
    "exceed_context_size_error",
    "exceeded_current_quota_error",
    "forbidden",
    "gateway_timeout",
    "inference_error",
    "inference_timeout",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_funds",
    "insufficient_quota",
    "internal_error",
    "internal_server_error",
    "invalid_api_key",
    "invalid_audio",
    "invalid_config",
    "invalid_keyterm",
    "invalid_keyterms",
    "invalid_keyterms_prompt",
    "invalid_language",
    "invalid_language_code",
    "invalid_model",
    "invalid_organization",
    "invalid_prompt",
    "invalid_request",
    "invalid_request_error",
    "invalid_type",
    "invalid_value",
    "ip_not_authorized",
    "keyterms_prompt_too_long",
    "keyterms_too_long",
    "max_tokens_exceeded",
    "missing_audio",
    "missing_config",
    "missing_required_parameter",
    "model_decommissioned",
    "model_deprecated",
    "model_not_available",
    "model_not_found",
    "model_overloaded",
    "model_retired",
    "not_found",
    "not_found_error",
    "not_implemented",
    "not_supported_error",
    "overloaded_error",
    "payment_required",
    "permission_denied",
    "permission_error",
    "quota_exceeded",
    "rate_limit",
    "rate_limit_error",
    "rate_limit_exceeded",
    "rate_limited",
    "request_too_large",
    "requests",
    "server_error",
    "service_unavailable",
    "slow_down",
    "string_above_max_length",
    "timeout",
    "tokens",
    "too_many_keyterms",
    "too_many_requests",
    "unauthorized",
    "unavailable_error",
    "unknown_model",
    "unknown_parameter",
    "unknown_url",
    "unprocessable_entity",
    "unsupported_audio",
    "unsupported_audio_format",
    "unsupported_country_region_territory",
    "unsupported_language",
    "unsupported_language_code",
    "unsupported_media_type",
    "unsupported_model",
    "unsupported_parameter",
    "unsupported_value",
    "upload_timeout",
    "validation_error",
];

/// Words in a problem title and the code that stands for them, the most specific first.
const TITLES: &[(&str, &str)] = &[
    ("keyterm", "invalid_keyterms"),
    ("key_term", "invalid_keyterms"),
    ("language", "unsupported_language"),
    ("model", "unsupported_model"),
    ("audio", "bad_audio"),
];

impl ErrorCode {
    /// A code as it was received.
    #[must_use]
    pub fn new(code: &str) -> Self {
        let known = KNOWN_CODES.iter().find(|known| **known == code);
        Self(known.copied())
    }

    /// The code for the title of a problem ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):
    /// "Audio Too Large" is `audio_too_large`.
    #[must_use]
    pub fn from_title(title: &str) -> Self {
        let code = title.trim().to_lowercase().replace([' ', '-'], "_");
        let known = Self::new(&code);
        if known.0.is_some() {
            return known;
        }
        // An unknown title may still contain a known word.
        let found = TITLES.iter().find(|(word, _)| code.contains(word));
        Self(found.map(|(_, code)| *code))
    }

    /// The code, if it is a known one.
    #[must_use]
    pub fn known(self) -> Option<&'static str> {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.unwrap_or("unknown code"))
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_codes_are_shown() {
        assert_eq!(
            ErrorCode::new("insufficient_quota").to_string(),
            "insufficient_quota"
        );
        let title = ErrorCode::from_title("Audio Too Large");
        assert_eq!(title.known(), Some("audio_too_large"));
        let title = ErrorCode::from_title("Speech Model Retired");
        assert_eq!(title.known(), Some("unsupported_model"));
        let unknown = ErrorCode::new("zebrafinch");
        let printed = format!("{unknown} {unknown:?} {unknown:#?}");
        assert!(!printed.contains("zebrafinch"), "{printed}");
        assert_eq!(unknown.known(), None);
        assert!(KNOWN_CODES.is_sorted());
    }
}
