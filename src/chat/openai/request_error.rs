//! Classifies failed requests.

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::settings::OpenAiSettings;
use crate::chat::{
    ChatError, Conversation, EmptyReason, InvalidResponse, RedirectTarget, TokenUsage,
};
use net::{NetError, RedactedText, RetryAdvice, check_status, is_auth_failure};

/// Why a request led to no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the server redirects elsewhere")]
    Redirected(RedirectTarget),
    #[error("no word within {0:?}")]
    Silence(Duration),
    #[error("the response is not an answer: {0}")]
    InvalidResponse(InvalidResponse),
    /// The answer is empty, and used these tokens.
    #[error("the answer is empty: {0}")]
    EmptyAnswer(EmptyReason, Option<TokenUsage>),
}

impl RequestError {
    /// See [`NetError::is_unbilled`].
    pub(super) fn is_unbilled(&self) -> bool {
        match self {
            Self::Net(error) => error.is_unbilled(),
            Self::Redirected(_) => true,
            Self::Silence(_) | Self::InvalidResponse(_) | Self::EmptyAnswer(..) => false,
        }
    }

    /// The status and message of an error that the server reported.
    pub(super) fn server_message(&self) -> Option<(StatusCode, &RedactedText)> {
        match self {
            Self::Net(error) => Some((error.http_status()?, error.provider_message()?)),
            _ => None,
        }
    }

    /// Whether the conversation exceeds the model's context.
    pub(super) fn is_too_long(&self) -> bool {
        matches!(self, Self::Net(error) if is_too_long(error))
    }
}

/// Error codes for a conversation that exceeds the model's context.
const TOO_LONG_CODES: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",
    "string_above_max_length",
];

/// The same in messages of OpenAI and vLLM, Mistral, Gemini, Anthropic, llama.cpp, LM Studio, Groq,
/// TGI.
const TOO_LONG_PHRASES: [&str; 21] = [
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
    let status_matches = matches!(status.as_u16(), 400 | 413 | 422 | 500);
    let message = error.provider_message();
    error
        .code()
        .is_some_and(|code| TOO_LONG_CODES.contains(&code))
        || (status_matches
            && message.is_some_and(|message| message.contains_any(&TOO_LONG_PHRASES)))
        || status == StatusCode::PAYLOAD_TOO_LARGE
}

/// Returns the response if its status is 2xx, and an error otherwise. `path` is the request's path
/// relative to the base URL.
pub(super) async fn check_response(
    response: Response,
    path: &str,
) -> Result<Response, RequestError> {
    if response.status().is_redirection() {
        return Err(RequestError::Redirected(redirect_target(&response, path)));
    }
    Ok(check_status(response).await?)
}

fn redirect_target(response: &Response, path: &str) -> RedirectTarget {
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let Some(mut to) = location.and_then(|location| response.url().join(location).ok()) else {
        return RedirectTarget::NoLocation;
    };
    to.set_query(None);
    to.set_fragment(None);
    // The user info may contain a key. URLs without a host have none, so errors can be ignored.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    let is_same = to == *response.url();
    let target = to.as_str().trim_end_matches('/');
    match target.strip_suffix(path) {
        Some(base) if !is_same => {
            RedirectTarget::SameApi(RedactedText::new(base.trim_end_matches('/')))
        }
        _ => RedirectTarget::Elsewhere(RedactedText::new(target)),
    }
}

/// Whether to retry the unchanged request. An exceeded quota is not a rate limit.
pub(super) fn retry_advice(error: &RequestError) -> RetryAdvice {
    match error {
        RequestError::Net(error) if is_quota_exceeded(error) || is_too_long(error) => {
            RetryAdvice::Never
        }
        RequestError::Net(error) => error.retry_advice(),
        RequestError::Redirected(_)
        | RequestError::Silence(_)
        | RequestError::InvalidResponse(_)
        | RequestError::EmptyAnswer(..) => RetryAdvice::Never,
    }
}

