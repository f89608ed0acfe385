//! Diagnostics that need no gateway session: facts about the token, the registered commands and
//! permissions. They change nothing.

mod commands;
mod permissions;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serenity::all::{Channel, ChannelId, GuildChannel, Http, Route};
use tokio::time::timeout;

pub use self::commands::CommandDiff;
pub use self::permissions::{ChannelPermissions, GuildList, GuildPermissions};
use super::api_error::ApiError;
use super::decode;
use super::gateway::{GatewayConnectError, GatewaySocket};
use super::message_parser::display_name;
use super::rest::{self, RestConfig, get_json, has_message_content_intent};
use net::{ClockSkew, ErrorCause};

/// Time limit for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a fact could not be found out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DiagnosticsError {
    /// The token is invalid or was revoked.
    #[error("the token is refused")]
    TokenRefused,
    /// Discord does not answer, or answers with a server error.
    #[error("unreachable: {0}")]
    Unreachable(ErrorCause),
    /// Discord rejects the request.
    #[error("refused: {0}")]
    Refused(ErrorCause),
}

impl From<ApiError> for DiagnosticsError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unauthorized => Self::TokenRefused,
            ApiError::Transient(cause) => Self::Unreachable(cause),
            error => Self::Refused(error.cause()),
        }
    }
}

impl From<GatewayConnectError> for DiagnosticsError {
    fn from(error: GatewayConnectError) -> Self {
        Self::Unreachable(error.0)
    }
}

/// Asks Discord over REST.
pub struct Diagnostics {
    http: Arc<Http>,
}

/// The account that the token belongs to.
#[derive(Clone, Debug)]
pub struct BotAccount {
    /// The application's id.
    pub application_id: u64,
    /// The application's name.
    pub application_name: String,
    /// Id of the bot's user.
    pub bot_user_id: u64,
    /// Display name of the bot's user.
    pub bot_name: String,
    /// Whether the message content intent is enabled.
    pub message_content_enabled: bool,
    /// The difference between this machine's clock and Discord's.
    pub clock_skew: Option<ClockSkew>,
}

/// The gateway, and how many sessions may be started.
#[derive(Clone, Debug)]
pub struct GatewayInfo {
    /// Its URL.
    pub url: String,
    /// How many shards Discord recommends.
    pub recommended_shards: u32,
    /// Session starts remaining today, their daily total, and the time until they reset.
    pub session_starts: (u64, u64, Duration),
}

impl Diagnostics {
    /// Prepares the REST client; sends no request.
    #[must_use]
    pub fn new(token: SecretString, proxy: Option<String>, client: reqwest::Client) -> Self {
        let rest_config = RestConfig {
            token,
            proxy,
            http_client: client,
        };
        Self {
            http: Arc::new(rest_config.build_http()),
        }
    }

    /// Fetches the account that the token belongs to.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn account(&self) -> Result<BotAccount, DiagnosticsError> {
        let request = async {
            let (application, clock_skew) = rest::get_application(&self.http).await?;
            let user = rest::get_current_user(&self.http).await?;
            Ok((application, user, clock_skew))
        };
        let (application, user, clock_skew) = with_timeout(request).await?;
        self.http.set_application_id(application.id);
        Ok(BotAccount {
            application_id: application.id.get(),
            message_content_enabled: has_message_content_intent(&application),
            application_name: application.name,
            bot_user_id: user.id.get(),
            bot_name: display_name(&user, None),
            clock_skew,
        })
    }

    /// Fetches the gateway's URL and the session start limit.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn gateway_info(&self) -> Result<GatewayInfo, DiagnosticsError> {
        let found = with_timeout(rest::get_gateway_bot(&self.http)).await?;
        let limit = found.session_start_limit;
        Ok(GatewayInfo {
            url: found.url,
            recommended_shards: found.shards,
            session_starts: (
                limit.remaining.into(),
                limit.total.into(),
                Duration::from_millis(limit.reset_after.into()),
            ),
        })
    }

    pub(super) async fn get_guild_channel(
        &self,
        id: u64,
    ) -> Result<Option<GuildChannel>, ApiError> {
        let channel_id = ChannelId::new(id);
        let found = with_timeout(get_json(&self.http, Route::Channel { channel_id })).await?;
        match decode::channel_object(&found)? {
            Channel::Guild(channel) => Ok(Some(channel)),
            _ => Ok(None),
        }
    }
}

/// Connects to the gateway and waits for its Hello event. Starts no session.
///
/// # Errors
///
/// [`DiagnosticsError::Unreachable`].
pub async fn check_gateway_hello(url: &str) -> Result<(), DiagnosticsError> {
    let mut socket = GatewaySocket::connect(url).await?;
    let first = timeout(REQUEST_TIMEOUT, socket.next_frame()).await;
    socket.close(1_000).await;
    match first {
        Ok(Ok(Some(text))) => {
            let frame = decode::parse_lenient(&text).unwrap_or_default();
            let hello = frame["op"] == 10;
            hello
                .then_some(())
                .ok_or_else(|| unreachable_error("no greeting"))
        }
        Ok(_) => Err(unreachable_error("no greeting")),
        Err(_) => Err(unreachable_error("no answer in time")),
    }
}

fn unreachable_error(cause: impl Into<ErrorCause>) -> DiagnosticsError {
    DiagnosticsError::Unreachable(cause.into())
}

async fn with_timeout<T>(
    request: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(done) => done,
        Err(_) => Err(ApiError::Transient("no answer in time".into())),
    }
}
