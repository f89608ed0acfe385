//! Sends the messages of one job's reply, each exactly once.
//!
//! The ledger records that a message is about to be created, and afterwards its id, so that another
//! process finds it. When Discord refuses a message, [`DeliveryFallback`] says what to try instead.

mod cleanup;
mod exactly_once;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api_error::ApiError;
use super::delivery_fallback::{
    ContentLevel, DeliveryFallback, DeliveryMethod, DeliveryOptions, NextStep,
};
use super::discord_api::{DiscordApi, OutgoingMessage};
use super::message_delivery::{INITIAL_BACKOFF, MAX_BACKOFF};
use super::reply_context::ReplyContext;
use super::snowflake::age;
use crate::flow::frontend::DeliveryError;
use crate::flow::job_spec::ReplyTarget;
use crate::store::{JobId, StoreError};
use crate::ui_text::bot as words;
use net::Backoff;

/// Ledger number of the first message that is posted in the channel because the command's response
/// can no longer be edited.
pub(super) const LATE_MESSAGE_BASE: u32 = 100;

/// How long a command's response can be edited, with a safety margin:
/// <https://discord.com/developers/docs/interactions/receiving-and-responding>.
pub(super) const TOKEN_EDIT_WINDOW: Duration = Duration::from_secs(14 * 60 + 30);

/// How long an interaction token is valid, without the margin.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Sends the messages of one job's reply.
pub(super) struct ReplySender {
    pub(super) context: Arc<ReplyContext>,
    pub(super) job_id: JobId,
    pub(super) source: u64,
    /// The interaction whose response is edited.
    pub(super) interaction_id: u64,
    pub(super) generation: u32,
    pub(super) guild: Option<u64>,
    pub(super) channel: u64,
    pub(super) author: u64,
    pub(super) reply_target: ReplyTarget,
}

/// What has been sent so far.
#[derive(Default)]
pub(super) struct SentMessages {
    /// Message ids by ledger number; `None` if the message was about to be sent.
    pub(super) message_ids: Vec<(u32, Option<u64>)>,
    /// Content of the first message.
    pub(super) first_shown: Option<OutgoingMessage>,
    /// Whether the command's response can no longer be edited.
    pub(super) token_expired: bool,
    /// Whether no attempt to send the first message has been made, although the ledger has a row
    /// for it.
    pub(super) first_unsent: bool,
    /// The data handling notice for a server's first reply, once the ledger has been asked.
    pub(super) first_reply_notice: Option<Option<String>>,
    /// A message whose request got no answer: Discord may have created it.
    pub(super) unconfirmed: Option<(u32, OutgoingMessage)>,
}

/// Why an attempt failed.
enum AttemptError {
    Api(ApiError),
    Store(StoreError),
}

impl From<ApiError> for AttemptError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for AttemptError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AttemptError> for DeliveryError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Store(error) => Self::Store(error),
            AttemptError::Api(error) if error.is_permanent() => Self::TargetGone(error.cause()),
            AttemptError::Api(error) => Self::RetryLater(error.cause()),
        }
    }
}

impl ReplySender {
    pub(super) fn is_private(&self) -> bool {
        matches!(
            self.reply_target,
            ReplyTarget::Command { private: true, .. }
        )
    }

    /// Whether the command's response is the only message the bot may write.
    fn is_interaction_only(&self) -> bool {
        matches!(
            self.reply_target,
            ReplyTarget::Command {
                interaction_only: true,
                ..
            }
        )
    }

    fn discord_api(&self) -> &DiscordApi {
        &self.context.discord_api
    }

    /// The ledger number of a part of the reply.
    fn ledger_number(sent: &SentMessages, part: u32) -> u32 {
        if sent.token_expired {
            LATE_MESSAGE_BASE + part
        } else {
            part
        }
    }

    /// The preferred way to show a part.
    fn best_method(&self, sent: &SentMessages, part: u32) -> DeliveryMethod {
        let is_response = matches!(self.reply_target, ReplyTarget::Command { .. }) && part == 0;
        let number = Self::ledger_number(sent, part);
        let known = sent.message_ids.iter().find(|(known, _)| *known == number);
        match known {
            _ if is_response && !sent.token_expired => DeliveryMethod::EditResponse,
            Some((_, Some(_))) => DeliveryMethod::EditMessage,
            _ => DeliveryMethod::Reply,
        }
    }