fn is_quota_exceeded(error: &NetError) -> bool {
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

/// Maps a failed request to the error that callers see.
pub(super) fn to_chat_error(
    error: RequestError,
    settings: &OpenAiSettings,
    redaction: &Redaction,
) -> ChatError {
    let error = match error {
        RequestError::Net(error) => error,
        RequestError::Redirected(to) => return ChatError::Redirected(to),
        RequestError::Silence(limit) => return ChatError::TimedOut(limit),
        RequestError::InvalidResponse(what) => {
            return ChatError::InvalidResponse(redaction.redact_response(what));
        }
        RequestError::EmptyAnswer(why, _) => return ChatError::EmptyAnswer(why),
    };
    let Some(status) = error.http_status() else {
        return match error {
            NetError::TimedOut(_) => ChatError::TimedOut(settings.first_token_timeout),
            error => ChatError::Unavailable(error),
        };
    };
    // A server may repeat the key or the prompt in its message.
    let error = redaction.redact_error(error);
    match status {
        _ if is_too_long(&error) => ChatError::PromptTooLong,
        StatusCode::FORBIDDEN if !is_access_error(&error) => ChatError::Refused {
            reason: error.provider_message().cloned().unwrap_or_default(),
        },
        status if is_auth_failure(status) => ChatError::KeyRefused(error),
        _ if is_quota_exceeded(&error) => ChatError::QuotaExceeded(error),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            ChatError::Overloaded(error)
        }
        // 529 means overloaded for Anthropic and some others.
        status if status.as_u16() == 529 => ChatError::Overloaded(error),
        StatusCode::NOT_FOUND => ChatError::UnknownModel(error),
        _ if error.code() == Some("model_not_found") => ChatError::UnknownModel(error),
        status if status.is_client_error() => ChatError::Refused {
            reason: error.provider_message().cloned().unwrap_or_default(),
        },
        _ => ChatError::Unavailable(error),
    }
}

/// Whether a 403 is about the credentials, not about the client's location or the request.
fn is_access_error(error: &NetError) -> bool {
    const CREDENTIAL_WORDS: [&str; 10] = [
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
        .provider_message()
        .is_none_or(|message| message.is_empty() || message.contains_any(&CREDENTIAL_WORDS))
}

fn with_message(error: NetError, message: RedactedText) -> NetError {
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
            message,
            retry_after,
            should_retry,
            request_id,
        },
        other => other,
    }
}

/// Keeps the key and the conversation out of server messages that users see: the key may belong to
/// another person than the user.
pub(super) struct Redaction {
    /// The first characters of everything that was sent.
    secrets: Vec<String>,
}

/// Shorter texts occur in messages by chance.
const MIN_SECRET_CHARS: usize = 12;

impl Redaction {
    pub(super) fn new(conversation: &Conversation, key: Option<&SecretString>) -> Self {
        let key = key.map(ExposeSecret::expose_secret);
        let turns = conversation.turns.iter().map(|turn| turn.text.as_str());
        let secrets = turns
            .chain([conversation.system.as_str()])
            .chain(key)
            .map(|text| {
                text.trim()
                    .chars()
                    .take(3 * MIN_SECRET_CHARS)
                    .collect::<String>()
            })
            .filter(|start| start.chars().count() >= MIN_SECRET_CHARS)
            .collect();
        Self { secrets }
    }

    fn redact(&self, message: RedactedText) -> RedactedText {
        let text = message.expose_to_user();
        if self
            .secrets
            .iter()
            .any(|start| text.contains(start.as_str()))
        {
            return RedactedText::new("its reason repeats what was sent");
        }
        message
    }

    pub(super) fn redact_error(&self, error: NetError) -> NetError {
        let message = error.provider_message().cloned().unwrap_or_default();
        with_message(error, self.redact(message))
    }

    pub(super) fn redact_response(&self, what: InvalidResponse) -> InvalidResponse {
        match what {
            InvalidResponse::Text(message) => InvalidResponse::Text(self.redact(message)),
            other => other,
        }
    }
}
