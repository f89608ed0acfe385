//! Network basics shared by the program's crates: one retry policy, one TLS configuration for
//! websockets, one HTTP client with size limits (feature `http`), and error types that never repeat
//! foreign text.

mod backoff;
#[cfg(feature = "http")]
mod clock_skew;
#[cfg(feature = "http")]
mod error;
#[cfg(feature = "http")]
mod error_body;
mod error_cause;
mod error_code;
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
pub use error_cause::ErrorCause;
pub use error_code::ErrorCode;
#[cfg(feature = "http")]
pub use http::{
    MAX_BODY, check_status, download_client, http_client, is_auth_failure, local_client, read_body,
    read_json,
};
pub use redacted_text::{MAX_REDACTED_TEXT_CHARS, RedactedText, loggable_id, shorten};
pub use retry::{RetryAdvice, RetryAttempts, RetryPolicy, with_retries};
pub use tls::{TlsError, websocket_tls_config};

/// The time limit for establishing a connection (DNS, TCP, TLS).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
