//! What goes wrong with a live session, and what it means.
//!
//! Close codes: <https://www.assemblyai.com/docs/api-reference/streaming-api>, error codes.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio_tungstenite::tungstenite::Error;

use crate::speech::assemblyai::error_mapping::{
    ApiKind, handshake_error, is_empty_account_message, is_paid_plan_message, map_refusal,
};
use crate::speech::{RefusedParameter, SpeechError};
use net::{ErrorCause, NetError, RedactedText, RetryAdvice, TlsError};

/// A session that could not begin or go on. It can be told to every utterance it concerns.
#[derive(Clone, Debug)]
pub(super) enum StreamingError {
    /// No connection came about.
    ConnectFailed(ErrorCause),
    /// The connection broke or fell silent.
    Disconnected(ErrorCause),
    /// The handshake was answered with another status.
    HandshakeRejected(StatusCode, Box<HeaderMap>, Vec<u8>),
    /// The service closed the session.
    Closed(u16, RedactedText),
    /// The service says what makes no sense, or too much of it.
    ProtocolViolation(&'static str),
    /// The key can't stand in a header.
    KeyUnsendable,
    /// The beginning of the utterance is not kept any more, so it can't be sent again.
    AudioDiscarded,
}

impl StreamingError {
    /// Something did not happen in time before the session began.
    pub(super) fn connect_timed_out() -> Self {
        Self::ConnectFailed("no answer in time".into())
    }

    /// The service does not react any more.
    pub(super) fn unresponsive() -> Self {
        Self::Disconnected("no sign of life".into())
    }

    /// There is no way to encrypt.
    pub(super) fn no_tls(error: &TlsError) -> Self {
        Self::ConnectFailed(ErrorCause::from_error(error))
    }

    /// What a handshake failed with.
    pub(super) fn from_handshake(error: Error) -> Self {
        match error {
            Error::Http(response) => {
                let (parts, body) = response.into_parts();
                Self::HandshakeRejected(
                    parts.status,
                    Box::new(parts.headers),
                    body.unwrap_or_default(),
                )
            }
            other => Self::ConnectFailed(ErrorCause::from_error(&other)),
        }
    }

