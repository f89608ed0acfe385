//! Sends, edits, deletes and reads messages.

use serde::Serialize;
use serenity::all::{
    Builder, ChannelId, CreateAllowedMentions, CreateMessage, EditInteractionResponse, EditMessage,
    LightMethod, Message, MessageFlags, MessageId, MessageReference, MessageReferenceKind, Nonce,
    Request, Route,
};

use super::super::api_error::{ApiError, unreadable_response};
use super::super::decode;
use super::super::rest::{get_json, request_json};
use super::outgoing_message::edit_attachments;
use super::{DiscordApi, OutgoingMessage, with_timeout};

impl DiscordApi {
    /// Creates a message exactly once: Discord returns the existing message for a nonce used in the
    /// last few minutes. Fails if the message it replies to is gone.
    pub(in crate::discord) async fn create_message(
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
    pub(in crate::discord) async fn edit_message(
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
    pub(in crate::discord) async fn edit_response(
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
    pub(in crate::discord) async fn delete_original_response(
        &self,
        token: &str,
    ) -> Result<(), ApiError> {
        let deleted = with_timeout(self.http.delete_original_interaction_response(token)).await;
        match deleted {
            Err(ApiError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// Deletes one of the bot's messages. Succeeds if it is already gone.
    pub(in crate::discord) async fn delete_message(
        &self,
        channel: u64,
        message: u64,
    ) -> Result<(), ApiError> {
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
    pub(in crate::discord) async fn delete_response_message(
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
    pub(in crate::discord) async fn get_message(
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
    pub(in crate::discord) async fn get_messages_after(
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

fn no_mentions() -> CreateAllowedMentions {
    CreateAllowedMentions::new()
}
