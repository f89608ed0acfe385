//! Failures that speech and chat providers have in common.

use std::time::Duration;

use super::{format_duration, io_error_cause, sanitize_fragment};
use net::NetError;

/// A provider that can't be reached or does not answer properly. `who` starts the sentence.
pub(super) fn provider_unavailable(who: &str, error: &NetError) -> String {
    match error {
        NetError::Connect(_) | NetError::SocketConnect(_) => {
            format!("{who} can't be reached. Check the network, and the address in the settings.")
        }
        NetError::TimedOut(_) => format!("{who} did not answer in time. Try again."),
        NetError::SocketBroken(_) | NetError::Closed { .. } => {
            format!("{who} dropped the connection. Try again.")
        }
        NetError::Upload(error) => {
            format!(
                "The recording couldn't be sent ({}). Try again.",
                io_error_cause(error)
            )
        }
        NetError::Status { status, .. } if matches!(status.as_u16(), 504 | 522 | 524) => format!(
            "{who} took too long for the proxy in front of it (HTTP {}). Try again, or raise the \
             proxy's timeout.",
            status.as_u16()
        ),
        NetError::Status { status, .. } => {
            format!(
                "{who} is having problems (HTTP {}). Try again later.",
                status.as_u16()
            )
        }
        _ => format!("{who} sent an unreadable answer. Try again later."),
    }
}

/// When to try again: after the time that the provider asks for, or in a minute.
pub(super) fn retry_when(error: &NetError) -> String {
    match error {
        NetError::Status {
            retry_after: Some(wait),
            ..
        } => format!(
            "in {}",
            format_duration((*wait).max(Duration::from_secs(1)))
        ),
        _ => "in a minute".to_owned(),
    }
}

/// A local engine that can't start. `what` starts the sentence.
pub(super) fn local_engine_error(what: &str, reason: &str, fixed_by_fetch: bool) -> String {
    let advice = if fixed_by_fetch {
        "Run `talkback models fetch`."
    } else {
        "Run `talkback doctor` to see which setting or library is the cause."
    };
    format!(
        "{what} can't start ({}). {advice}",
        sanitize_fragment(reason)
    )
}
