//! What a failed exchange means for an answer.

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::Settings;
use crate::chat::{ChatError, Conversation, Emptiness, Moved, Unreadable, Usage};
use net::{ForeignText, NetError, Retry, check_status, refuses_key};

/// Why there is no first word.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the server sends us elsewhere")]
    Moved(Moved),
    #[error("no word within {0:?}")]
    Silence(Duration),
    #[error("what came is no answer: {0}")]
    Unreadable(Unreadable),
    /// The answer is empty, and has cost this.
    #[error("the answer is empty: {0}")]
    Empty(Emptiness, Option<Usage>),
}

impl Failed {
    /// As [`NetError::did_nothing`].
    pub(super) fn did_nothing(&self) -> bool {
        match self {
            Self::Net(error) => error.did_nothing(),
            Self::Moved(_) => true,
            Self::Silence(_) | Self::Unreadable(_) | Self::Empty(..) => false,
        }
    }

    /// The server's own words about a failure that it reports.
    pub(super) fn refusal(&self) -> Option<(StatusCode, &ForeignText)> {
        match self {
            Self::Net(error) => Some((error.http_status()?, error.provider_words()?)),
            _ => None,
        }
    }

    /// Whether the model can't read so much at once.
    pub(super) fn is_too_long(&self) -> bool {
        matches!(self, Self::Net(error) if is_too_long(error))
    }
}

/// Codes of servers whose model can't read so much at once.
const TOO_LONG_CODES: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",
    "string_above_max_length",
];

/// The same in words: OpenAI and vLLM, Mistral, Gemini, Anthropic, llama.cpp, LM Studio, Groq, TGI.
const TOO_LONG_WORDS: [&str; 21] = [
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context length exceeded",
    "exceeds the context length",
    "context length of only",
    "context the overflows",
    "context window",
    "context limit",
    "available context size",
    "context size has been exceeded",
    "exceed context",
    "exceeds the maximum number of tokens",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "too many input tokens",
    "reduce the length of",
    "`max_new_tokens` must be <=",
    "input token count",
    "must be at least 1, got -",
];

fn is_too_long(error: &NetError) -> bool {
    let Some(status) = error.http_status() else {
        return false;
    };
    let may_be = matches!(status.as_u16(), 400 | 413 | 422 | 500);
    let words = error.provider_words();
    error
        .code()
        .is_some_and(|code| TOO_LONG_CODES.contains(&code))
        || (may_be && words.is_some_and(|words| words.speaks_of(&TOO_LONG_WORDS)))
        || status == StatusCode::PAYLOAD_TOO_LARGE
}

/// The response itself if its status is 2xx, else what it stands for. `path` is what was asked for
/// under the base.
pub(super) async fn check(response: Response, path: &str) -> Result<Response, Failed> {
    if response.status().is_redirection() {
        return Err(Failed::Moved(moved(&response, path)));
    }
    Ok(check_status(response).await?)
}

fn moved(response: &Response, path: &str) -> Moved {
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let Some(mut to) = location.and_then(|location| response.url().join(location).ok()) else {
        return Moved::Nowhere;
    };
    to.set_query(None);
    to.set_fragment(None);
    // What stands before the host may be a key; addresses that have none have nothing to clear.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    let is_same = to == *response.url();
    let told = to.as_str().trim_end_matches('/');
    match told.strip_suffix(path) {
        Some(base) if !is_same => Moved::Api(ForeignText::new(base.trim_end_matches('/'))),
        _ => Moved::Elsewhere(ForeignText::new(told)),
    }
}

/// Whether a failed exchange is worth another try as it was. A spent quota is not a rate limit.
pub(super) fn retry(failed: &Failed) -> Retry {
    match failed {
        Failed::Net(error) if quota_is_spent(error) || is_too_long(error) => Retry::No,
        Failed::Net(error) => error.retry(),
        Failed::Moved(_) | Failed::Silence(_) | Failed::Unreadable(_) | Failed::Empty(..) => {
            Retry::No
        }
    }
}

