//! Errors of a live session: whether to retry, and what they mean for an utterance.
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

/// Why a session could not start or continue. `Clone`, since it is reported for each utterance.
#[derive(Clone, Debug)]
pub(super) enum StreamingError {
    /// The connection could not be established.
    ConnectFailed(ErrorCause),
    /// The connection broke or became silent.
    Disconnected(ErrorCause),
    /// The handshake was answered with a status other than 101.
    HandshakeRejected(StatusCode, Box<HeaderMap>, Vec<u8>),
    /// The service closed the session, with this code and reason.
    Closed(u16, RedactedText),
    /// The service sent messages that are malformed or too large.
    ProtocolViolation(&'static str),
    /// The key is not a valid header value.
    KeyUnsendable,
    /// The start of the utterance is no longer buffered, so it can't be sent again.
    AudioDiscarded,
}

impl StreamingError {
    /// The session did not begin in time.
    pub(super) fn connect_timed_out() -> Self {
        Self::ConnectFailed("no answer in time".into())
    }

    /// The service no longer responds.
    pub(super) fn unresponsive() -> Self {
        Self::Disconnected("no sign of life".into())
    }

    /// TLS is not available.
    pub(super) fn no_tls(error: &TlsError) -> Self {
        Self::ConnectFailed(ErrorCause::from_error(error))
    }

    /// Maps the error of a handshake.
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

    /// Maps the error of an open socket.
    pub(super) fn from_socket(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::ProtocolViolation("a message is too large"),
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )
            | Error::ConnectionClosed
            | Error::AlreadyClosed => Self::Disconnected("closed without a close frame".into()),
            Error::Protocol(_) | Error::Utf8 | Error::AttackAttempt => {
                Self::ProtocolViolation("invalid frames")
            }
            other => Self::Disconnected(ErrorCause::from_error(other)),
        }
    }

    /// The error as a failed exchange.
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
            Self::AudioDiscarded => {
                NetError::SocketBroken("the start of the utterance is no longer kept".into())
            }
        }
    }

    /// Whether a new session may help.
    pub(super) fn retry_advice(&self) -> RetryAdvice {
        match self {
            // Account problems, our own mistakes (message, chunk, rate), too many sessions.
            Self::Closed(1008 | 3006 | 3007 | 3009 | 4000..=4003 | 4029 | 4101 | 4102, _)
            | Self::AudioDiscarded => RetryAdvice::Never,
            // Session expired: nothing is wrong, and a new one may start at once.
            Self::Closed(3008 | 4008 | 4031, _) => RetryAdvice::AfterDelay(Duration::ZERO),
            _ => self.to_net_error().retry_advice(),
        }
    }

    /// What the error means for an utterance.
    pub(super) fn to_speech_error(&self, limit: Duration) -> SpeechError {
        let net = self.to_net_error();
        let Self::Closed(code, reason) = self else {
            return handshake_error(net, limit);
        };
        // Codes from 4000 on are from the previous API version; the official SDKs still know them.
        match code {
            3009 | 4102 => SpeechError::Overloaded(net),
            4001 => SpeechError::KeyRefused(net),
            4002 => SpeechError::QuotaExceeded(net),
            4003 => SpeechError::NotAllowed(net),
            // The service uses 1008 for several kinds of rejection.
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
    fn close_codes_are_classified() {
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
        for (code, reason, retryable, meaning) in table {
            let error = StreamingError::Closed(code, reason.into());
            assert_eq!(
                error.retry_advice() != RetryAdvice::Never,
                retryable,
                "{code} {reason}"
            );
            let error = format!("{:?}", error.to_speech_error(Duration::ZERO));
            assert!(error.starts_with(meaning), "{code} {reason}: {error}");
        }
    }

    #[test]
    fn rejected_handshakes_are_classified_by_status() {
        let rejected = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            StreamingError::HandshakeRejected(status, Box::default(), Vec::new())
        };
        for (status, retryable, meaning) in [
            (401, false, "KeyRefused"),
            (402, false, "QuotaExceeded"),
            (429, true, "Overloaded"),
            (503, true, "Overloaded"),
            (500, true, "Unavailable"),
        ] {
            assert_eq!(
                rejected(status).retry_advice() != RetryAdvice::Never,
                retryable,
                "{status}"
            );
            let error = format!("{:?}", rejected(status).to_speech_error(Duration::ZERO));
            assert!(error.starts_with(meaning), "{status}: {error}");
        }
    }
}
