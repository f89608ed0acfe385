//! What the server tells its web pages. `web/assets/words.js` has what a page finds out itself.

use std::net::SocketAddr;

use crate::speech::ProviderFault;

/// The request's `Host` is not this machine.
pub const WRONG_HOST: &str = "Talkback only answers here as localhost or 127.0.0.1. Open it under \
     one of those names, or set TALKBACK_HTTP_TOKEN to use another one.";

/// The request's `Origin` is another site.
pub const WRONG_ORIGIN: &str =
    "This came from another page. Open Talkback's own page and try there.";

/// The request has no session and no token.
pub const SIGNED_OUT: &str = "You're not signed in. Reload the page and enter the token.";

/// The limit of concurrent questions is reached.
pub const TOO_MANY_QUESTIONS: &str =
    "Talkback is busy with other questions. Try again in a moment.";

/// The limit of connections is reached.
pub const TOO_MANY_CONNECTIONS: &str =
    "Too many connections are open here at the moment. Try again shortly.";

/// The question or the conversation is too long.
pub const TEXT_TOO_LONG: &str = "The text is too long. Shorten it, or start a new conversation.";

/// The form is too large.
pub const RECORDING_TOO_LARGE: &str = "The recording is too large. Send a shorter one.";

/// The form has neither text nor a recording.
pub const EMPTY_QUESTION: &str = "There is no question. Say or type one.";

/// The form is not one that the page sends.
pub const MALFORMED_REQUEST: &str =
    "Talkback can't understand what this page sent. Reload the page.";

/// The page's daily limit is reached.
pub const DAILY_LIMIT_REACHED: &str = "Today's limit is reached. Try again after midnight UTC, or \
     raise DAILY_COST or DAILY_MINUTES and restart.";

/// The upload or the answer broke off.
pub const CONNECTION_LOST: &str = "The connection was lost. Try again.";

/// The status page could not read the ledger.
pub const LEDGER_UNAVAILABLE: &str =
    "The ledger isn't answering. Check the bot's log, and whether its disk is full.";

/// The last request to the chat model failed.
pub const CHAT_DOWN: &str = "It didn't answer the last time it was asked. The log says why.";

/// The unit of the costs on the status page.
pub const CURRENCY: &str = "in the currency of your price settings";

/// Why a speech provider is skipped at the moment.
#[must_use]
pub fn provider_fault(fault: ProviderFault) -> &'static str {
    match fault {
        ProviderFault::KeyRefused => "It rejected the key. Check ASSEMBLYAI_API_KEY.",
        ProviderFault::QuotaExceeded => "The account has no credit left. Top it up.",
        ProviderFault::NotAllowed => {
            "The account isn't allowed to use it. `talkback doctor` says more."
        }
        ProviderFault::ModelRefused => {
            "It rejected the model that is set for it. `talkback doctor` says which setting that \
             is."
        }
        ProviderFault::Overloaded => "It's overloaded. It will be tried again automatically.",
        ProviderFault::Unavailable => {
            "It can't be reached, or its answers make no sense. It will be tried again \
             automatically."
        }
        ProviderFault::TimedOut => "It took too long. It will be tried again automatically.",
        ProviderFault::LocalEngine => "The local engine doesn't work. Run `talkback doctor`.",
    }
}

/// `--open` without a desktop.
pub const NO_BROWSER: &str = "No browser can be opened here. Open the address yourself.";

/// The address of the page.
#[must_use]
pub fn page_at(address: SocketAddr) -> String {
    format!("Talkback is at http://{address}/ (press Ctrl-C to stop).\n")
}

/// The page's address can't be bound.
#[must_use]
pub fn page_unavailable(address: SocketAddr, error: &std::io::Error) -> String {
    format!(
        "WEB_ADDRESS: {address} can't be used ({}). Choose another port.",
        super::io_error_cause(error)
    )
}