    /// Shows progress in the best place that takes all of it. Does not retry.
    pub(super) async fn show_progress(
        &self,
        sent: &mut SentMessages,
        outgoing: &OutgoingMessage,
    ) -> Result<(), DeliveryError> {
        let response_only = self.is_interaction_only() || self.is_private();
        if response_only && age(self.interaction_id) >= TOKEN_EDIT_WINDOW {
            return Err(DeliveryError::Rejected("the interaction ends".into()));
        }
        self.close_expiring_response(sent).await;
        let options = DeliveryOptions {
            may_post_in_channel: !response_only,
            ..DeliveryOptions::default()
        };
        let mut fallback = DeliveryFallback::new(self.best_method(sent, 0), options);
        loop {
            let method = fallback.current().method;
            let error = match self.attempt(sent, 0, method, outgoing).await {
                Ok(_) => return Ok(()),
                Err(AttemptError::Store(error)) => return Err(error.into()),
                Err(AttemptError::Api(error)) => error,
            };
            let cause = error.cause();
            // Without permission to edit its own message, the bot can't see the channel. Other
            // refusals of an edit are dealt with once, by the final delivery.
            match (method, &error) {
                (DeliveryMethod::EditMessage, ApiError::Forbidden(_)) => {
                    return Err(DeliveryError::TargetGone(cause));
                }
                (
                    DeliveryMethod::EditMessage,
                    ApiError::ThreadArchived(_) | ApiError::Rejected(..),
                ) => {
                    return Err(DeliveryError::Rejected(cause));
                }
                _ => {}
            }
            match fallback.after_error(&error) {
                NextStep::RetryLater => return Err(DeliveryError::RetryLater(cause)),
                NextStep::Try(next) if next.content_level == ContentLevel::Full => {
                    sent.token_expired |=
                        method == DeliveryMethod::EditResponse && next.method != method;
                }
                // The place is fine; the final text will be a different one.
                NextStep::Try(_) => return Err(DeliveryError::Rejected(cause)),
                NextStep::TargetDeleted | NextStep::Exhausted => {
                    return Err(DeliveryError::TargetGone(cause));
                }
            }
        }
    }

    /// Makes `outgoing` the message of this part, exactly once, reduced to what Discord accepts.
    /// `is_only` says that it is the reply's only message. Retries until `deadline` or until
    /// `stopped` is cancelled.
    pub(super) async fn deliver_part(
        &self,
        sent: &mut SentMessages,
        (part, outgoing): (u32, &OutgoingMessage),
        is_only: bool,
        deadline: Instant,
        stopped: &CancellationToken,
    ) -> Result<u64, DeliveryError> {
        if sent.token_expired && self.is_interaction_only() {
            return Err(DeliveryError::TargetGone("the interaction is over".into()));
        }
        let options = DeliveryOptions {
            has_files: !outgoing.files.is_empty(),
            may_post_in_channel: !self.is_interaction_only(),
            may_direct_message: part == 0 && self.guild.is_some() && !self.is_interaction_only(),
        };
        let mut fallback = DeliveryFallback::new(self.best_method(sent, part), options);
        let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
        loop {
            let attempt = fallback.current();
            let shown = outgoing.reduced_to(
                attempt.content_level,
                self.channel,
                is_only,
                words::CANNOT_ATTACH_FILES,
            );
            let error = match self.attempt(sent, part, attempt.method, &shown).await {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err(DeliveryError::TargetGone("told directly".into())),
                Err(AttemptError::Store(error)) => return Err(error.into()),
                Err(AttemptError::Api(error)) => error,
            };
            let job = self.job_id.0;
            let cause = error.cause();
            match fallback.after_error(&error) {
                NextStep::RetryLater => {
                    let delay = backoff.next_delay();
                    if Instant::now() + delay >= deadline {
                        return Err(DeliveryError::RetryLater(cause));
                    }
                    tracing::warn!(job, why = %cause, "tried again");
                    tokio::select! {
                        biased;
                        () = stopped.cancelled() => return Err(DeliveryError::RetryLater(cause)),
                        () = tokio::time::sleep(delay) => {}
                    }
                }
                NextStep::Try(next) => {
                    tracing::warn!(job, why = %cause, ?next, "a message is refused");
                    if attempt.method == DeliveryMethod::EditResponse
                        && next.method != DeliveryMethod::EditResponse
                    {
                        sent.token_expired = true;
                    }
                }
                NextStep::TargetDeleted
                    if part == 0 && matches!(attempt.method, DeliveryMethod::Reply) =>
                {
                    return Err(DeliveryError::Withdrawn);
                }
                NextStep::TargetDeleted | NextStep::Exhausted => {
                    // The message shown so far says that an answer is still to come.
                    self.clean_up_part(sent, part);
                    return Err(DeliveryError::TargetGone(cause));
                }
            }
        }
    }

    /// Says in the command's response that the answer follows separately, if its token is about to
    /// expire.
    async fn close_expiring_response(&self, sent: &mut SentMessages) {
        if let ReplyTarget::Command { token, .. } = &self.reply_target
            && !sent.token_expired
            && age(self.interaction_id) >= TOKEN_EDIT_WINDOW
        {
            let last = OutgoingMessage::text(words::ANSWER_FOLLOWS_SEPARATELY);
            if let Err(error) = self.discord_api().edit_response(token, &last).await {
                tracing::debug!(job = self.job_id.0, trouble = %error, "no last word");
            }
            sent.token_expired = true;
        }
    }
}
