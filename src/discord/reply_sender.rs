//! Sends the messages of one job's reply, each exactly once.
//!
//! The ledger records that a message is about to be created, and afterwards its id, so that another
//! process finds it. When Discord refuses a message, [`DeliveryFallback`] says what to try instead.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api_error::ApiError;
use super::delivery_fallback::{
    ContentLevel, DeliveryFallback, DeliveryMethod, DeliveryOptions, NextStep,
};
use super::discord_api::{DiscordApi, OutgoingMessage};
use super::message_delivery::{INITIAL_BACKOFF, MAX_BACKOFF};
use super::snowflake::age;
use super::streaming_reply::{ReplyContext, TOKEN_EDIT_WINDOW};
use crate::flow::frontend::DeliveryError;
use crate::flow::job_spec::ReplyTarget;
use crate::store::{JobId, StoreError};
use crate::ui_text::bot as words;
use net::Backoff;

/// Ledger number of the first message that is posted in the channel because the command's response
/// can no longer be edited.
pub(super) const LATE_MESSAGE_BASE: u32 = 100;

/// Range of the base-36 suffix that fits after a nonce.
const NONCE_SUFFIX_MODULUS: u64 = 36 * 36 * 36;

/// How often to try to delete an outdated message.
const MAX_CLEANUP_ATTEMPTS: u32 = 8;

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

/// What to do about a message that is outdated.
enum CleanupAction {
    DeleteMessage(u64),
    /// Say that the answer follows in another message.
    MarkOutdated(u64),
    /// Delete the original response of this interaction token.
    DeleteResponse(String),
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

    /// Makes `post` the message of this part, exactly once, reduced to what Discord accepts.
    /// `alone` says that it is the reply's only message. Retries until `deadline` or until
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

    /// Makes one attempt and records the result. `None` if the author was told in a direct message.
    async fn attempt(
        &self,
        sent: &mut SentMessages,
        part: u32,
        method: DeliveryMethod,
        outgoing: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        if let (DeliveryMethod::EditResponse, ReplyTarget::Command { token, .. }) =
            (method, &self.reply_target)
        {
            let message = self.discord_api().edit_response(token, outgoing).await?;
            self.record_sent(sent, 0, message).await?;
            return Ok(Some(message));
        }
        let number = Self::ledger_number(sent, part);
        let late;
        let outgoing = if sent.token_expired && self.is_private() {
            late = OutgoingMessage::text(format!("<@{}> {}", self.author, words::TOO_LATE));
            &late
        } else {
            outgoing
        };
        let nonce = self.nonce(number);
        let known = sent.message_ids.iter().find(|(known, _)| *known == number);
        let known = known.and_then(|(_, message)| *message);
        let message = match (method, known) {
            (DeliveryMethod::DirectMessage, _) => {
                let api = self.discord_api();
                api.send_direct_message(self.author, self.channel, &nonce, outgoing)
                    .await?;
                self.clean_up_part(sent, part);
                return Ok(None);
            }
            (DeliveryMethod::EditMessage, Some(message)) => {
                self.discord_api()
                    .edit_message(self.channel, message, outgoing)
                    .await?
            }
            (_, Some(old)) => {
                // Replaces a message that can no longer be edited; the nonce differs for each
                // replaced message.
                let nonce = format!("{nonce}n{}", base36(old % NONCE_SUFFIX_MODULUS));
                let message = self
                    .create_message(sent, number, method, &nonce, outgoing)
                    .await?;
                self.spawn_cleanup(CleanupAction::DeleteMessage(old));
                message
            }
            (_, None) => match self.find_or_reserve(sent, number, outgoing).await? {
                Some(message) => {
                    self.record_sent(sent, number, message).await?;
                    self.discord_api()
                        .edit_message(self.channel, message, outgoing)
                        .await?
                }
                None => {
                    self.create_message(sent, number, method, &nonce, outgoing)
                        .await?
                }
            },
        };
        Ok(Some(message))
    }

    /// The message of this number if it may already exist. Otherwise records in the ledger that it
    /// is about to be sent.
    async fn find_or_reserve(
        &self,
        sent: &mut SentMessages,
        number: u32,
        outgoing: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        if !sent.message_ids.iter().any(|(known, _)| *known == number) {
            self.context
                .store
                .record_sending(self.job_id, number)
                .await?;
            sent.message_ids.push((number, None));
            return Ok(None);
        }
        if number == 0 && sent.first_unsent {
            sent.first_unsent = false;
            return Ok(None);
        }
        self.find_unconfirmed(sent, number, outgoing).await
    }

