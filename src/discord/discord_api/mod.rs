//! Discord's REST API as the bot uses it. `messages` has the calls for messages.

mod messages;
mod outgoing_message;

use std::sync::Arc;
use std::time::Duration;

use serenity::all::{
    Channel, ChannelId, GuildChannel, GuildId, Http, LightMethod, Member, PartialGuild, Request,
    RoleId, Route, UserId,
};

pub(super) use self::outgoing_message::{
    Buttons, CONSENT_BUTTON_ID, DECLINE_BUTTON_ID, DELETE_BUTTON_PREFIX, HEARING_CHECK_BUTTON_ID,
    MAX_MESSAGE_CHARS, OutgoingMessage, RETRY_BUTTON_PREFIX, TextFile,
};
use super::api_error::ApiError;
use super::decode;
use super::dm_limiter::DirectMessageLimiter;
use super::global_rate_limiter::GlobalRateLimiter;
use super::rest::{get_json, request_json};

/// Time limit for one request, including waits for a rate limit.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Discord's REST API. Messages it sends mention nobody and show no embeds.
pub(super) struct DiscordApi {
    pub(super) http: Arc<Http>,
    /// The bot's own user.
    pub(super) bot_user: UserId,
    /// Limits all requests except responses to interactions.
    pub(super) rate_limiter: GlobalRateLimiter,
    pub(super) dm_limiter: DirectMessageLimiter,
}

impl DiscordApi {
    /// Opens the direct message channel with a user and returns its id.
    pub(super) async fn create_dm_channel(&self, user: u64) -> Result<u64, ApiError> {
        self.rate_limiter.acquire().await;
        let body = serde_json::json!({"recipient_id": user.to_string()}).to_string();
        let request = Request::new(Route::UserMeDmChannels, LightMethod::Post);
        let request = request.body(Some(body.into_bytes()));
        let channel = with_timeout(request_json(&self.http, request)).await?;
        Ok(decode::message_id(&channel)?.get())
    }

    pub(super) async fn get_channel(&self, channel: u64) -> Result<Channel, ApiError> {
        let channel_id = ChannelId::new(channel);
        self.rate_limiter.acquire().await;
        let response = with_timeout(get_json(&self.http, Route::Channel { channel_id })).await?;
        Ok(decode::channel_object(&response)?)
    }

    pub(super) async fn get_member_roles(
        &self,
        guild: GuildId,
        user: UserId,
    ) -> Result<Vec<RoleId>, ApiError> {
        Ok(self.get_member(guild, user).await?.roles)
    }

    pub(super) async fn get_member(
        &self,
        guild: GuildId,
        user: UserId,
    ) -> Result<Member, ApiError> {
        let route = Route::GuildMember {
            guild_id: guild,
            user_id: user,
        };
        self.rate_limiter.acquire().await;
        Ok(decode::member(
            &with_timeout(get_json(&self.http, route)).await?,
        )?)
    }

    /// Fetches a server with its roles.
    pub(super) async fn get_guild(&self, guild: GuildId) -> Result<PartialGuild, ApiError> {
        let route = Route::Guild { guild_id: guild };
        self.rate_limiter.acquire().await;
        Ok(decode::partial_guild(
            &with_timeout(get_json(&self.http, route)).await?,
        )?)
    }

    /// Sets the bot's own nickname in a server; `None` removes it.
    pub(super) async fn set_own_nickname(
        &self,
        guild: GuildId,
        name: Option<&str>,
    ) -> Result<(), ApiError> {
        self.rate_limiter.acquire().await;
        with_timeout(self.http.edit_nickname(guild, name, None)).await
    }

    /// Fetches the active threads of a server.
    pub(super) async fn get_active_threads(
        &self,
        guild: GuildId,
    ) -> Result<Vec<GuildChannel>, ApiError> {
        let route = Route::GuildThreadsActive { guild_id: guild };
        self.rate_limiter.acquire().await;
        Ok(decode::threads(
            &with_timeout(get_json(&self.http, route)).await?,
        )?)
    }
}

pub(super) async fn with_timeout<T, E: Into<ApiError>>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ApiError::Transient("no answer in time".into())),
    }
}
