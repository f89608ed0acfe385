//! The log: to standard error, off unless asked for, ids and sizes but never what was said.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Starts logging as the settings say. Only the first call counts.
pub(crate) fn start(log: &Log) {
    let Some(filter) = &log.filter else {
        return;
    };
    let Ok(filter) = EnvFilter::try_new(complete(filter)) else {
        return;
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // Fails only if somebody has started a log already, and then that one stays.
    let _ = if log.json {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
}

/// A bare level is meant for Talkback; of the libraries below only warnings are wanted then. davey
/// warns of each packet that waits for its key, and of each that needs none.
fn complete(filter: &str) -> String {
    match filter.parse::<tracing::Level>() {
        Ok(level) => format!("warn,davey=off,talkback={level}"),
        Err(_) => filter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_for_talkback() {
        assert_eq!(complete("info"), "warn,davey=off,talkback=INFO");
        assert_eq!(complete("talkback=debug,ort=off"), "talkback=debug,ort=off");
    }
}
