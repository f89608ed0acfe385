//! Answers that are none, for whoever runs Talkback.

use super::{length, sanitize_fragment};
use crate::chat::{EmptyReason, Interruption, InvalidResponse, RedirectTarget};

/// The address leads elsewhere.
pub(super) fn endpoint_moved(to: &RedirectTarget) -> String {
    match to {
        RedirectTarget::SameApi(base) => format!(
            "The chat server has moved. Set OPENAI_BASE_URL={}",
            super::strip_control_chars(base.expose_to_user())
        ),
        RedirectTarget::Elsewhere(address) => format!(
            "OPENAI_BASE_URL leads to {}, which isn't a chat server. Check the address.",
            super::strip_control_chars(address.expose_to_user())
        ),
        RedirectTarget::NoLocation => {
            "OPENAI_BASE_URL redirects without saying where. Check the address.".to_owned()
        }
    }
}

/// What came is no answer.
pub(super) fn unreadable_answer(what: &InvalidResponse) -> String {
    match what {
        InvalidResponse::EmptyBody => {
            "The chat server sent nothing at all. Try again; if it keeps happening, check the \
             server's own log."
                .to_owned()
        }
        InvalidResponse::WebPage => {
            "OPENAI_BASE_URL leads to a web page, not to a chat server. Check the address, and \
             whether a proxy wants you to sign in; most addresses end in /v1."
                .to_owned()
        }
        InvalidResponse::Text(words) => format!(
            "The server sent plain text instead of an answer ({}). Check OPENAI_BASE_URL and \
             OPENAI_API.",
            sanitize_fragment(words.expose_to_user())
        ),
        InvalidResponse::Truncated => {
            "The connection ended before the answer was complete. Try again; if it keeps \
             happening, check the server's own log."
                .to_owned()
        }
        InvalidResponse::Malformed(_) => "The server sent something that isn't an answer. Check \
             OPENAI_BASE_URL and OPENAI_API; TALKBACK_LOG=info shows more."
            .to_owned(),
        InvalidResponse::TooLarge => {
            "The server sent far more than an answer and didn't stop. Check OPENAI_BASE_URL."
                .to_owned()
        }
    }
}

/// The model did not say a word.
pub(super) fn empty_answer(why: EmptyReason) -> String {
    match why {
        EmptyReason::OutOfTokens => "The model thought too long: the limit on the answer's length \
             was reached before its first word. Raise CHAT_MAX_TOKENS, or lower \
             OPENAI_REASONING_EFFORT."
            .to_owned(),
        EmptyReason::OnlyReasoning => {
            "The model thought about it and then gave no answer. Ask again, or choose another \
             OPENAI_MODEL."
                .to_owned()
        }
        EmptyReason::OnlyToolCalls => {
            "The model wanted to use a tool and gave no answer, and Talkback has no tools. Ask \
             again, or choose another OPENAI_MODEL."
                .to_owned()
        }
        EmptyReason::Filtered => {
            "The provider's content filter blocked the answer. Rephrase your question.".to_owned()
        }
        EmptyReason::Nothing => {
            "The model gave an empty answer. Ask again, or choose another OPENAI_MODEL.".to_owned()
        }
    }
}

/// The answer stopped in the middle.
pub(super) fn interrupted_answer(reason: &Interruption) -> String {
    let next = "What arrived is above; try again";
    match reason {
        Interruption::Connection(_) => {
            format!("The answer broke off in the middle. {next}.")
        }
        Interruption::Silence(limit) => format!(
            "The answer broke off in the middle: the server sent nothing more for {}. {next}.",
            length(*limit)
        ),
        Interruption::DeadlineExceeded(limit) => format!(
            "The answer was not complete within {}. {next}, or raise CHAT_TIMEOUT.",
            length(*limit)
        ),
        Interruption::Server(error) => match error.provider_message() {
            Some(words) if !words.is_empty() => format!(
                "The answer broke off in the middle: the server reported a failure ({}). {next}.",
                sanitize_fragment(words.expose_to_user())
            ),
            _ => format!(
                "The answer broke off in the middle: the server reported a failure. {next}."
            ),
        },
        Interruption::InvalidResponse(InvalidResponse::Truncated) => {
            format!("The answer broke off in the middle: the connection ended. {next}.")
        }
        Interruption::InvalidResponse(InvalidResponse::TooLarge) => {
            format!("The answer never ended, so the rest of it wasn't read. {next}.")
        }
        Interruption::InvalidResponse(_) => {
            format!("The rest of the answer can't be read. {next}.")
        }
    }
}
