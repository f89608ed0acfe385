//! REST requests: serenity sends them and obeys the rate limits, [`decode`] parses the responses.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use serenity::all::{
    ApplicationFlags, CreateAllowedMentions, Http, HttpBuilder, LightMethod, Request, Route,
};

use super::api_error::{ApiError, RejectionReason, unreadable_response};
use super::decode::{self, Application, GatewayBot, Undecodable, parse_lenient};
use net::{self, ClockSkew, ErrorCause};

impl From<Undecodable> for ApiError {
    /// Another request would get the same response, so this is permanent.
    fn from(error: Undecodable) -> Self {
        let cause = ErrorCause::from(error.what).with_detail("can't be read");
        Self::Rejected(RejectionReason::InvalidForm, cause)
    }
}

/// How to reach the REST API.
pub(super) struct RestConfig {
    pub(super) token: SecretString,
    pub(super) proxy: Option<String>,
    pub(super) http_client: reqwest::Client,
}

impl RestConfig {
    pub(super) fn build_http(&self) -> Http {
        let mut builder = HttpBuilder::new(self.token.expose_secret())
            .client(self.http_client.clone())
            .default_allowed_mentions(CreateAllowedMentions::new());
        if let Some(proxy) = &self.proxy {
            // serenity ignores the proxy as long as its own rate limiter is on.
            builder = builder
                .proxy(proxy.trim_end_matches('/'))
                .ratelimiter_disabled(true);
        }
        builder.build()
    }
}

/// Sends a request and returns the JSON response.
pub(super) async fn request_json(http: &Http, request: Request<'_>) -> Result<Value, ApiError> {
    let response = http.request(request).await?;
    read_json(response).await
}

async fn read_json(response: reqwest::Response) -> Result<Value, ApiError> {
    let body = net::read_body(response, net::MAX_BODY).await;
    let body = body.map_err(|_| ApiError::Transient("the answer broke off".into()))?;
    parse_lenient(&String::from_utf8_lossy(&body)).map_err(|_| unreadable_response())
}

/// Sends a request and ignores the response body.
pub(super) async fn send_request(http: &Http, request: Request<'_>) -> Result<(), ApiError> {
    http.request(request).await?;
    Ok(())
}

/// Sends a GET request and returns the JSON response.
pub(super) async fn get_json(http: &Http, route: Route<'_>) -> Result<Value, ApiError> {
    request_json(http, Request::new(route, LightMethod::Get)).await
}

/// Fetches the bot's application, and the difference between this machine's clock and Discord's.
pub(super) async fn get_application(
    http: &Http,
) -> Result<(Application, Option<ClockSkew>), ApiError> {
    let request = Request::new(Route::Oauth2ApplicationCurrent, LightMethod::Get);
    let response = http.request(request).await?;
    let skew = ClockSkew::from_headers(response.headers());
    let application = decode::application(&read_json(response).await?)?;
    Ok((application, skew))
}

pub(super) async fn get_current_user(http: &Http) -> Result<serenity::all::User, ApiError> {
    Ok(decode::user(&get_json(http, Route::UserMe).await?)?)
}

/// Fetches the gateway's URL, shard count and session start limit.
pub(super) async fn get_gateway_bot(http: &Http) -> Result<GatewayBot, ApiError> {
    Ok(decode::gateway_bot(
        &get_json(http, Route::GatewayBot).await?,
    )?)
}

/// Whether the application has the message content intent.
pub(super) fn has_message_content_intent(application: &Application) -> bool {
    // Unknown flag bits are irrelevant here.
    let flags = application.flags;
    let flags = ApplicationFlags::from_bits_truncate(flags as _);
    flags.intersects(
        ApplicationFlags::GATEWAY_MESSAGE_CONTENT
            | ApplicationFlags::GATEWAY_MESSAGE_CONTENT_LIMITED,
    )
}
