//! What a page says that the page itself does not know.

use std::net::SocketAddr;

use crate::speech::ProviderFault;

/// Somebody came under a name that is not this machine's.
pub const WRONG_HOST: &str = "Talkback only answers here as localhost or 127.0.0.1. Open it under \
     one of those names, or set TALKBACK_HTTP_TOKEN to use another one.";

/// A page of another site asked.
pub const WRONG_ORIGIN: &str =
    "This came from another page. Open Talkback's own page and try there.";

/// The token is missing.
pub const SIGNED_OUT: &str = "You're not signed in. Reload the page and enter the token.";

/// All places are taken.
pub const TOO_MANY_QUESTIONS: &str =
    "Talkback is busy with other questions. Try again in a moment.";

/// All connections are taken.
pub const TOO_MANY_CONNECTIONS: &str =
    "Too many connections are open here at the moment. Try again shortly.";

/// Too long a question.
pub const TEXT_TOO_LONG: &str = "The text is too long. Shorten it, or start a new conversation.";

/// Too large a form.
pub const RECORDING_TOO_LARGE: &str = "The recording is too large. Send a shorter one.";

/// Neither words nor a recording.
pub const EMPTY_QUESTION: &str = "There is no question. Say or type one.";

/// Nothing that this page could have sent.
pub const MALFORMED_REQUEST: &str =
    "Talkback can't understand what this page sent. Reload the page.";

/// A cap of the day is reached.
pub const DAILY_LIMIT_REACHED: &str = "Today's limit is reached. Try again after midnight UTC, or \
     raise DAILY_COST or DAILY_MINUTES and restart.";

/// The question or the answer came to a stop.
pub const CONNECTION_LOST: &str = "The connection was lost. Try again.";

/// The ledger does not answer whoever looks on.
pub const LEDGER_UNAVAILABLE: &str =
    "The ledger isn't answering. Check the bot's log, and whether its disk is full.";

/// The model did not begin to answer when it was last asked.
pub const CHAT_DOWN: &str = "It didn't answer the last time it was asked. The log says why.";

/// What money is counted in.
pub const CURRENCY: &str = "in the currency of your price settings";

/// Why a speech provider is left out at the moment.
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

/// `--open` where there is no desktop.
pub const NO_BROWSER: &str = "No browser can be opened here. Open the address yourself.";

/// Where the page is.
#[must_use]
pub fn page_at(address: SocketAddr) -> String {
    format!("Talkback is at http://{address}/ (press Ctrl-C to stop).\n")
}

/// The page can't be shown there.
#[must_use]
pub fn page_unavailable(address: SocketAddr, error: &std::io::Error) -> String {
    format!(
        "WEB_ADDRESS: {address} can't be used ({}). Choose another port.",
        super::io_error_cause(error)
    )
}
