//! The HTTP client and size limits for response bodies.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::{Response, StatusCode};

use crate::CONNECT_TIMEOUT;
use crate::error::{self, NetError};

/// The largest response body that is kept in memory, unless a caller sets a lower limit: 16 MiB.
/// The transcript of a ten-hour recording with word times has about 10 MB.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// The largest part of an error body that is read: 64 KiB.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The client for all providers: rustls, keep-alive, no redirects.
///
/// Redirects are not followed, since the API key would be sent along. Requests set their own time
/// limit; a total limit here would cut off streams.
///
/// # Errors
///
/// If TLS can't be set up.
pub fn http_client() -> Result<reqwest::Client, NetError> {
    client_builder().build().map_err(NetError::from)
}

/// A client for downloads: fails after `stall` without a byte.
///
/// # Errors
///
/// As [`http_client`].
pub fn download_client(stall: Duration) -> Result<reqwest::Client, NetError> {
    let client = client_builder().read_timeout(stall).build();
    client.map_err(NetError::from)
}

/// A client for servers on this machine: uses no proxy.
///
/// # Errors
///
/// As [`http_client`].
pub fn local_client() -> Result<reqwest::Client, NetError> {
    client_builder().no_proxy().build().map_err(NetError::from)
}

fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("talkback/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
}

/// Returns the response if its status is 2xx.
///
/// # Errors
///
/// [`NetError::Status`] for any other status, with what the first 64 KiB of the body say.
pub async fn check_status(response: Response) -> Result<Response, NetError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = error::ErrorHeaders::parse(response.headers());
    // If the body does not arrive, the status has to do.
    let body = read_truncated(response, MAX_ERROR_BODY)
        .await
        .unwrap_or_default();
    Err(NetError::from_status(status, headers, &body))
}

/// Reads the whole body.
///
/// # Errors
///
/// [`NetError::TooLarge`] if it has more than `limit` bytes; another [`NetError`] if it does not
/// arrive.
pub async fn read_body(response: Response, limit: usize) -> Result<Bytes, NetError> {
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(NetError::TooLarge { limit });
    }
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > limit {
            return Err(NetError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Reads the body, at most [`MAX_BODY`] bytes, as JSON.
///
/// # Errors
///
/// As [`read_body`], and [`NetError::Malformed`] if it is not the JSON that is expected.
pub async fn read_json<T: serde::de::DeserializeOwned>(response: Response) -> Result<T, NetError> {
    let body = read_body(response, MAX_BODY).await?;
    serde_json::from_slice(&body).map_err(|error| NetError::malformed(&error))
}

async fn read_truncated(response: Response, limit: usize) -> Result<Bytes, NetError> {
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    while body.len() < limit {
        let Some(chunk) = stream.next().await else {
            break;
        };
        body.extend_from_slice(&chunk?);
    }
    body.truncate(limit);
    Ok(body.freeze())
}

/// Whether the status means that the API key is not accepted (401 or 403).
pub fn is_auth_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}
