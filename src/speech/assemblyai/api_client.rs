//! What all HTTP requests have in common: base URL, key, time limit.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use net::{MAX_BODY, NetError, check_status, read_body};

/// In the form of the official SDKs, which AssemblyAI's support looks for.
pub(super) const USER_AGENT_VALUE: &str = concat!(
    "talkback/",
    env!("CARGO_PKG_VERSION"),
    " AssemblyAI/1.0 (sdk=Talkback/",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// The version of the streaming API, as header name and value, as the official SDKs send it.
pub(super) const STREAMING_VERSION: (&str, &str) = ("assemblyai-version", "2025-05-12");

/// A client for one base URL and its key. Cheap to clone.
#[derive(Clone)]
pub(super) struct ApiClient {
    http: reqwest::Client,
    base: Url,
    /// `None` if the key is not a valid header value, and so can't be a valid key.
    key: Option<HeaderValue>,
}

impl ApiClient {
    pub(super) fn new(http: reqwest::Client, base: &Url, key: &SecretString) -> Self {
        let key = HeaderValue::from_str(key.expose_secret())
            .ok()
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        Self {
            http,
            base: base.clone(),
            key,
        }
    }

    /// A request with the key, limited to `limit` from the first byte sent to the last byte read.
    pub(super) fn request(
        &self,
        method: Method,
        path: &[&str],
        limit: Duration,
    ) -> Result<RequestBuilder, NetError> {
        let key = self.key.clone().ok_or(NetError::InvalidKeyHeader)?;
        Ok(self
            .request_without_key(method, path, limit)
            .header(AUTHORIZATION, key))
    }

    /// A request without the key.
    pub(super) fn request_without_key(
        &self,
        method: Method,
        path: &[&str],
        limit: Duration,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Segments are percent-encoded, so that no id can change the path.
            segments.pop_if_empty().extend(path);
        }
        self.http
            .request(method, url)
            .header(USER_AGENT, USER_AGENT_VALUE)
            .timeout(limit)
    }
}

/// Sends the request; any status but 2xx is an error.
pub(super) async fn send_checked(request: RequestBuilder) -> Result<Response, NetError> {
    check_status(request.send().await?).await
}

/// Sends the request for its status only. Still reads the body: a connection with unread data can't
/// be reused.
pub(super) async fn send_discarding_body(request: RequestBuilder) -> Result<(), NetError> {
    read_body(send_checked(request).await?, MAX_BODY)
        .await
        .map(drop)
}
