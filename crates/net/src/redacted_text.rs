//! What comes from others and must not reach the log: their words, their codes, their libraries'
//! errors.
//!
//! The rule has its place in these types. An error of ours holds [`RedactedText`], [`ErrorCode`] and
//! [`ErrorCause`], never a text or an error as it came, so that no way of printing it, `{:?}` and chains
//! of sources included, tells what somebody said. The gate for what libraries log by themselves is
//! in `telemetry`.

use std::error::Error;
use std::fmt;
use std::io;

/// The most characters of somebody else's words that are kept.
pub const MAX_REDACTED_TEXT_CHARS: usize = 300;

/// The deepest chain of errors that is followed.
const MAX_CAUSE_DEPTH: usize = 8;

/// Words of a provider, of Discord, or of a library about what it was given. They may repeat a
/// question, an answer or a key, so whatever prints this prints its size.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct RedactedText(Box<str>);

impl RedactedText {
    /// Keeps at most [`MAX_REDACTED_TEXT_CHARS`] characters, on one line.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self(shorten(words, MAX_REDACTED_TEXT_CHARS).into())
    }

    /// The words, for a sentence to whoever asked, and for nobody else.
    #[must_use]
    pub fn expose_to_user(&self) -> &str {
        &self.0
    }

    /// Whether they hold one of these, in lower case: what a failure means may be told only so.
    #[must_use]
    pub fn contains_any(&self, signs: &[&str]) -> bool {
        let words = self.0.to_lowercase();
        signs.iter().any(|sign| words.contains(sign))
    }

    /// Where the first of these signs, in lower case, stands in them.
    #[must_use]
    pub fn find_first(&self, signs: &[&str]) -> Option<usize> {
        let words = self.0.to_lowercase();
        signs.iter().filter_map(|sign| words.find(sign)).min()
    }

    /// Which of these `names`, in lower case, they hold as whole words after the first of the signs.
    #[must_use]
    pub fn words_after(&self, signs: &[&str], names: &[&'static str]) -> Vec<&'static str> {
        let words = self.0.to_lowercase();
        let list = self.find_first(signs).and_then(|from| words.get(from..));
        let held: Vec<&str> = list
            .unwrap_or_default()
            .split(|c: char| !c.is_alphanumeric())
            .collect();
        let mut names = names.to_vec();
        names.retain(|name| held.contains(name));
        names
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for RedactedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => f.write_str("no reason given"),
            bytes => write!(f, "a reason of {bytes} bytes, kept out of the log"),
        }
    }
}

impl fmt::Debug for RedactedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignText({} bytes)", self.0.len())
    }
}

impl From<&str> for RedactedText {
    fn from(words: &str) -> Self {
        Self::new(words)
    }
}

/// The machine-readable code of a failure. Only what is on the list is told: a code is free text on
/// the wire, and a server of somebody's own may put anything there.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ErrorCode(Option<&'static str>);

/// Codes and types of errors that OpenAI, AssemblyAI and compatible servers (OpenRouter, vLLM,
/// Ollama, llama.cpp, LiteLLM, Groq, Mistral) are known to send.
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

/// What a title is about, and a code for that, the most telling first.
const TITLES: &[(&str, &str)] = &[
    ("keyterm", "invalid_keyterms"),
    ("key_term", "invalid_keyterms"),
    ("language", "unsupported_language"),
    ("model", "unsupported_model"),
    ("audio", "bad_audio"),
];

impl ErrorCode {
    /// A code as it came.
    #[must_use]
    pub fn new(code: &str) -> Self {
        let known = KNOWN_CODES.iter().find(|known| **known == code);
        Self(known.copied())
    }

    /// The code behind the title of a problem (RFC 9457): "Audio Too Large" is `audio_too_large`.
    #[must_use]
    pub fn from_title(title: &str) -> Self {
        let code = title.trim().to_lowercase().replace([' ', '-'], "_");
        let known = Self::new(&code);
        if known.0.is_some() {
            return known;
        }
        // A title that is new still says what it is about.
        let about = TITLES.iter().find(|(sign, _)| code.contains(sign));
        Self(about.map(|(_, code)| *code))
    }

    /// The code, if it is one that we know.
    #[must_use]
    pub fn known(self) -> Option<&'static str> {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.unwrap_or("a code we don't know"))
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({self})")
    }
}

