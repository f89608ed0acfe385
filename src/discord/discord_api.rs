//! Sends, edits and deletes messages.

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
use super::global_rate_limiter::GlobalRateLimiter;
use super::message_delivery::DirectMessageLimiter;
use super::rest::{get_json, request_json};
use crate::store::JobId;
use crate::ui_text::{bot as words, voice_session};

/// What Discord takes in one message, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 2_000;

/// The longest time for one request, waiting for a rate limit included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// The beginning of what a button calls: try again.
pub(super) const RETRY_BUTTON_PREFIX: &str = "again:";
/// The beginning of what a button calls: delete.
pub(super) const DELETE_BUTTON_PREFIX: &str = "delete:";
/// What a button calls: to be written down in calls of this server.
pub(super) const CONSENT_BUTTON_ID: &str = "voice:yes";
/// What a button calls: not to be.
pub(super) const DECLINE_BUTTON_ID: &str = "voice:no";
/// What a button calls: can you hear me?
pub(super) const HEARING_CHECK_BUTTON_ID: &str = "voice:check";

/// A message to be sent, or to take the place of one.
#[derive(Clone, Default, PartialEq)]
pub(super) struct OutgoingMessage {
    pub(super) content: String,
    pub(super) files: Vec<TextFile>,
    /// What can be pressed under it.
    pub(super) buttons: Option<Buttons>,
}

/// Buttons under a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Buttons {
    /// Of an answer: try again, delete.
    Answer(JobId),
    /// Of the notice of a voice session: to be written down, or not.
    Consent,
    /// Of the report of a voice session: can you hear me?
    HearingCheck,
}

/// A file of text.
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

/// Discord's REST API, as far as messages go. Nothing that is sent can ping anybody, and links in
/// it are not unfolded.
pub(super) struct DiscordApi {
    pub(super) http: Arc<Http>,
    /// The bot itself.
    pub(super) bot_user: UserId,
    /// All but responses to interactions pass here.
    pub(super) rate_limiter: GlobalRateLimiter,
    pub(super) dm_limiter: DirectMessageLimiter,
}