fn quota_is_spent(error: &NetError) -> bool {
    error.http_status() == Some(StatusCode::PAYMENT_REQUIRED)
        || matches!(
            error.code(),
            Some(
                "insufficient_quota"
                    | "billing_hard_limit_reached"
                    | "insufficient_credits"
                    | "insufficient_funds"
            )
        )
}

/// Names the failure for whoever asked.
pub(super) fn chat_error(failed: Failed, settings: &Settings, redaction: &Redaction) -> ChatError {
    let error = match failed {
        Failed::Net(error) => error,
        Failed::Moved(to) => return ChatError::Moved(to),
        Failed::Silence(limit) => return ChatError::TimedOut(limit),
        Failed::Unreadable(what) => {
            return ChatError::Unreadable(redaction.apply_to_unreadable(what));
        }
        Failed::Empty(why, _) => return ChatError::Empty(why),
    };
    let Some(status) = error.http_status() else {
        return match error {
            NetError::TimedOut(_) => ChatError::TimedOut(settings.first_token),
            error => ChatError::Unavailable(error),
        };
    };
    // A server may repeat the key or the question in what it says.
    let error = redaction.apply_to(error);
    match status {
        _ if is_too_long(&error) => ChatError::TooLong,
        StatusCode::FORBIDDEN if !is_about_access(&error) => ChatError::Refused {
            reason: error.provider_words().cloned().unwrap_or_default(),
        },
        status if refuses_key(status) => ChatError::KeyRefused(error),
        _ if quota_is_spent(&error) => ChatError::QuotaSpent(error),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ChatError::Busy(error),
        // 529 is what Anthropic, and others after it, say when they are overloaded.
        status if status.as_u16() == 529 => ChatError::Busy(error),
        StatusCode::NOT_FOUND => ChatError::UnknownModel(error),
        _ if error.code() == Some("model_not_found") => ChatError::UnknownModel(error),
        status if status.is_client_error() => ChatError::Refused {
            reason: error.provider_words().cloned().unwrap_or_default(),
        },
        _ => ChatError::Unavailable(error),
    }
}

/// Whether a 403 is about who asks, not about where from or what for.
fn is_about_access(error: &NetError) -> bool {
    const SIGNS: [&str; 10] = [
        "key",
        "permission",
        "auth",
        "access",
        "account",
        "token",
        "forbidden",
        "credential",
        "organization",
        "project",
    ];
    error
        .provider_words()
        .is_none_or(|words| words.is_empty() || words.speaks_of(&SIGNS))
}

fn with_words(error: NetError, words: ForeignText) -> NetError {
    match error {
        NetError::Status {
            status,
            code,
            retry_after,
            should_retry,
            request_id,
            ..
        } => NetError::Status {
            status,
            code,
            message: words,
            retry_after,
            should_retry,
            request_id,
        },
        other => other,
    }
}

/// Keeps the key and the conversation out of what a server says about them also where whoever asked
/// reads it: it may be somebody else's key.
pub(super) struct Redaction {
    /// The beginnings of what was sent.
    sent: Vec<String>,
}

/// A text this short stands in many sentences by chance.
const TELLING: usize = 12;

impl Redaction {
    pub(super) fn new(conversation: &Conversation, key: Option<&SecretString>) -> Self {
        let key = key.map(ExposeSecret::expose_secret);
        let turns = conversation.turns.iter().map(|turn| turn.text.as_str());
        let sent = turns
            .chain([conversation.system.as_str()])
            .chain(key)
            .map(|text| text.trim().chars().take(3 * TELLING).collect::<String>())
            .filter(|start| start.chars().count() >= TELLING)
            .collect();
        Self { sent }
    }

    fn apply(&self, words: ForeignText) -> ForeignText {
        let said = words.for_whoever_asked();
        if self.sent.iter().any(|start| said.contains(start.as_str())) {
            return ForeignText::new("its reason repeats what was sent");
        }
        words
    }

    pub(super) fn apply_to(&self, error: NetError) -> NetError {
        let words = error.provider_words().cloned().unwrap_or_default();
        with_words(error, self.apply(words))
    }

    pub(super) fn apply_to_unreadable(&self, what: Unreadable) -> Unreadable {
        match what {
            Unreadable::Text(words) => Unreadable::Text(self.apply(words)),
            other => other,
        }
    }
}