/// What went wrong below us: what kind of failure another library's error is, without its text.
/// Those texts hold addresses with tokens, parts of bodies and what panicking code was about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorCause(String);

impl ErrorCause {
    /// Reads an error and what is behind it.
    #[must_use]
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut kinds: Vec<String> = Vec::new();
        let mut next = Some(error);
        for _ in 0..MAX_CAUSE_DEPTH {
            let Some(error) = next else { break };
            if let Some(kind) = describe_error(error).filter(|kind| !kinds.contains(kind)) {
                kinds.push(kind);
            }
            // An I/O error made of another one hides it from `source`.
            let inside = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            next = inside
                .map(|it| it as &(dyn Error + 'static))
                .or_else(|| error.source());
        }
        if kinds.is_empty() {
            return Self("an error of a library".to_owned());
        }
        Self(kinds.join(": "))
    }

    /// What we say of an error whose variants tell what it is: their names, not what is in them.
    #[must_use]
    pub fn with_variant_name(what: &'static str, error: &impl fmt::Debug) -> Self {
        Self(format!("{what} ({})", variant_name(error)))
    }

    /// An answer with this status and, where Discord gives one, this number.
    #[must_use]
    pub fn from_http_status(status: u16, code: isize) -> Self {
        Self(format!("HTTP {status}, code {code}"))
    }

    /// The same, and something that we say ourselves.
    #[must_use]
    pub fn with_detail(self, more: &'static str) -> Self {
        Self(format!("{}: {more}", self.0))
    }
}

impl From<&'static str> for ErrorCause {
    fn from(what: &'static str) -> Self {
        Self(what.to_owned())
    }
}

impl fmt::Display for ErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ErrorCause {}

/// What kind of failure an error is, if it is of a library whose errors we know.
fn describe_error(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ErrorCause>() {
        return Some(error.0.clone());
    }
    // Ours tell nothing that they should not.
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<super::NetError>() {
        return Some(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return describe_io_error(error);
    }
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        let kinds = [
            (error.is_builder(), "no request can be made of it"),
            (error.is_timeout(), "not in time"),
            (error.is_connect(), "no connection"),
            (error.is_redirect(), "led elsewhere"),
            (error.is_body(), "the body broke"),
            (error.is_decode(), "the body can't be read"),
        ];
        let kind = kinds.iter().find(|(holds, _)| *holds);
        return kind.map(|(_, kind)| (*kind).to_owned());
    }
    if let Some(error) = error.downcast_ref::<serde_json::Error>() {
        return Some(describe_json_error(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(why) => {
                format!("the certificate is not valid ({})", variant_name(why))
            }
            other => format!("TLS ({})", variant_name(other)),
        });
    }
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        let kinds = [
            (error.is_timeout(), "not in time"),
            (error.is_incomplete_message(), "cut off in the middle"),
            (error.is_body_write_aborted(), "the body was given up"),
            (error.is_closed(), "closed"),
            (error.is_canceled(), "given up"),
            (error.is_parse(), "no HTTP"),
        ];
        let kind = kinds.iter().find(|(holds, _)| *holds);
        return kind.map(|(_, kind)| (*kind).to_owned());
    }
    if let Some(error) = error.downcast_ref::<tokio_tungstenite::tungstenite::Error>() {
        return Some(format!("WebSocket ({})", variant_name(error)));
    }
    if let Some(error) = error.downcast_ref::<tokio::task::JoinError>() {
        let panicked = error.is_panic();
        let how = if panicked {
            "a task panicked"
        } else {
            "a task was given up"
        };
        return Some(how.to_owned());
    }
    None
}

/// What the system says of it, in its own fixed words; of what others put into an I/O error only
/// the kind is told.
fn describe_io_error(error: &io::Error) -> Option<String> {
    if let Some(code) = error.raw_os_error() {
        return Some(io::Error::from_raw_os_error(code).to_string());
    }
    let is_name = error
        .get_ref()
        .is_some_and(|it| it.to_string().starts_with("failed to lookup address"));
    if is_name {
        return Some("the name can't be resolved".to_owned());
    }
    let kind = error.kind();
    (kind != io::ErrorKind::Other).then(|| kind.to_string())
}