    /// What an open socket failed with.
    pub(super) fn from_socket(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::ProtocolViolation("a message that is too large"),
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )
            | Error::ConnectionClosed
            | Error::AlreadyClosed => Self::Disconnected("closed without a word".into()),
            Error::Protocol(_) | Error::Utf8 | Error::AttackAttempt => {
                Self::ProtocolViolation("frames that are none")
            }
            other => Self::Disconnected(ErrorCause::from_error(other)),
        }
    }

    /// The failed exchange.
    pub(super) fn to_net_error(&self) -> NetError {
        match self {
            Self::ConnectFailed(cause) => NetError::SocketConnect(cause.clone()),
            Self::Disconnected(cause) => NetError::SocketBroken(cause.clone()),
            Self::HandshakeRejected(status, headers, body) => {
                NetError::from_rejected_handshake(*status, headers, body)
            }
            Self::Closed(code, reason) => NetError::Closed {
                code: *code,
                message: reason.clone(),
            },
            Self::ProtocolViolation(what) => NetError::Malformed {
                what: (*what).into(),
            },
            Self::KeyUnsendable => NetError::InvalidKeyHeader,
            Self::AudioDiscarded => NetError::SocketBroken(
                "the beginning is not kept any more and can't be sent again".into(),
            ),
        }
    }

    /// Whether another session may help.
    pub(super) fn retry_advice(&self) -> RetryAdvice {
        match self {
            // Account, our own mistakes (message, chunk, rate), too many sessions.
            Self::Closed(1008 | 3006 | 3007 | 3009 | 4000..=4003 | 4029 | 4101 | 4102, _)
            | Self::AudioDiscarded => RetryAdvice::Never,
            // Expired: nothing is wrong, a new one may begin at once.
            Self::Closed(3008 | 4008 | 4031, _) => RetryAdvice::AfterDelay(Duration::ZERO),
            _ => self.to_net_error().retry_advice(),
        }
    }

    /// What it means to an utterance.
    pub(super) fn to_speech_error(&self, limit: Duration) -> SpeechError {
        let net = self.to_net_error();
        let Self::Closed(code, reason) = self else {
            return handshake_error(net, limit);
        };
        // Those from 4000 on are of the API before this one; the official packages know them still.
        match code {
            3009 | 4102 => SpeechError::Overloaded(net),
            4001 => SpeechError::KeyRefused(net),
            4002 => SpeechError::QuotaExceeded(net),
            4003 => SpeechError::NotAllowed(net),
            // The same code is used for several refusals.
            1008 if reason.contains_any(&["concurrent"]) => SpeechError::Overloaded(net),
            1008 if is_empty_account_message(reason) => SpeechError::QuotaExceeded(net),
            1008 if is_paid_plan_message(reason) => SpeechError::NotAllowed(net),
            1008 => SpeechError::KeyRefused(net),
            3006 | 3007 | 4000 | 4029 | 4101 => {
                match map_refusal(reason.clone(), None, ApiKind::Streaming) {
                    // A mistake of ours in the middle of a session.
                    SpeechError::Refused {
                        what: RefusedParameter::Request,
                        reason,
                    } => SpeechError::JobFailed { reason },
                    refused => refused,
                }
            }
            _ => SpeechError::Unavailable(net),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_meaning() {
        let table = [
            (1008, "Missing Authorization header", false, "KeyRefused"),
            (1008, "Insufficient account balance", false, "QuotaExceeded"),
            (1008, "Too many concurrent sessions", false, "Overloaded"),
            (1011, "internal error", true, "Unavailable"),
            (1013, "", true, "Unavailable"),
            (3005, "An error occurred", true, "Unavailable"),
            (3006, "Invalid Message", false, "JobFailed"),
            (
                3006,
                "Invalid Message: speech_model whisper-1 is not supported",
                false,
                "Refused { what: Model { setting: \"ASSEMBLYAI_STREAMING_MODEL\" }",
            ),
            (3006, "Model deprecated. See docs", false, "Refused"),
            (4001, "Not Authorized", false, "KeyRefused"),
            (4002, "Insufficient Funds", false, "QuotaExceeded"),
            (4003, "This feature is paid-only", false, "NotAllowed"),
            (4008, "Session Expired", true, "Unavailable"),
            (4029, "Client sent audio too fast", false, "JobFailed"),
            (
                4101,
                "Bad schema: language_codes",
                false,
                "Refused { what: Language",
            ),
            (4102, "Too many streams", false, "Overloaded"),
            (
                1008,
                "This feature is paid-only and needs a credit card",
                false,
                "NotAllowed",
            ),
            (3007, "Rate Exceeded", false, "JobFailed"),
            (3008, "Session Expired", true, "Unavailable"),
            (3009, "Too many concurrent sessions", false, "Overloaded"),
        ];
        for (code, reason, again, meaning) in table {
            let trouble = StreamingError::Closed(code, reason.into());
            assert_eq!(
                trouble.retry_advice() != RetryAdvice::Never,
                again,
                "{code} {reason}"
            );
            let error = format!("{:?}", trouble.to_speech_error(Duration::ZERO));
            assert!(error.starts_with(meaning), "{code} {reason}: {error}");
        }
    }

    #[test]
    fn a_refused_handshake_means_what_its_status_means() {
        let refused = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            StreamingError::HandshakeRejected(status, Box::default(), Vec::new())
        };
        for (status, again, meaning) in [
            (401, false, "KeyRefused"),
            (402, false, "QuotaExceeded"),
            (429, true, "Overloaded"),
            (503, true, "Overloaded"),
            (500, true, "Unavailable"),
        ] {
            assert_eq!(
                refused(status).retry_advice() != RetryAdvice::Never,
                again,
                "{status}"
            );
            let error = format!("{:?}", refused(status).to_speech_error(Duration::ZERO));
            assert!(error.starts_with(meaning), "{status}: {error}");
        }
    }
}
