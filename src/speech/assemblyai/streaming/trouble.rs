//! What goes wrong with a live session, and what it means.
//!
//! Close codes: <https://www.assemblyai.com/docs/api-reference/streaming-api>, error codes.

use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio_tungstenite::tungstenite::Error;

use crate::net::{MAX_PROVIDER_WORDS, NetError, NoTls, Retry, shorten};
use crate::speech::SpeechError;
use crate::speech::assemblyai::errors::{speaks_of_an_empty_account, speech_error};

/// A session that could not begin or go on. It can be told to every utterance it concerns.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// No connection came about.
    NoSocket(io::ErrorKind, String),
    /// The connection broke or fell silent.
    Broken(io::ErrorKind, String),
    /// The handshake was answered with another status.
    Refused(StatusCode, Box<HeaderMap>, Vec<u8>),
    /// The service closed the session.
    Closed(u16, String),
    /// The service says what makes no sense, or too much of it.
    Nonsense(&'static str),
    /// The key can't stand in a header.
    KeyUnsendable,
    /// The beginning of the utterance is not kept any more, so it can't be sent again.
    TooLongAgo,
}

impl Trouble {
    /// Something did not happen in time before the session began.
    pub(super) fn no_answer() -> Self {
        Self::NoSocket(io::ErrorKind::TimedOut, "no answer in time".to_owned())
    }

    /// The service does not react any more.
    pub(super) fn silence() -> Self {
        Self::Broken(io::ErrorKind::TimedOut, "no sign of life".to_owned())
    }

    /// There is no way to encrypt.
    pub(super) fn without_tls(error: &NoTls) -> Self {
        Self::NoSocket(io::ErrorKind::NotFound, error.to_string())
    }

    /// What a handshake failed with.
    pub(super) fn at_handshake(error: Error) -> Self {
        match error {
            Error::Http(response) => {
                let (parts, body) = response.into_parts();
                Self::Refused(
                    parts.status,
                    Box::new(parts.headers),
                    body.unwrap_or_default(),
                )
            }
            Error::Io(error) => Self::NoSocket(error.kind(), shortened(&error)),
            other => Self::NoSocket(io::ErrorKind::Other, shortened(&other)),
        }
    }

    /// What an open socket failed with.
    pub(super) fn on_socket(error: &Error) -> Self {
        match error {
            Error::Io(error) => Self::Broken(error.kind(), shortened(error)),
            Error::Capacity(_) => Self::Nonsense("a message that is too large"),
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )
            | Error::ConnectionClosed
            | Error::AlreadyClosed => {
                Self::Broken(io::ErrorKind::ConnectionReset, shortened(error))
            }
            Error::Protocol(_) | Error::Utf8 | Error::AttackAttempt => {
                Self::Nonsense("frames that are none")
            }
            other => Self::Broken(io::ErrorKind::Other, shortened(other)),
        }
    }

    /// The failed exchange.
    pub(super) fn net(&self) -> NetError {
        match self {
            Self::NoSocket(kind, what) => NetError::NoSocket(io::Error::new(*kind, what.clone())),
            Self::Broken(kind, what) => NetError::BrokenSocket(io::Error::new(*kind, what.clone())),
            Self::Refused(status, headers, body) => NetError::refused(*status, headers, body),
            Self::Closed(code, reason) => NetError::Closed {
                code: *code,
                message: shorten(reason, MAX_PROVIDER_WORDS),
            },
            Self::Nonsense(what) => NetError::Malformed {
                what: (*what).to_owned(),
            },
            Self::KeyUnsendable => NetError::KeyUnsendable,
            Self::TooLongAgo => NetError::BrokenSocket(io::Error::other(
                "the beginning is not kept any more and can't be sent again",
            )),
        }
    }

    /// Whether another session may help.
    pub(super) fn retry(&self) -> Retry {
        match self {
            // Account, our own mistakes (message, chunk, rate), too many sessions.
            Self::Closed(1008 | 3006 | 3007 | 3009, _) | Self::TooLongAgo => Retry::No,
            // Expired: nothing is wrong, a new one may begin at once.
            Self::Closed(3008, _) => Retry::After(Duration::ZERO),
            _ => self.net().retry(),
        }
    }

    /// What it means to an utterance.
    pub(super) fn speech(&self, limit: Duration) -> SpeechError {
        let net = self.net();
        let Self::Closed(code, reason) = self else {
            return speech_error(net, limit);
        };
        let words = reason.to_lowercase();
        match code {
            3009 => SpeechError::Busy(net),
            // The same code is used for several refusals.
            1008 if words.contains("concurrent") => SpeechError::Busy(net),
            1008 if speaks_of_an_empty_account(&words) => SpeechError::QuotaSpent(net),
            1008 => SpeechError::KeyRefused(net),
            3006 | 3007 => SpeechError::Failed {
                reason: shorten(reason, MAX_PROVIDER_WORDS),
            },
            _ => SpeechError::Unavailable(net),
        }
    }
}

fn shortened(error: &dyn std::fmt::Display) -> String {
    shorten(&error.to_string(), MAX_PROVIDER_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_meaning() {
        let table = [
            (1008, "Missing Authorization header", false, "KeyRefused"),
            (1008, "Insufficient account balance", false, "QuotaSpent"),
            (1008, "Too many concurrent sessions", false, "Busy"),
            (1011, "internal error", true, "Unavailable"),
            (1013, "", true, "Unavailable"),
            (3005, "An error occurred", true, "Unavailable"),
            (3006, "Invalid Message", false, "Failed"),
            (3007, "Rate Exceeded", false, "Failed"),
            (3008, "Session Expired", true, "Unavailable"),
            (3009, "Too many concurrent sessions", false, "Busy"),
        ];
        for (code, reason, again, meaning) in table {
            let trouble = Trouble::Closed(code, reason.to_owned());
            assert_eq!(trouble.retry() != Retry::No, again, "{code} {reason}");
            let error = format!("{:?}", trouble.speech(Duration::ZERO));
            assert!(error.starts_with(meaning), "{code} {reason}: {error}");
        }
    }

    #[test]
    fn a_refused_handshake_means_what_its_status_means() {
        let refused = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            Trouble::Refused(status, Box::default(), Vec::new())
        };
        for (status, again, meaning) in [
            (401, false, "KeyRefused"),
            (402, false, "QuotaSpent"),
            (429, true, "Busy"),
            (503, true, "Busy"),
            (500, true, "Unavailable"),
        ] {
            assert_eq!(refused(status).retry() != Retry::No, again, "{status}");
            let error = format!("{:?}", refused(status).speech(Duration::ZERO));
            assert!(error.starts_with(meaning), "{status}: {error}");
        }
    }
}
