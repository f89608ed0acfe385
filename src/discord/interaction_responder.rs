//! The answer to an interaction: acknowledged in time, and once.
//!
//! A callback whose response is lost may have been taken by Discord or not. Then it is sent again:
//! whoever is told that it was acknowledged before knows that it was. All commands and buttons
//! answer through this.

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

/// How long Discord waits for the first response, less what a request takes.
const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_millis(2_800);

/// How long one try of it may take before it is sent again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(900);

/// The wait before a try that failed at once is made again.
const RETRY_DELAY: Duration = Duration::from_millis(150);

/// How long a sentence is tried to be put into a response.
const EDIT_TIMEOUT: Duration = Duration::from_secs(120);

/// What Discord knows of our response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ResponseState {
    /// Nothing has been sent.
    NotSent,
    /// Something was sent, and nothing came back.
    Unconfirmed,
    /// There is a response, or will be.
    Responded,
    /// The button's message is the response; a sentence needs one of its own.
    ButtonAcknowledged,
    /// It waits no longer.
    Expired,
}

/// Answers one interaction.
pub(super) struct InteractionResponder<'a> {
    discord_api: &'a DiscordApi,
    interaction_id: InteractionId,
    token: &'a str,
    channel: u64,
    state: Mutex<ResponseState>,
}

impl<'a> InteractionResponder<'a> {
    pub(super) fn for_command(wire: &'a DiscordApi, interaction: &'a CommandInteraction) -> Self {
        let channel = interaction.channel_id.get();
        Self::new(wire, interaction.id, &interaction.token, channel)
    }

    pub(super) fn for_button(wire: &'a DiscordApi, interaction: &'a ComponentInteraction) -> Self {
        let channel = interaction.channel_id.get();
        Self::new(wire, interaction.id, &interaction.token, channel)
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

    /// Says that an answer comes. Without an error, or if only nobody knows whether Discord has
    /// it, the response can be edited.
    pub(super) async fn defer(&self, private: bool) -> Result<(), ApiError> {
        let message = CreateInteractionResponseMessage::new().ephemeral(private);
        let response = CreateInteractionResponse::Defer(message);
        self.send_callback(&response, ResponseState::Responded)
            .await
    }

    /// Says that a button has been pressed, and shows nothing.
    pub(super) async fn acknowledge(&self) -> Result<(), ApiError> {
        if self.state() == ResponseState::ButtonAcknowledged {
            return Ok(());
        }
        let response = CreateInteractionResponse::Acknowledge;
        self.send_callback(&response, ResponseState::ButtonAcknowledged)
            .await
    }

    /// Says something to whoever asked, only to them, however far the response is.
    pub(super) async fn respond_privately(&self, post: &OutgoingMessage) {
        if self.state() == ResponseState::NotSent {
            let message = CreateInteractionResponseMessage::new()
                .content(&post.content)
                .components(post.components())
                .allowed_mentions(CreateAllowedMentions::new())
                .ephemeral(true);
            let response = CreateInteractionResponse::Message(message);
            match self
                .send_callback(&response, ResponseState::Responded)
                .await
            {
                Ok(()) => return,
                Err(trouble @ ApiError::InteractionExpired(_)) => {
                    return self.log_undelivered(&trouble);
                }
                // It is acknowledged, and nobody knows with what: it says this now. What was
                // refused is not acknowledged; that needs something simpler.
                Err(ApiError::AlreadyAcknowledged | ApiError::Transient(_)) => {}
                Err(trouble) => {
                    tracing::warn!(source = self.interaction_id.get(), %trouble, "a sentence is refused");
                    if let Err(trouble) = self.defer(true).await {
                        return self.log_undelivered(&trouble);
                    }
                }
            }
        }
        self.complete_deferred(post).await;
    }

    /// Puts something in the place of a response that was deferred.
    pub(super) async fn complete_deferred(&self, post: &OutgoingMessage) {
        let deadline = Instant::now() + EDIT_TIMEOUT;
        let shape = DeliveryOptions {
            has_files: !post.files.is_empty(),
            ..DeliveryOptions::default()
        };
        let mut ladder = DeliveryFallback::new(DeliveryMethod::EditResponse, shape);
        let mut wait = INITIAL_BACKOFF;
        loop {
            let part = ladder.current().content_level;
            let shown = post.reduced_to(part, self.channel, true, words::CANNOT_ATTACH_FILES);
            let sent = match self.state() {
                ResponseState::ButtonAcknowledged => self.send_followup(&shown).await,
                _ => {
                    let edited = self.discord_api.edit_response(self.token, &shown).await;
                    edited.map(|_| ())
                }
            };
            let Err(trouble) = sent else {
                return;
            };
            match ladder.after_error(&trouble) {
                NextStep::RetryLater if Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(MAX_BACKOFF);
                }
                NextStep::Try(next) => {
                    tracing::warn!(source = self.interaction_id.get(), %trouble, ?next, "a response is refused");
                }
                NextStep::RetryLater | NextStep::TargetDeleted | NextStep::Exhausted => {
                    return self.log_undelivered(&trouble);
                }
            }
        }
    }