    async fn create_message(
        &self,
        sent: &mut SentMessages,
        number: u32,
        method: DeliveryMethod,
        nonce: &str,
        outgoing: &OutgoingMessage,
    ) -> Result<u64, AttemptError> {
        let reply_to = match method {
            DeliveryMethod::Reply => self.replied_to_message(sent, number),
            _ => None,
        };
        sent.unconfirmed = Some((number, outgoing.clone()));
        let api = self.discord_api();
        let result = match self.reply_target {
            ReplyTarget::Message => {
                api.send_reply(self.channel, reply_to, nonce, outgoing)
                    .await
            }
            // A private response can't be fetched, so `send_reply` would take it for deleted.
            _ => {
                api.create_message(self.channel, reply_to, nonce, outgoing)
                    .await
            }
        };
        if !matches!(result, Err(ApiError::Transient(_))) {
            sent.unconfirmed = None;
        }
        let message = result?;
        self.record_sent(sent, number, message).await?;
        // Only now is there something to replace the command's response with.
        if number == LATE_MESSAGE_BASE
            && let ReplyTarget::Command { token, .. } = &self.reply_target
        {
            self.delete_replaced_response(sent, token).await?;
        }
        Ok(message)
    }

    /// Removes the command's response, which still announces an answer, now that a message in the
    /// channel replaces it.
    async fn delete_replaced_response(
        &self,
        sent: &mut SentMessages,
        token: &str,
    ) -> Result<(), StoreError> {
        if age(self.interaction_id) >= TOKEN_EDIT_WINDOW {
            // It already says that the answer follows separately.
            return Ok(());
        }
        let known = sent.message_ids.iter().find(|(part, _)| *part == 0);
        let shown = known.and_then(|(_, message)| *message);
        // Its row goes first, so that the deletion is not mistaken for a user's.
        self.context
            .store
            .remove_result_message(self.job_id, 0)
            .await?;
        sent.message_ids.retain(|(part, _)| *part != 0);
        match (
            self.discord_api().delete_original_response(token).await,
            shown,
        ) {
            (Ok(()), _) | (Err(ApiError::InteractionExpired(_)), None) => {}
            // The token no longer deletes it, but it can be edited like any of the bot's messages.
            (Err(ApiError::InteractionExpired(_)), Some(_)) if self.is_private() => {}
            (Err(ApiError::InteractionExpired(_)), Some(shown)) => {
                self.record_sent(sent, 0, shown).await?;
                self.spawn_cleanup(CleanupAction::MarkOutdated(shown));
            }
            (Err(_), _) => self.spawn_cleanup(CleanupAction::DeleteResponse(token.to_owned())),
        }
        Ok(())
    }

    /// The nonce by which Discord recognizes a repeated request.
    fn nonce(&self, number: u32) -> String {
        let generation = self.generation % 1_000;
        format!("{}.{number}.{generation}", base36(self.source))
    }

    /// The message that this part replies to: the request itself, or the command's response.
    fn replied_to_message(&self, sent: &SentMessages, number: u32) -> Option<u64> {
        match (number, &self.reply_target) {
            (0, ReplyTarget::Message) => Some(self.source),
            (LATE_MESSAGE_BASE, ReplyTarget::Command { .. }) => sent
                .message_ids
                .iter()
                .find(|(part, _)| *part == 0)
                .and_then(|(_, message)| *message),
            _ => None,
        }
    }

    async fn record_sent(
        &self,
        sent: &mut SentMessages,
        number: u32,
        message: u64,
    ) -> Result<(), StoreError> {
        match sent
            .message_ids
            .iter_mut()
            .find(|(known, _)| *known == number)
        {
            Some((_, Some(known))) if *known == message => return Ok(()),
            Some((_, slot)) => *slot = Some(message),
            None => sent.message_ids.push((number, Some(message))),
        }
        self.context
            .store
            .record_sent(self.job_id, number, message)
            .await
    }

