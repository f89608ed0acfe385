//! What a failed exchange means for an answer.

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};

use super::Settings;
use crate::chat::{ChatError, Conversation};
use crate::net::{ForeignText, NetError, Retry, refuses_key};

/// Whether a failed exchange is worth another try. A spent quota is not a rate limit.
pub(super) fn retry(error: &NetError) -> Retry {
    if quota_is_spent(error) {
        return Retry::No;
    }
    error.retry()
}

fn quota_is_spent(error: &NetError) -> bool {
    error.http_status() == Some(StatusCode::PAYMENT_REQUIRED)
        || matches!(
            error.code(),
            Some("insufficient_quota" | "billing_hard_limit_reached")
        )
}

/// Names the failure for whoever asked.
pub(super) fn chat_error(
    error: NetError,
    settings: &Settings,
    redaction: &Redaction<'_>,
) -> ChatError {
    let Some(status) = error.http_status() else {
        return match error {
            NetError::TimedOut(_) => ChatError::TimedOut(settings.first_token),
            error => ChatError::Unavailable(error),
        };
    };
    // A server may repeat the key or the question in what it says.
    let words = error.provider_words().cloned().unwrap_or_default();
    let words = redaction.apply(words);
    let error = with_words(error, words.clone());
    match status {
        status if refuses_key(status) => ChatError::KeyRefused(error),
        _ if quota_is_spent(&error) => ChatError::QuotaSpent(error),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ChatError::Busy(error),
        StatusCode::NOT_FOUND => ChatError::UnknownModel(error),
        StatusCode::GATEWAY_TIMEOUT => ChatError::TimedOut(settings.first_token),
        _ if error.code() == Some("context_length_exceeded") => ChatError::TooLong,
        _ if error.code() == Some("model_not_found") => ChatError::UnknownModel(error),
        status if status.is_client_error() => ChatError::Refused { reason: words },
        _ => ChatError::Unavailable(error),
    }
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
pub(super) struct Redaction<'a> {
    conversation: &'a Conversation,
    key: Option<&'a SecretString>,
}

/// A text this short stands in many sentences by chance.
const TELLING: usize = 12;

impl<'a> Redaction<'a> {
    pub(super) fn new(conversation: &'a Conversation, key: Option<&'a SecretString>) -> Self {
        Self { conversation, key }
    }

    fn apply(&self, words: ForeignText) -> ForeignText {
        let said = words.for_whoever_asked();
        let repeats = |secret: &str| {
            let start: String = secret.trim().chars().take(3 * TELLING).collect();
            start.chars().count() >= TELLING && said.contains(&start)
        };
        let key = self.key.is_some_and(|key| repeats(key.expose_secret()));
        let conversation = repeats(&self.conversation.system)
            || self
                .conversation
                .turns
                .iter()
                .any(|turn| repeats(&turn.text));
        if key || conversation {
            return ForeignText::new("its reason repeats what was sent");
        }
        words
    }
}