    async fn send_followup(&self, post: &OutgoingMessage) -> Result<(), ApiError> {
        let message = CreateInteractionResponseFollowup::new()
            .content(&post.content)
            .components(post.components())
            .allowed_mentions(CreateAllowedMentions::new())
            .flags(MessageFlags::EPHEMERAL | MessageFlags::SUPPRESS_EMBEDS);
        let sent = message.execute(&*self.discord_api.http, (None, self.token));
        match with_timeout(sent).await {
            // It was sent, whatever is odd in what was told of it.
            Err(trouble) if trouble == unreadable_response() => Ok(()),
            sent => sent.map(|_| ()),
        }
    }

    /// Sends the first response until Discord says that it has one, or waits no longer.
    async fn send_callback(
        &self,
        response: &CreateInteractionResponse,
        then: ResponseState,
    ) -> Result<(), ApiError> {
        let deadline = Instant::now()
            + FIRST_RESPONSE_TIMEOUT
                .saturating_sub(age(self.interaction_id.get()).min(FIRST_RESPONSE_TIMEOUT / 2));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let http = &*self.discord_api.http;
            let sent = response
                .clone()
                .execute(http, (self.interaction_id, self.token));
            let trouble = match tokio::time::timeout(ATTEMPT_TIMEOUT.min(left), sent).await {
                Ok(Ok(())) => {
                    self.set_state(then);
                    return Ok(());
                }
                Ok(Err(error)) => ApiError::from(error),
                Err(_) => ApiError::Transient("no answer in time".into()),
            };
            match &trouble {
                // By a try of ours whose response was lost. What is in it shows only later.
                ApiError::AlreadyAcknowledged => {
                    self.set_state(then);
                    return match response {
                        CreateInteractionResponse::Message(_) => Err(trouble),
                        _ => Ok(()),
                    };
                }
                ApiError::Transient(_) => {
                    // A button's own message is its response: it is not to be overwritten.
                    self.set_state(match then {
                        ResponseState::ButtonAcknowledged => ResponseState::ButtonAcknowledged,
                        _ => ResponseState::Unconfirmed,
                    });
                    if Instant::now() + RETRY_DELAY >= deadline {
                        return Err(trouble);
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                ApiError::InteractionExpired(_) => {
                    self.set_state(ResponseState::Expired);
                    return Err(trouble);
                }
                _ => return Err(trouble),
            }
        }
    }

    fn state(&self) -> ResponseState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, known: ResponseState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Discord itself tells whoever waits that there is no answer.
    fn log_undelivered(&self, trouble: &ApiError) {
        tracing::warn!(source = self.interaction_id.get(), %trouble, "a sentence was not delivered");
    }
}
