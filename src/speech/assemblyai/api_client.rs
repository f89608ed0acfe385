//! What every request has in common: base URL, key, time limit.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use net::{MAX_BODY, NetError, check_status, read_body};

/// Who asks, in the form of the official SDKs: what the service's support looks for.
pub(super) const USER_AGENT_VALUE: &str = concat!(
    "talkback/",
    env!("CARGO_PKG_VERSION"),
    " AssemblyAI/1.0 (sdk=Talkback/",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// The version of the streaming API that is spoken, as a header and as the official SDKs name it.
pub(super) const STREAMING_VERSION: (&str, &str) = ("assemblyai-version", "2025-05-12");

/// One base URL and the key for it. Cloning is cheap.
#[derive(Clone)]
pub(super) struct ApiClient {
    http: reqwest::Client,
    base: Url,
    /// `None` if the key can't stand in a header, and so can't be right.
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

    /// A request with the key, limited to `limit` from first byte sent to last byte read.
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

    /// A request that anybody may make.
    pub(super) fn request_without_key(
        &self,
        method: Method,
        path: &[&str],
        limit: Duration,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Segments are percent-encoded, so that no id can lead anywhere else.
            segments.pop_if_empty().extend(path);
        }
        self.http
            .request(method, url)
            .header(USER_AGENT, USER_AGENT_VALUE)
            .timeout(limit)
    }
}

/// Sends the request; anything but 2xx is an error.
pub(super) async fn send_checked(request: RequestBuilder) -> Result<Response, NetError> {
    check_status(request.send().await?).await
}

/// Sends the request for its status alone. The body is read all the same: a connection with
/// something left to read is not used again.
pub(super) async fn send_discarding_body(request: RequestBuilder) -> Result<(), NetError> {
    read_body(send_checked(request).await?, MAX_BODY)
        .await
        .map(drop)
}
