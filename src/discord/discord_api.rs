//! REST calls that send, edit, delete and read messages, channels, members and servers.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serenity::all::{
    Builder, ButtonStyle, Channel, ChannelId, CreateActionRow, CreateAllowedMentions,
    CreateAttachment, CreateButton, CreateMessage, EditAttachments, EditInteractionResponse,
    EditMessage, GuildChannel, GuildId, Http, LightMethod, Member, Message, MessageFlags,
    MessageId, MessageReference, MessageReferenceKind, Nonce, PartialGuild, Request, RoleId, Route,
    UserId,
};

use super::api_error::{ApiError, unreadable_response};
use super::decode;
use super::dm_limiter::DirectMessageLimiter;
use super::global_rate_limiter::GlobalRateLimiter;
use super::rest::{get_json, request_json};
use crate::store::JobId;
use crate::ui_text::{bot as words, voice_session};

/// Discord's limit for the content of a message, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 2_000;

/// Time limit for one request, including waits for a rate limit.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Custom id prefix of the retry button.
pub(super) const RETRY_BUTTON_PREFIX: &str = "again:";
/// Custom id prefix of the delete button.
pub(super) const DELETE_BUTTON_PREFIX: &str = "delete:";
/// Custom id of the button that agrees to be transcribed in this server's voice channels.
pub(super) const CONSENT_BUTTON_ID: &str = "voice:yes";
/// Custom id of the button that declines.
pub(super) const DECLINE_BUTTON_ID: &str = "voice:no";
/// Custom id of the button that checks whether the bot hears the user.
pub(super) const HEARING_CHECK_BUTTON_ID: &str = "voice:check";

/// A message to send, or to edit into an existing one.
#[derive(Clone, Default, PartialEq)]
pub(super) struct OutgoingMessage {
    pub(super) content: String,
    pub(super) files: Vec<TextFile>,
    /// Buttons below the text.
    pub(super) buttons: Option<Buttons>,
}

/// Buttons below a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Buttons {
    /// Below an answer: try again, delete.
    Answer(JobId),
    /// Below the notice of a voice session: agree, decline.
    Consent,
    /// Below the report of a voice session: check whether the bot hears the user.
    HearingCheck,
}

/// A text file to attach.
#[derive(Clone, PartialEq)]
pub(super) struct TextFile {
    pub(super) name: String,
    pub(super) text: String,
}

