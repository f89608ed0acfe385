//! The one HTTP client, and bodies that end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::{Response, StatusCode};

use crate::CONNECT_TIMEOUT;
use crate::error::{self, NetError};

/// The largest body of an answer that is kept in memory, unless a caller says less: 16 MiB.
/// The transcript of a ten-hour recording with word times has about 10 MB.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// The largest body of an error that is read: 64 KiB.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The client every provider is reached through: rustls, keep-alive, no redirects.
///
/// Redirects are not followed since a key would go along. Requests set their own time limit:
/// a total limit here would cut streams.
pub fn http_client() -> Result<reqwest::Client, NetError> {
    client_builder().build().map_err(NetError::from)
}

/// The same for files that are fetched: given up after so long without a byte.
///
/// # Errors
///
/// As [`client`].
pub fn download_client(stall: Duration) -> Result<reqwest::Client, NetError> {
    let client = client_builder().read_timeout(stall).build();
    client.map_err(NetError::from)
}

/// The same for what runs on this machine, which no proxy leads to.
///
/// # Errors
///
/// As [`client`].
pub fn local_client() -> Result<reqwest::Client, NetError> {
    client_builder().no_proxy().build().map_err(NetError::from)
}

fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("talkback/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
}

/// The response itself if its status is 2xx, else the error it stands for, with a bounded
/// part of the body.
pub async fn check_status(response: Response) -> Result<Response, NetError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = error::ErrorHeaders::parse(response.headers());
    // The status says enough if the body does not arrive.
    let body = read_truncated(response, MAX_ERROR_BODY)
        .await
        .unwrap_or_default();
    Err(NetError::from_status(status, headers, &body))
}

/// The whole body, at most `limit` bytes of it: a longer one is an error.
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

/// The body as JSON, at most [`MAX_BODY_BYTES`] bytes of it.
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

/// Whether a status means that the key does not open this door.
pub fn is_auth_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}