/// Where JSON is not what it should be, without the text around it.
fn describe_json_error(error: &serde_json::Error) -> String {
    format!(
        "{:?} at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    )
}

/// The name of a variant, without what is in it.
fn variant_name(error: &impl fmt::Debug) -> String {
    let name = format!("{error:?}");
    name.chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(40)
        .collect()
}

/// An id that a server gave, for its support: told only if it looks like one, which words don't.
#[must_use]
pub fn loggable_id(id: &str) -> Option<String> {
    const MARKS: [&str; 3] = ["req_", "req-", "chatcmpl-"];
    let bare = MARKS.iter().find_map(|mark| id.strip_prefix(mark));
    let bare = bare.unwrap_or(id);
    let digits = bare.bytes().filter(u8::is_ascii_digit).count();
    let all_plain = bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (all_plain && digits >= 4 && bare.len() <= 64).then(|| id.to_owned())
}

/// At most `limit` characters of `text`, on one line, with `…` where something was cut.
pub fn shorten(text: &str, limit: usize) -> String {
    let mut short: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit + 1)
        .collect();
    if short.chars().count() > limit {
        short.pop();
        short.push('…');
    }
    short.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no way of printing may show.
    const WORD: &str = "zebrafinch";

    fn all_of(error: &(impl fmt::Debug + fmt::Display)) -> String {
        format!("{error} {error:?} {error:#?}")
    }

    #[test]
    fn foreign_words_are_told_to_whoever_asked_and_to_nobody_else() {
        let words = RedactedText::new("You asked about the zebrafinch.");
        assert!(!all_of(&words).contains(WORD), "{words:?}");
        assert!(words.expose_to_user().contains(WORD));
        assert!(words.contains_any(&["zebrafinch"]));
        let long = "z".repeat(10_000);
        let kept = RedactedText::new(&long);
        assert!(kept.expose_to_user().chars().count() <= MAX_REDACTED_TEXT_CHARS + 1);
    }

    #[test]
    fn a_code_is_told_only_if_it_is_one() {
        assert_eq!(
            ErrorCode::new("insufficient_quota").to_string(),
            "insufficient_quota"
        );
        let title = ErrorCode::from_title("Audio Too Large");
        assert_eq!(title.known(), Some("audio_too_large"));
        let title = ErrorCode::from_title("Speech Model Retired");
        assert_eq!(title.known(), Some("unsupported_model"));
        let odd = ErrorCode::new(WORD);
        assert!(!all_of(&odd).contains(WORD));
        assert_eq!(odd.known(), None);
        assert!(KNOWN_CODES.is_sorted());
    }

    #[test]
    fn ids_are_told_if_they_look_like_ids() {
        for id in ["req_0a1b2c3d4e5f", "6f1e2d3c-1111-4222-8333-444455556666"] {
            assert_eq!(loggable_id(id).as_deref(), Some(id));
        }
        for word in [WORD, "facade", "req_zebrafinch12345", "", "dead-beef"] {
            assert_eq!(loggable_id(word), None, "{word}");
        }
    }

    #[cfg(feature = "http")]
    #[tokio::test]
    async fn a_cause_never_repeats_what_an_error_was_about() {
        let json = serde_json::from_str::<Vec<bool>>(r#"["zebrafinch"]"#).expect_err("no");
        let inside = io::Error::other(io::Error::other(format!("about {WORD}")));
        let url = reqwest::Client::new().get(format!("http://127.0.0.1:1/?token={WORD}"));
        let sent = url.send().await.expect_err("nobody is there");
        let panicked = tokio::spawn(async { std::hint::black_box(None::<u8>).expect(WORD) }).await;
        let panicked = panicked.expect_err("it panics");
        let socket = tokio_tungstenite::tungstenite::Error::Url(
            tokio_tungstenite::tungstenite::error::UrlError::UnableToConnect(WORD.to_owned()),
        );
        let causes: [&(dyn Error + 'static); 5] = [&json, &inside, &sent, &panicked, &socket];
        for error in causes {
            let cause = ErrorCause::from_error(error);
            assert!(!all_of(&cause).contains(WORD), "{cause}");
            assert!(!cause.to_string().is_empty());
        }
        assert!(
            ErrorCause::from_error(&sent)
                .to_string()
                .contains("no connection")
        );
        assert!(
            ErrorCause::from_error(&panicked)
                .to_string()
                .contains("panicked")
        );
        let full = io::Error::from_raw_os_error(28);
        assert!(
            ErrorCause::from_error(&full)
                .to_string()
                .contains("os error 28")
        );
    }
}
