//! Responds to an interaction in time and exactly once. All commands and buttons use it.
//!
//! If the response to a callback is lost, Discord may or may not have accepted it. The callback is
//! then repeated: the error "already acknowledged" proves that an earlier one arrived.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use serenity::all::{
    Builder, CommandInteraction, ComponentInteraction, CreateAllowedMentions,
    CreateInteractionResponse, CreateInteractionResponseFollowup, CreateInteractionResponseMessage,
    InteractionId, MessageFlags,
};
use tokio::time::Instant;

use super::api_error::{ApiError, unreadable_response};
use super::delivery_fallback::{DeliveryFallback, DeliveryMethod, DeliveryOptions, NextStep};
use super::discord_api::{DiscordApi, OutgoingMessage, with_timeout};
use super::message_delivery::{INITIAL_BACKOFF, MAX_BACKOFF};
use super::snowflake::age;
use crate::ui_text::bot as words;
use net::Backoff;

/// How long Discord waits for the first response, minus the time of one request.
const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_millis(2_800);

/// Time limit for one callback before it is repeated.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(900);

/// Delay after a callback that failed at once.
const RETRY_DELAY: Duration = Duration::from_millis(150);

/// How long to keep trying to edit a sentence into the response.
const EDIT_TIMEOUT: Duration = Duration::from_secs(120);

/// What Discord knows of the response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ResponseState {
    /// No callback was sent.
    NotSent,
    /// A callback was sent, but its outcome is unknown.
    Unconfirmed,
    /// Discord has a response, or a deferral.
    Responded,
    /// The button's message is the response, so a sentence needs a follow-up message.
    ButtonAcknowledged,
    /// The interaction expired.
    Expired,
}

pub(super) struct InteractionResponder<'a> {
    discord_api: &'a DiscordApi,
    interaction_id: InteractionId,
    token: &'a str,
    channel: u64,
    state: Mutex<ResponseState>,
}

impl<'a> InteractionResponder<'a> {
    pub(super) fn for_command(api: &'a DiscordApi, interaction: &'a CommandInteraction) -> Self {
        let channel = interaction.channel_id.get();
        Self::new(api, interaction.id, &interaction.token, channel)
    }

    pub(super) fn for_button(api: &'a DiscordApi, interaction: &'a ComponentInteraction) -> Self {
        let channel = interaction.channel_id.get();
        Self::new(api, interaction.id, &interaction.token, channel)
    }

    fn new(
        discord_api: &'a DiscordApi,
        interaction_id: InteractionId,
        token: &'a str,
        channel: u64,
    ) -> Self {
        Self {
            discord_api,
            interaction_id,
            token,
            channel,
            state: Mutex::new(ResponseState::NotSent),
        }
    }

    /// Defers the response. After `Ok` or a transient error the response can be edited.
    pub(super) async fn defer(&self, private: bool) -> Result<(), ApiError> {
        let message = CreateInteractionResponseMessage::new().ephemeral(private);
        let response = CreateInteractionResponse::Defer(message);
        self.send_callback(&response, ResponseState::Responded)
            .await
    }

    /// Acknowledges a button without showing anything.
    pub(super) async fn acknowledge(&self) -> Result<(), ApiError> {
        if self.state() == ResponseState::ButtonAcknowledged {
            return Ok(());
        }
        let response = CreateInteractionResponse::Acknowledge;
        self.send_callback(&response, ResponseState::ButtonAcknowledged)
            .await
    }

    /// Shows something to the invoker only, whatever the state of the response.
    pub(super) async fn respond_privately(&self, outgoing: &OutgoingMessage) {
        if self.state() == ResponseState::NotSent {
            let message = CreateInteractionResponseMessage::new()
                .content(&outgoing.content)
                .components(outgoing.components())
                .allowed_mentions(CreateAllowedMentions::new())
                .ephemeral(true);
            let response = CreateInteractionResponse::Message(message);
            match self
                .send_callback(&response, ResponseState::Responded)
                .await
            {
                Ok(()) => return,
                Err(error @ ApiError::InteractionExpired(_)) => {
                    return self.log_undelivered(&error);
                }
                // Acknowledged, but perhaps with other content: the edit below sets it. A rejected
                // message was not acknowledged and needs a deferral first.
                Err(ApiError::AlreadyAcknowledged | ApiError::Transient(_)) => {}
                Err(error) => {
                    tracing::warn!(source = self.interaction_id.get(), trouble = %error, "a sentence is refused");
                    if let Err(error) = self.defer(true).await {
                        return self.log_undelivered(&error);
                    }
                }
            }
        }
        self.complete_deferred(outgoing).await;
    }

