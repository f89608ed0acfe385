//! Why there is no answer, for operators and users of the command line.

use super::provider_errors::{local_engine_error, provider_unavailable, retry_when};
use super::{format_duration, sanitize_fragment, strip_control_chars};
use crate::chat::{ChatError, EmptyReason, Interruption, InvalidResponse, RedirectTarget};
use net::{NetError, RedactedText};

/// Why the chat provider gave no answer, and what to do about it.
pub fn chat_error(error: &ChatError) -> String {
    match error {
        ChatError::LlmGateway(error) => llm_gateway_error(error),
        ChatError::KeyRefused(_) => "The chat server rejected the key. Check OPENAI_API_KEY, and \
             that it belongs to OPENAI_BASE_URL."
            .to_owned(),
        ChatError::QuotaExceeded(_) => {
            "Your account with the chat server has no credit left. Top it up, or set \
             CHAT_PROVIDER=local."
                .to_owned()
        }
        ChatError::Overloaded(error) => format!(
            "The chat server isn't taking more requests right now. Try again {}.",
            retry_when(error)
        ),
        ChatError::UnknownModel(_) => "The server doesn't know this model or path. Check \
             OPENAI_MODEL and OPENAI_BASE_URL; `talkback doctor` asks the server which models it \
             has."
            .to_owned(),
        ChatError::Unavailable(error) => provider_unavailable("The chat server", error),
        ChatError::Redirected(to) => endpoint_moved(to),
        ChatError::InvalidResponse(what) => unreadable_answer(what),
        ChatError::EmptyAnswer(why) => empty_answer(*why),
        ChatError::Refused { reason } => format!(
            "The server refused to answer ({}). Check OPENAI_MODEL and the settings next to it.",
            sanitize_fragment(reason.expose_to_user())
        ),
        ChatError::StreamInterrupted { reason } => interrupted_answer(reason),
        ChatError::TimedOut(limit) => format!(
            "There was no answer within {}. Try again, or raise CHAT_TIMEOUT.",
            format_duration(*limit)
        ),
        ChatError::PromptTooLong => {
            "What was said is longer than the model can read at once. Shorten the recording, or \
             raise CHAT_CONTEXT_TOKENS if the model can read more."
                .to_owned()
        }
        ChatError::LocalEngine {
            reason,
            fixed_by_fetch,
        } => local_engine_error("The local chat model", reason, *fixed_by_fetch),
    }
}

/// The same for AssemblyAI's LLM Gateway, which has settings of its own.
fn llm_gateway_error(error: &ChatError) -> String {
    let reason = |error: &NetError| {
        let message = error.provider_message().map(RedactedText::expose_to_user);
        sanitize_fragment(message.unwrap_or("no reason given"))
    };
    match error {
        ChatError::KeyRefused(error) if is_account_error(error) => format!(
            "The AssemblyAI account can't use the LLM Gateway ({}); only paid accounts can. \
             Upgrade it at https://www.assemblyai.com/dashboard, or set CHAT_PROVIDER to openai or \
             local.",
            reason(error)
        ),
        ChatError::KeyRefused(_) => "AssemblyAI's LLM Gateway rejected the key. Check \
             ASSEMBLYAI_API_KEY against https://www.assemblyai.com/app/api-keys."
            .to_owned(),
        ChatError::QuotaExceeded(_) => {
            "The AssemblyAI account has no credit left. Top it up, or set CHAT_PROVIDER=local."
                .to_owned()
        }
        ChatError::UnknownModel(error) => format!(
            "AssemblyAI's LLM Gateway doesn't know this model ({}). Set ASSEMBLYAI_CHAT_MODEL to \
             one of those at https://llm-gateway.assemblyai.com/v1/models.",
            reason(error)
        ),
        ChatError::Refused { reason } => format!(
            "AssemblyAI's LLM Gateway refused to answer ({}). Check ASSEMBLYAI_CHAT_MODEL: not \
             every model supports every setting, and the EU has fewer models.",
            sanitize_fragment(reason.expose_to_user())
        ),
        ChatError::Unavailable(error) => provider_unavailable("AssemblyAI's LLM Gateway", error),
        other => chat_error(other),
    }
}

/// Whether the key is valid but its account lacks access: the message says so, or the status is 403.
fn is_account_error(error: &NetError) -> bool {
    let says_so = error.provider_message().is_some_and(|message| {
        message.contains_any(&[
            "access",
            "paid",
            "upgrade",
            "plan",
            "credit card",
            "not enabled",
            "free account",
            "free tier",
        ])
    });
    says_so
        || error
            .http_status()
            .is_some_and(|status| status.as_u16() == 403)
}

/// The server redirects to another address.
fn endpoint_moved(to: &RedirectTarget) -> String {
    match to {
        RedirectTarget::SameApi(base) => format!(
            "The chat server has moved. Set OPENAI_BASE_URL={}",
            strip_control_chars(base.expose_to_user())
        ),
        RedirectTarget::Elsewhere(address) => format!(
            "OPENAI_BASE_URL leads to {}, which isn't a chat server. Check the address.",
            strip_control_chars(address.expose_to_user())
        ),
        RedirectTarget::NoLocation => {
            "OPENAI_BASE_URL redirects without saying where. Check the address.".to_owned()
        }
    }
}

/// The server sent something other than an answer.
fn unreadable_answer(what: &InvalidResponse) -> String {
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
        InvalidResponse::Text(text) => format!(
            "The server sent plain text instead of an answer ({}). Check OPENAI_BASE_URL and \
             OPENAI_API.",
            sanitize_fragment(text.expose_to_user())
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

/// The answer has no text.
fn empty_answer(why: EmptyReason) -> String {
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

/// The answer stopped before its end.
fn interrupted_answer(reason: &Interruption) -> String {
    let next = "What arrived is above; try again";
    match reason {
        Interruption::Connection(_) => {
            format!("The answer broke off in the middle. {next}.")
        }
        Interruption::Silence(limit) => format!(
            "The answer broke off in the middle: the server sent nothing more for {}. {next}.",
            format_duration(*limit)
        ),
        Interruption::DeadlineExceeded(limit) => format!(
            "The answer was not complete within {}. {next}, or raise CHAT_TIMEOUT.",
            format_duration(*limit)
        ),
        Interruption::Server(error) => match error.provider_message() {
            Some(message) if !message.is_empty() => format!(
                "The answer broke off in the middle: the server reported a failure ({}). {next}.",
                sanitize_fragment(message.expose_to_user())
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