impl DiscordApi {
    /// Sends a message once: the same nonce within some minutes gives the same message. It does
    /// not reply to what is gone.
    pub(super) async fn create_message(
        &self,
        channel: u64,
        reply_to: Option<u64>,
        nonce: &str,
        post: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let mut message = CreateMessage::new()
            .content(&post.content)
            .components(post.components())
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
        if !post.files.is_empty() {
            let whole = message.files(post.attachments());
            match with_timeout(channel_id.send_message(&self.http, whole)).await {
                Ok(sent) => return Ok(sent.id.get()),
                // It was sent; asked for by its nonce, it comes again.
                Err(trouble) if trouble == unreadable_response() => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let route = Route::ChannelMessages { channel_id };
        self.request_message_id(route, LightMethod::Post, &bare)
            .await
    }

    /// Sends a message without files, or what is to be different in one, and gives its id.
    async fn request_message_id(
        &self,
        route: Route<'_>,
        method: LightMethod,
        message: &impl Serialize,
    ) -> Result<u64, ApiError> {
        let body = serde_json::to_vec(message).map_err(|_| unreadable_response())?;
        let request = Request::new(route, method).body(Some(body));
        let answer = with_timeout(request_json(&self.http, request)).await?;
        Ok(decode::message_id(&answer)?.get())
    }

    /// Puts `post` in the place of a message of ours.
    pub(super) async fn edit_message(
        &self,
        channel: u64,
        message: u64,
        post: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let edit = EditMessage::new()
            .content(&post.content)
            .components(post.components())
            .attachments(edit_attachments(post))
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(no_mentions());
        let channel = ChannelId::new(channel);
        let id = MessageId::new(message);
        self.rate_limiter.acquire().await;
        match with_timeout(channel.edit_message(&self.http, id, edit)).await {
            Ok(edited) => Ok(edited.id.get()),
            // It was edited, whatever is odd in what was told of it.
            Err(trouble) if trouble == unreadable_response() => Ok(message),
            Err(trouble) => Err(trouble),
        }
    }

    /// Puts `post` in the place of a command's response. Returns the message.
    pub(super) async fn edit_response(
        &self,
        token: &str,
        post: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let edit = EditInteractionResponse::new()
            .content(&post.content)
            .components(post.components())
            .attachments(edit_attachments(post))
            .flags(MessageFlags::SUPPRESS_EMBEDS)
            .allowed_mentions(no_mentions());
        match with_timeout(edit.execute(&self.http, token)).await {
            Ok(edited) => Ok(edited.id.get()),
            // It was edited; which message it is can be asked.
            Err(trouble) if trouble == unreadable_response() => {
                self.response_message_id(token).await
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// The message that shows a command's response.
    async fn response_message_id(&self, token: &str) -> Result<u64, ApiError> {
        let application_id = self.http.application_id();
        let Some(application_id) = application_id else {
            return Err(unreadable_response());
        };
        let route = Route::WebhookOriginalInteractionResponse {
            application_id,
            token,
        };
        let answer = with_timeout(get_json(&self.http, route)).await?;
        Ok(decode::message_id(&answer)?.get())
    }

    /// Deletes the first response to an interaction. One that is gone already is no error.
    pub(super) async fn delete_original_response(&self, token: &str) -> Result<(), ApiError> {
        let deleted = with_timeout(self.http.delete_original_interaction_response(token)).await;
        match deleted {
            Err(ApiError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// The channel of the direct messages with a person.
    pub(super) async fn create_dm_channel(&self, person: u64) -> Result<u64, ApiError> {
        self.rate_limiter.acquire().await;
        let body = serde_json::json!({"recipient_id": person.to_string()}).to_string();
        let request = Request::new(Route::UserMeDmChannels, LightMethod::Post);
        let request = request.body(Some(body.into_bytes()));
        let channel = with_timeout(request_json(&self.http, request)).await?;
        Ok(decode::message_id(&channel)?.get())
    }

    /// Deletes a message of ours. One that is gone already is no error.
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

    /// Deletes a command's response. One that is gone already is no error.
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

    /// A message as it is now, with fresh links.
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

    /// Up to 100 messages after this one, oldest first.
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
    /// What a channel is.
    pub(super) async fn get_channel(&self, channel: u64) -> Result<Channel, ApiError> {
        let channel_id = ChannelId::new(channel);
        self.rate_limiter.acquire().await;
        let answer = with_timeout(get_json(&self.http, Route::Channel { channel_id })).await?;
        Ok(decode::channel_object(&answer)?)
    }

    /// The roles of a member.
    pub(super) async fn get_member_roles(
        &self,
        guild: GuildId,
        user: UserId,
    ) -> Result<Vec<RoleId>, ApiError> {
        Ok(self.get_member(guild, user).await?.roles)
    }

    /// A member of a server.
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

    /// A server, with its roles.
    pub(super) async fn get_guild(&self, guild: GuildId) -> Result<PartialGuild, ApiError> {
        let route = Route::Guild { guild_id: guild };
        self.rate_limiter.acquire().await;
        Ok(decode::partial_guild(
            &with_timeout(get_json(&self.http, route)).await?,
        )?)
    }

    /// Changes the bot's own nickname in a server; without one, it has none.
    pub(super) async fn set_own_nickname(
        &self,
        guild: GuildId,
        name: Option<&str>,
    ) -> Result<(), ApiError> {
        self.rate_limiter.acquire().await;
        with_timeout(self.http.edit_nickname(guild, name, None)).await
    }

    /// The threads of a server that are not archived.
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

/// All files that the message is to have: those it has already go, so that a second edit does not
/// attach them twice.
fn edit_attachments(post: &OutgoingMessage) -> EditAttachments {
    post.attachments()
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