    /// Edits the deferred response.
    pub(super) async fn complete_deferred(&self, outgoing: &OutgoingMessage) {
        let deadline = Instant::now() + EDIT_TIMEOUT;
        let options = DeliveryOptions {
            has_files: !outgoing.files.is_empty(),
            ..DeliveryOptions::default()
        };
        let mut fallback = DeliveryFallback::new(DeliveryMethod::EditResponse, options);
        let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
        loop {
            let content_level = fallback.current().content_level;
            let reduced = outgoing.reduced_to(
                content_level,
                self.channel,
                true,
                words::CANNOT_ATTACH_FILES,
            );
            let sent = match self.state() {
                ResponseState::ButtonAcknowledged => self.send_followup(&reduced).await,
                _ => {
                    let edited = self.discord_api.edit_response(self.token, &reduced).await;
                    edited.map(|_| ())
                }
            };
            let Err(error) = sent else {
                return;
            };
            match fallback.after_error(&error) {
                NextStep::RetryLater => {
                    let delay = backoff.next_delay();
                    if Instant::now() + delay >= deadline {
                        return self.log_undelivered(&error);
                    }
                    tokio::time::sleep(delay).await;
                }
                NextStep::Try(next) => {
                    tracing::warn!(source = self.interaction_id.get(), trouble = %error, ?next, "a response is refused");
                }
                NextStep::TargetDeleted | NextStep::Exhausted => {
                    return self.log_undelivered(&error);
                }
            }
        }
    }

    async fn send_followup(&self, outgoing: &OutgoingMessage) -> Result<(), ApiError> {
        let message = CreateInteractionResponseFollowup::new()
            .content(&outgoing.content)
            .components(outgoing.components())
            .allowed_mentions(CreateAllowedMentions::new())
            .flags(MessageFlags::EPHEMERAL | MessageFlags::SUPPRESS_EMBEDS);
        let sent = message.execute(&*self.discord_api.http, (None, self.token));
        match with_timeout(sent).await {
            // It was sent, even if the response can't be decoded.
            Err(error) if error == unreadable_response() => Ok(()),
            sent => sent.map(|_| ()),
        }
    }

    /// Sends the callback until Discord confirms it or the interaction expires.
    async fn send_callback(
        &self,
        response: &CreateInteractionResponse,
        next_state: ResponseState,
    ) -> Result<(), ApiError> {
        let deadline = Instant::now()
            + FIRST_RESPONSE_TIMEOUT
                .saturating_sub(age(self.interaction_id.get()).min(FIRST_RESPONSE_TIMEOUT / 2));
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let http = &*self.discord_api.http;
            let sent = response
                .clone()
                .execute(http, (self.interaction_id, self.token));
            let error = match tokio::time::timeout(ATTEMPT_TIMEOUT.min(remaining), sent).await {
                Ok(Ok(())) => {
                    self.set_state(next_state);
                    return Ok(());
                }
                Ok(Err(error)) => ApiError::from(error),
                Err(_) => ApiError::Transient("no answer in time".into()),
            };
            match &error {
                // An earlier callback of ours arrived, but its content is unknown.
                ApiError::AlreadyAcknowledged => {
                    self.set_state(next_state);
                    return match response {
                        CreateInteractionResponse::Message(_) => Err(error),
                        _ => Ok(()),
                    };
                }
                ApiError::Transient(_) => {
                    // A button's message is its own response and must not be overwritten.
                    self.set_state(match next_state {
                        ResponseState::ButtonAcknowledged => ResponseState::ButtonAcknowledged,
                        _ => ResponseState::Unconfirmed,
                    });
                    if Instant::now() + RETRY_DELAY >= deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                ApiError::InteractionExpired(_) => {
                    self.set_state(ResponseState::Expired);
                    return Err(error);
                }
                _ => return Err(error),
            }
        }
    }

    fn state(&self) -> ResponseState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, state: ResponseState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Discord tells the invoker that the application did not respond.
    fn log_undelivered(&self, error: &ApiError) {
        tracing::warn!(source = self.interaction_id.get(), trouble = %error, "a sentence was not delivered");
    }
}
