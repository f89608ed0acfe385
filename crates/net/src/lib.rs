//! One backoff, one TLS configuration, one HTTP client with bounded bodies (feature `http`), and errors
//! that never repeat what somebody said.

#[cfg(feature = "http")]
mod clock;
#[cfg(feature = "http")]
mod error;
mod foreign;
#[cfg(feature = "http")]
mod http;
mod retry;
#[cfg(feature = "http")]
mod said;
mod tls;
pub mod udp;

use std::time::Duration;

#[cfg(feature = "http")]
pub use clock::Skew;
#[cfg(feature = "http")]
pub use error::NetError;
pub use foreign::{Cause, Code, ForeignText, MAX_PROVIDER_WORDS, plain_id, shorten};
#[cfg(feature = "http")]
pub use http::{
    MAX_BODY, check_status, client, download_client, local_client, read_body, read_json,
    refuses_key,
};
pub use retry::{Retry, RetryPolicy, Tries, retrying};
pub use tls::{NoTls, websocket_tls};

/// How long a connection may take to come about (DNS, TCP, TLS).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
