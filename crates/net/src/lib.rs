//! One backoff, one TLS configuration, one HTTP client with bounded bodies (feature `http`), and errors
//! that never repeat what somebody said.

mod backoff;
#[cfg(feature = "http")]
mod clock_skew;
#[cfg(feature = "http")]
mod error;
#[cfg(feature = "http")]
mod error_body;
#[cfg(feature = "http")]
mod http;
mod redacted_text;
mod retry;
mod tls;
pub mod udp_check;

use std::time::Duration;

pub use backoff::Backoff;
#[cfg(feature = "http")]
pub use clock_skew::ClockSkew;
#[cfg(feature = "http")]
pub use error::NetError;
#[cfg(feature = "http")]
pub use http::{
    MAX_BODY, check_status, download_client, http_client, is_auth_failure, local_client, read_body,
    read_json,
};
pub use redacted_text::{
    ErrorCause, ErrorCode, MAX_REDACTED_TEXT_CHARS, RedactedText, loggable_id, shorten,
};
pub use retry::{RetryAdvice, RetryAttempts, RetryPolicy, with_retries};
pub use tls::{TlsError, websocket_tls_config};

/// How long a connection may take to come about (DNS, TCP, TLS).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