    /// Looks for a message that this or an earlier process was about to send and that Discord may
    /// have created.
    async fn find_unconfirmed(
        &self,
        sent: &SentMessages,
        number: u32,
        outgoing: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        let found = match self
            .discord_api()
            .get_messages_after(self.channel, self.source)
            .await
        {
            Ok(found) => found,
            // The nonce has to prevent duplicates then.
            Err(ApiError::Forbidden(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let expected = self.replied_to_message(sent, number);
        let found_message = found.iter().find(|message| {
            let id = Some(message.id.get());
            let is_known = sent.message_ids.iter().any(|(_, known)| *known == id);
            let replies_to = message
                .message_reference
                .as_ref()
                .and_then(|reference| reference.message_id)
                .map(serenity::all::MessageId::get);
            // The content of a growing message does not identify it: another reply may show the
            // same text.
            let fits = match expected {
                Some(_) => replies_to == expected,
                None => replies_to.is_none() && message.content == outgoing.content,
            };
            message.author.id == self.discord_api().bot_user && !is_known && fits
        });
        Ok(found_message.map(|message| message.id.get()))
    }

    /// Records a message that was being sent when the delivery was stopped, if Discord created it.
    pub(super) async fn reconcile_sends(
        &self,
        sent: &mut SentMessages,
    ) -> Result<(), DeliveryError> {
        if let Some((number, outgoing)) = sent.unconfirmed.take()
            && let Some(message) = self.find_unconfirmed(sent, number, &outgoing).await?
        {
            self.record_sent(sent, number, message).await?;
        }
        Ok(())
    }

    /// Deletes a part that is outdated.
    fn clean_up_part(&self, sent: &SentMessages, part: u32) {
        for number in [part, LATE_MESSAGE_BASE + part] {
            let known = sent.message_ids.iter().find(|(known, _)| *known == number);
            let Some((_, Some(message))) = known.copied() else {
                continue;
            };
            match &self.reply_target {
                ReplyTarget::Command { token, .. } if number == 0 => {
                    self.spawn_cleanup(CleanupAction::DeleteResponse(token.clone()));
                }
                _ => self.spawn_cleanup(CleanupAction::DeleteMessage(message)),
            }
        }
    }

    /// Cleans up in the background.
    fn spawn_cleanup(&self, action: CleanupAction) {
        let (context, job, channel) = (Arc::clone(&self.context), self.job_id, self.channel);
        tokio::spawn(async move {
            let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
            for _ in 0..MAX_CLEANUP_ATTEMPTS {
                let deleted = match &action {
                    CleanupAction::DeleteMessage(message) => {
                        context.discord_api.delete_message(channel, *message).await
                    }
                    CleanupAction::DeleteResponse(token) => {
                        context.discord_api.delete_original_response(token).await
                    }
                    CleanupAction::MarkOutdated(message) => {
                        let last = OutgoingMessage::text(words::ANSWER_FOLLOWS_SEPARATELY);
                        let edited = context
                            .discord_api
                            .edit_message(channel, *message, &last)
                            .await;
                        edited.map(|_| ())
                    }
                };
                match deleted {
                    Ok(()) | Err(ApiError::InteractionExpired(_)) => return,
                    Err(error) => tracing::debug!(job = job.0, trouble = %error, "not deleted"),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
            tracing::warn!(job = job.0, "something stays that is no longer true");
        });
    }

    /// Deletes the messages that a longer, earlier answer left behind.
    pub(super) async fn delete_surplus_parts(
        &self,
        sent: &mut SentMessages,
        parts: usize,
    ) -> Result<(), StoreError> {
        let base = Self::ledger_number(sent, 0);
        let end = base + u32::try_from(parts).unwrap_or(u32::MAX - base);
        let rest: Vec<(u32, Option<u64>)> = sent
            .message_ids
            .iter()
            .copied()
            .filter(|(part, _)| *part >= end)
            .collect();
        for (part, message) in rest {
            if let Some(message) = message
                && let Err(error) = self
                    .discord_api()
                    .delete_message(self.channel, message)
                    .await
            {
                tracing::warn!(job = self.job_id.0, message, trouble = %error, "not deleted");
                continue;
            }
            self.context
                .store
                .remove_result_message(self.job_id, part)
                .await?;
            sent.message_ids.retain(|(known, _)| *known != part);
        }
        Ok(())
    }
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    while number > 0 || text.is_empty() {
        text.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
    }
    text.iter().rev().collect()
}
