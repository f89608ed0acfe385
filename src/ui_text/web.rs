//! What a page says that the page itself does not know.

use std::net::SocketAddr;

use crate::speech::ProviderFault;

/// Somebody came under a name that is not this machine's.
pub const WRONG_HOST: &str = "Talkback answers here only as localhost or 127.0.0.1. Open it under \
     one of these names, or set TALKBACK_HTTP_TOKEN to use another one.";

/// A page of another site asked.
pub const WRONG_ORIGIN: &str =
    "This came from another page. Open Talkback's own page and try there.";

/// The token is missing.
pub const SIGNED_OUT: &str = "You are not signed in. Reload the page and give the token.";

/// All places are taken.
pub const TOO_MANY_QUESTIONS: &str =
    "Talkback is busy with other questions. Try again in a moment.";

/// All connections are taken.
pub const TOO_MANY_CONNECTIONS: &str =
    "Too many connections are open here at the moment. Try again shortly.";

/// Too long a question.
pub const TEXT_TOO_LONG: &str = "The text is too long. Shorten it, or begin a new conversation.";

/// Too large a form.
pub const RECORDING_TOO_LARGE: &str = "The recording is too large. Send a shorter one.";

/// Neither words nor a recording.
pub const EMPTY_QUESTION: &str = "There is no question. Say or type one.";

/// Nothing that this page could have sent.
pub const MALFORMED_REQUEST: &str =
    "Talkback does not understand what this page sent. Reload the page.";

/// A cap of the day is reached.
pub const DAILY_LIMIT_REACHED: &str = "What a day allows is used up. Try again after midnight UTC, or raise \
     DAILY_COST or DAILY_MINUTES and start again.";

/// The question or the answer came to a stop.
pub const CONNECTION_LOST: &str = "The connection broke off. Try again.";

/// The ledger does not answer whoever looks on.
pub const LEDGER_UNAVAILABLE: &str = "The ledger does not answer. See the log of the bot, and whether its \
     disk is full.";

/// The model did not begin to answer when it was last asked.
pub const CHAT_DOWN: &str = "It did not answer when it was last asked. The log says why.";

/// What money is counted in.
pub const CURRENCY: &str = "in the currency of the prices that are set";

/// Why a speech provider is left out at the moment.
#[must_use]
pub fn provider_fault(fault: ProviderFault) -> &'static str {
    match fault {
        ProviderFault::KeyRefused => "It refused the key. Check ASSEMBLYAI_API_KEY.",
        ProviderFault::QuotaExceeded => "The account has no credit left. Top it up.",
        ProviderFault::NotAllowed => "The account may not use it. `talkback doctor` says more.",
        ProviderFault::ModelRefused => {
            "It refuses the model that is set for it. `talkback doctor` says which setting it is."
        }
        ProviderFault::Overloaded => "It has too much to do. It is tried again by itself.",
        ProviderFault::Unavailable => {
            "It can't be reached, or makes no sense. It is tried again by itself."
        }
        ProviderFault::TimedOut => "It was not done in time. It is tried again by itself.",
        ProviderFault::LocalEngine => "The local engine does not work. Run `talkback doctor`.",
    }
}

/// `--open` where there is no desktop.
pub const NO_BROWSER: &str = "No browser can be opened here. Open the address yourself.";

/// Where the page is.
#[must_use]
pub fn page_at(address: SocketAddr) -> String {
    format!("Talkback is at http://{address}/ (Ctrl-C ends it).\n")
}

/// The page can't be shown there.
#[must_use]
pub fn page_unavailable(address: SocketAddr, error: &std::io::Error) -> String {
    format!(
        "WEB_ADDRESS: {address} can't be used ({}). Choose another port.",
        super::io_error_cause(error)
    )
}