impl OutgoingMessage {
    pub(super) fn text(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            ..Self::default()
        }
    }

    fn attachments(&self) -> Vec<CreateAttachment> {
        self.files
            .iter()
            .map(|file| CreateAttachment::bytes(file.text.clone().into_bytes(), file.name.clone()))
            .collect()
    }

    pub(super) fn components(&self) -> Vec<CreateActionRow> {
        let button = |id: String, label: &str| {
            CreateButton::new(id)
                .label(label)
                .style(ButtonStyle::Secondary)
        };
        let buttons = match self.buttons {
            None => return Vec::new(),
            Some(Buttons::Answer(JobId(job))) => vec![
                button(format!("{RETRY_BUTTON_PREFIX}{job}"), words::TRY_AGAIN),
                button(format!("{DELETE_BUTTON_PREFIX}{job}"), words::DELETE),
            ],
            Some(Buttons::Consent) => vec![
                button(CONSENT_BUTTON_ID.to_owned(), voice_session::AGREE)
                    .style(ButtonStyle::Primary),
                button(DECLINE_BUTTON_ID.to_owned(), voice_session::DECLINE),
            ],
            Some(Buttons::HearingCheck) => vec![button(
                HEARING_CHECK_BUTTON_ID.to_owned(),
                voice_session::CHECK_BUTTON,
            )],
        };
        vec![CreateActionRow::Buttons(buttons)]
    }
}

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
    /// Creates a message exactly once: Discord returns the existing message for a nonce used in the
    /// last few minutes. Fails if the message it replies to is gone.
    pub(super) async fn create_message(
        &self,
        channel: u64,
        reply_to: Option<u64>,
        nonce: &str,
        outgoing: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let mut message = CreateMessage::new()
            .content(&outgoing.content)
            .components(outgoing.components())
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(no_mentions())
            .nonce(Nonce::String(nonce.to_owned()))
            .enforce_nonce(true);
        if let Some(reply_to) = reply_to {
            message = message.reference_message(
                MessageReference::new(MessageReferenceKind::Default, ChannelId::new(channel))
                    .message_id(MessageId::new(reply_to))
                    .fail_if_not_exists(true),
            );
        }
        let channel_id = ChannelId::new(channel);
        self.rate_limiter.acquire().await;
        let bare = message.clone();
        if !outgoing.files.is_empty() {
            let whole = message.files(outgoing.attachments());
            match with_timeout(channel_id.send_message(&self.http, whole)).await {
                Ok(sent) => return Ok(sent.id.get()),
                // It was sent; a request with the same nonce returns it again.
                Err(error) if error == unreadable_response() => {}
                Err(error) => return Err(error),
            }
        }
        let route = Route::ChannelMessages { channel_id };
        self.request_message_id(route, LightMethod::Post, &bare)
            .await
    }

    /// Sends or edits a message without files and returns its id.
    async fn request_message_id(
        &self,
        route: Route<'_>,
        method: LightMethod,
        message: &impl Serialize,
    ) -> Result<u64, ApiError> {
        let body = serde_json::to_vec(message).map_err(|_| unreadable_response())?;
        let request = Request::new(route, method).body(Some(body));
        let response = with_timeout(request_json(&self.http, request)).await?;
        Ok(decode::message_id(&response)?.get())
    }

    /// Replaces one of the bot's messages with `outgoing`.
    pub(super) async fn edit_message(
        &self,
        channel: u64,
        message: u64,
        outgoing: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let edit = EditMessage::new()
            .content(&outgoing.content)
            .components(outgoing.components())
            .attachments(edit_attachments(outgoing))
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(no_mentions());
        let channel = ChannelId::new(channel);
        let id = MessageId::new(message);
        self.rate_limiter.acquire().await;
        match with_timeout(channel.edit_message(&self.http, id, edit)).await {
            Ok(edited) => Ok(edited.id.get()),
            // It was edited, even if the response can't be decoded.
            Err(error) if error == unreadable_response() => Ok(message),
            Err(error) => Err(error),
        }
    }

    /// Replaces a command's response with `outgoing`. Returns the message id.
    pub(super) async fn edit_response(
        &self,
        token: &str,
        outgoing: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let edit = EditInteractionResponse::new()
            .content(&outgoing.content)
            .components(outgoing.components())
            .attachments(edit_attachments(outgoing))
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(no_mentions());
        match with_timeout(edit.execute(&self.http, token)).await {
            Ok(edited) => Ok(edited.id.get()),
            // It was edited; its id can be requested separately.
            Err(error) if error == unreadable_response() => self.response_message_id(token).await,
            Err(error) => Err(error),
        }
    }

    /// The id of the message that shows a command's response.
    async fn response_message_id(&self, token: &str) -> Result<u64, ApiError> {
        let application_id = self.http.application_id();
        let Some(application_id) = application_id else {
            return Err(unreadable_response());
        };
        let route = Route::WebhookOriginalInteractionResponse {
            application_id,
            token,
        };
        let response = with_timeout(get_json(&self.http, route)).await?;
        Ok(decode::message_id(&response)?.get())
    }

    /// Deletes the original response to an interaction. Succeeds if it is already gone.
    pub(super) async fn delete_original_response(&self, token: &str) -> Result<(), ApiError> {
        let deleted = with_timeout(self.http.delete_original_interaction_response(token)).await;
        match deleted {
            Err(ApiError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Opens the direct message channel with a user and returns its id.
    pub(super) async fn create_dm_channel(&self, user: u64) -> Result<u64, ApiError> {
        self.rate_limiter.acquire().await;
        let body = serde_json::json!({"recipient_id": user.to_string()}).to_string();
        let request = Request::new(Route::UserMeDmChannels, LightMethod::Post);
        let request = request.body(Some(body.into_bytes()));
        let channel = with_timeout(request_json(&self.http, request)).await?;
        Ok(decode::message_id(&channel)?.get())
    }

    /// Deletes one of the bot's messages. Succeeds if it is already gone.
    pub(super) async fn delete_message(&self, channel: u64, message: u64) -> Result<(), ApiError> {
        let channel = ChannelId::new(channel);
        self.rate_limiter.acquire().await;
        let deleted =
            with_timeout(channel.delete_message(&self.http, MessageId::new(message))).await;
        match deleted {
            Err(ApiError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Deletes a message of a command's response. Succeeds if it is already gone.
    pub(super) async fn delete_response_message(
        &self,
        token: &str,
        message: u64,
    ) -> Result<(), ApiError> {
        let http = &self.http;
        let deleted = http.delete_followup_message(token, MessageId::new(message));
        match with_timeout(deleted).await {
            Err(ApiError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Fetches a message, with fresh attachment URLs.
    pub(super) async fn get_message(
        &self,
        channel: u64,
        message: u64,
    ) -> Result<Message, ApiError> {
        let route = Route::ChannelMessage {
            channel_id: ChannelId::new(channel),
            message_id: MessageId::new(message),
        };
        self.rate_limiter.acquire().await;
        Ok(decode::message(
            &with_timeout(get_json(&self.http, route)).await?,
        )?)
    }

    /// Fetches up to 100 messages after this one, oldest first.
    pub(super) async fn get_messages_after(
        &self,
        channel: u64,
        message: u64,
    ) -> Result<Vec<Message>, ApiError> {
        let route = Route::ChannelMessages {
            channel_id: ChannelId::new(channel),
        };
        let page = vec![("limit", 100.to_string()), ("after", message.to_string())];
        let request = Request::new(route, LightMethod::Get).params(Some(page));
        self.rate_limiter.acquire().await;
        let mut found = decode::messages(&with_timeout(request_json(&self.http, request)).await?)?;
        found.sort_by_key(|message| message.id);
        Ok(found)
    }
}

impl DiscordApi {
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

fn no_mentions() -> CreateAllowedMentions {
    CreateAllowedMentions::new()
}

/// All files that the message should have. Existing attachments are replaced, so a repeated edit
/// does not attach them twice.
fn edit_attachments(outgoing: &OutgoingMessage) -> EditAttachments {
    outgoing
        .attachments()
        .into_iter()
        .fold(EditAttachments::new(), EditAttachments::add)
}

pub(super) async fn with_timeout<T, E: Into<ApiError>>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ApiError::Transient("no answer in time".into())),
    }
}
