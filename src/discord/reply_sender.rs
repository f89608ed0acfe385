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
    fn from(trouble: ApiError) -> Self {
        Self::Api(trouble)
    }
}

impl From<StoreError> for AttemptError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AttemptError> for DeliveryError {
    fn from(miss: AttemptError) -> Self {
        match miss {
            AttemptError::Store(error) => Self::Store(error),
            AttemptError::Api(trouble) if trouble.is_permanent() => {
                Self::TargetGone(trouble.cause())
            }
            AttemptError::Api(trouble) => Self::RetryLater(trouble.cause()),
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
    fn ledger_number(posts: &SentMessages, part: u32) -> u32 {
        if posts.token_expired {
            LATE_MESSAGE_BASE + part
        } else {
            part
        }
    }

    /// The preferred way to show a part.
    fn best_method(&self, posts: &SentMessages, part: u32) -> DeliveryMethod {
        let is_response = matches!(self.reply_target, ReplyTarget::Command { .. }) && part == 0;
        let number = Self::ledger_number(posts, part);
        let known = posts.message_ids.iter().find(|(known, _)| *known == number);
        match known {
            _ if is_response && !posts.token_expired => DeliveryMethod::EditResponse,
            Some((_, Some(_))) => DeliveryMethod::EditMessage,
            _ => DeliveryMethod::Reply,
        }
    }

    /// Shows progress in the best place that takes all of it. Does not retry.
    pub(super) async fn show_progress(
        &self,
        posts: &mut SentMessages,
        post: &OutgoingMessage,
    ) -> Result<(), DeliveryError> {
        let closes = self.is_interaction_only() || self.is_private();
        if closes && age(self.interaction_id) >= TOKEN_EDIT_WINDOW {
            return Err(DeliveryError::Rejected("the interaction ends".into()));
        }
        self.close_expiring_response(posts).await;
        let shape = DeliveryOptions {
            may_post_in_channel: !closes,
            ..DeliveryOptions::default()
        };
        let mut ladder = DeliveryFallback::new(self.best_method(posts, 0), shape);
        loop {
            let way = ladder.current().method;
            let trouble = match self.attempt(posts, 0, way, post).await {
                Ok(_) => return Ok(()),
                Err(AttemptError::Store(error)) => return Err(error.into()),
                Err(AttemptError::Api(trouble)) => trouble,
            };
            let why = trouble.cause();
            // Without permission to edit its own message, the bot can't see the channel. Other
            // refusals of an edit are dealt with once, by the final delivery.
            match (way, &trouble) {
                (DeliveryMethod::EditMessage, ApiError::Forbidden(_)) => {
                    return Err(DeliveryError::TargetGone(why));
                }
                (
                    DeliveryMethod::EditMessage,
                    ApiError::ThreadArchived(_) | ApiError::Rejected(..),
                ) => {
                    return Err(DeliveryError::Rejected(why));
                }
                _ => {}
            }
            match ladder.after_error(&trouble) {
                NextStep::RetryLater => return Err(DeliveryError::RetryLater(why)),
                NextStep::Try(next) if next.content_level == ContentLevel::Full => {
                    posts.token_expired |=
                        way == DeliveryMethod::EditResponse && next.method != way;
                }
                // The place is fine; the final text will be a different one.
                NextStep::Try(_) => return Err(DeliveryError::Rejected(why)),
                NextStep::TargetDeleted | NextStep::Exhausted => {
                    return Err(DeliveryError::TargetGone(why));
                }
            }
        }
    }

    /// Makes `post` the message of this part, exactly once, reduced to what Discord accepts.
    /// `alone` says that it is the reply's only message. Retries until `deadline` or until
    /// `stopped` is cancelled.
    pub(super) async fn deliver_part(
        &self,
        posts: &mut SentMessages,
        (part, post): (u32, &OutgoingMessage),
        alone: bool,
        deadline: Instant,
        stopped: &CancellationToken,
    ) -> Result<u64, DeliveryError> {
        if posts.token_expired && self.is_interaction_only() {
            return Err(DeliveryError::TargetGone("the interaction is over".into()));
        }
        let shape = DeliveryOptions {
            has_files: !post.files.is_empty(),
            may_post_in_channel: !self.is_interaction_only(),
            may_direct_message: part == 0 && self.guild.is_some() && !self.is_interaction_only(),
        };
        let mut ladder = DeliveryFallback::new(self.best_method(posts, part), shape);
        let mut wait = INITIAL_BACKOFF;
        loop {
            let rung = ladder.current();
            let shown = post.reduced_to(
                rung.content_level,
                self.channel,
                alone,
                words::CANNOT_ATTACH_FILES,
            );
            let trouble = match self.attempt(posts, part, rung.method, &shown).await {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err(DeliveryError::TargetGone("told directly".into())),
                Err(AttemptError::Store(error)) => return Err(error.into()),
                Err(AttemptError::Api(trouble)) => trouble,
            };
            let job = self.job_id.0;
            let why = trouble.cause();
            match ladder.after_error(&trouble) {
                NextStep::RetryLater if Instant::now() + wait < deadline => {
                    tracing::warn!(job, %why, "tried again");
                    tokio::select! {
                        biased;
                        () = stopped.cancelled() => return Err(DeliveryError::RetryLater(why)),
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(MAX_BACKOFF);
                }
                NextStep::RetryLater => return Err(DeliveryError::RetryLater(why)),
                NextStep::Try(next) => {
                    tracing::warn!(job, %why, ?next, "a message is refused");
                    if rung.method == DeliveryMethod::EditResponse
                        && next.method != DeliveryMethod::EditResponse
                    {
                        posts.token_expired = true;
                    }
                }
                NextStep::TargetDeleted
                    if part == 0 && matches!(rung.method, DeliveryMethod::Reply) =>
                {
                    return Err(DeliveryError::Withdrawn);
                }
                NextStep::TargetDeleted | NextStep::Exhausted => {
                    // The message shown so far says that an answer is still to come.
                    self.clean_up_part(posts, part);
                    return Err(DeliveryError::TargetGone(why));
                }
            }
        }
    }

    /// Says in the command's response that the answer follows separately, if its token is about to
    /// expire.
    async fn close_expiring_response(&self, posts: &mut SentMessages) {
        if let ReplyTarget::Command { token, .. } = &self.reply_target
            && !posts.token_expired
            && age(self.interaction_id) >= TOKEN_EDIT_WINDOW
        {
            let last = OutgoingMessage::text(words::ANSWER_FOLLOWS_SEPARATELY);
            if let Err(trouble) = self.discord_api().edit_response(token, &last).await {
                tracing::debug!(job = self.job_id.0, %trouble, "no last word");
            }
            posts.token_expired = true;
        }
    }

    /// Makes one attempt and records the result. `None` if the author was told in a direct message.
    async fn attempt(
        &self,
        posts: &mut SentMessages,
        part: u32,
        way: DeliveryMethod,
        post: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        if let (DeliveryMethod::EditResponse, ReplyTarget::Command { token, .. }) =
            (way, &self.reply_target)
        {
            let message = self.discord_api().edit_response(token, post).await?;
            self.record_sent(posts, 0, message).await?;
            return Ok(Some(message));
        }
        let number = Self::ledger_number(posts, part);
        let late;
        let post = if posts.token_expired && self.is_private() {
            late = OutgoingMessage::text(format!("<@{}> {}", self.author, words::TOO_LATE));
            &late
        } else {
            post
        };
        let nonce = self.nonce(number);
        let known = posts.message_ids.iter().find(|(known, _)| *known == number);
        let known = known.and_then(|(_, message)| *message);
        let message = match (way, known) {
            (DeliveryMethod::DirectMessage, _) => {
                let wire = self.discord_api();
                wire.send_direct_message(self.author, self.channel, &nonce, post)
                    .await?;
                self.clean_up_part(posts, part);
                return Ok(None);
            }
            (DeliveryMethod::EditMessage, Some(message)) => {
                self.discord_api()
                    .edit_message(self.channel, message, post)
                    .await?
            }
            (_, Some(old)) => {
                // Replaces a message that can no longer be edited; the nonce differs for each
                // replaced message.
                let nonce = format!("{nonce}n{}", base36(old % NONCE_SUFFIX_MODULUS));
                let message = self
                    .create_message(posts, number, way, &nonce, post)
                    .await?;
                self.spawn_cleanup(CleanupAction::DeleteMessage(old));
                message
            }
            (_, None) => match self.find_or_reserve(posts, number, post).await? {
                Some(message) => {
                    self.record_sent(posts, number, message).await?;
                    self.discord_api()
                        .edit_message(self.channel, message, post)
                        .await?
                }
                None => {
                    self.create_message(posts, number, way, &nonce, post)
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
        posts: &mut SentMessages,
        number: u32,
        post: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        if !posts.message_ids.iter().any(|(known, _)| *known == number) {
            self.context
                .store
                .record_sending(self.job_id, number)
                .await?;
            posts.message_ids.push((number, None));
            return Ok(None);
        }
        if number == 0 && posts.first_unsent {
            posts.first_unsent = false;
            return Ok(None);
        }
        self.find_unconfirmed(posts, number, post).await
    }

    async fn create_message(
        &self,
        posts: &mut SentMessages,
        number: u32,
        way: DeliveryMethod,
        nonce: &str,
        post: &OutgoingMessage,
    ) -> Result<u64, AttemptError> {
        let reply_to = match way {
            DeliveryMethod::Reply => self.replied_to_message(posts, number),
            _ => None,
        };
        posts.unconfirmed = Some((number, post.clone()));
        let wire = self.discord_api();
        let sent = match self.reply_target {
            ReplyTarget::Message => wire.send_reply(self.channel, reply_to, nonce, post).await,
            // A private response can't be fetched, so `send_reply` would take it for deleted.
            _ => {
                wire.create_message(self.channel, reply_to, nonce, post)
                    .await
            }
        };
        if !matches!(sent, Err(ApiError::Transient(_))) {
            posts.unconfirmed = None;
        }
        let message = sent?;
        self.record_sent(posts, number, message).await?;
        // Only now is there something to replace the command's response with.
        if number == LATE_MESSAGE_BASE
            && let ReplyTarget::Command { token, .. } = &self.reply_target
        {
            self.delete_replaced_response(posts, token).await?;
        }
        Ok(message)
    }

    /// Removes the command's response, which still announces an answer, now that a message in the
    /// channel replaces it.
    async fn delete_replaced_response(
        &self,
        posts: &mut SentMessages,
        token: &str,
    ) -> Result<(), StoreError> {
        if age(self.interaction_id) >= TOKEN_EDIT_WINDOW {
            // It already says that the answer follows separately.
            return Ok(());
        }
        let known = posts.message_ids.iter().find(|(part, _)| *part == 0);
        let shown = known.and_then(|(_, message)| *message);
        // Its row goes first, so that the deletion is not mistaken for a user's.
        self.context
            .store
            .remove_result_message(self.job_id, 0)
            .await?;
        posts.message_ids.retain(|(part, _)| *part != 0);
        match (
            self.discord_api().delete_original_response(token).await,
            shown,
        ) {
            (Ok(()), _) | (Err(ApiError::InteractionExpired(_)), None) => {}
            // The token no longer deletes it, but it can be edited like any of the bot's messages.
            (Err(ApiError::InteractionExpired(_)), Some(_)) if self.is_private() => {}
            (Err(ApiError::InteractionExpired(_)), Some(shown)) => {
                self.record_sent(posts, 0, shown).await?;
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
    fn replied_to_message(&self, posts: &SentMessages, number: u32) -> Option<u64> {
        match (number, &self.reply_target) {
            (0, ReplyTarget::Message) => Some(self.source),
            (LATE_MESSAGE_BASE, ReplyTarget::Command { .. }) => posts
                .message_ids
                .iter()
                .find(|(part, _)| *part == 0)
                .and_then(|(_, message)| *message),
            _ => None,
        }
    }

    async fn record_sent(
        &self,
        posts: &mut SentMessages,
        number: u32,
        message: u64,
    ) -> Result<(), StoreError> {
        match posts
            .message_ids
            .iter_mut()
            .find(|(known, _)| *known == number)
        {
            Some((_, Some(known))) if *known == message => return Ok(()),
            Some((_, slot)) => *slot = Some(message),
            None => posts.message_ids.push((number, Some(message))),
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
        posts: &SentMessages,
        number: u32,
        post: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        let found = match self
            .discord_api()
            .get_messages_after(self.channel, self.source)
            .await
        {
            Ok(found) => found,
            // The nonce has to prevent duplicates then.
            Err(ApiError::Forbidden(_)) => return Ok(None),
            Err(trouble) => return Err(trouble.into()),
        };
        let expected = self.replied_to_message(posts, number);
        let mine = found.iter().find(|message| {
            let id = Some(message.id.get());
            let is_known = posts.message_ids.iter().any(|(_, known)| *known == id);
            let replies_to = message
                .message_reference
                .as_ref()
                .and_then(|reference| reference.message_id)
                .map(serenity::all::MessageId::get);
            // The content of a growing message does not identify it: another reply may show the
            // same text.
            let fits = match expected {
                Some(_) => replies_to == expected,
                None => replies_to.is_none() && message.content == post.content,
            };
            message.author.id == self.discord_api().bot_user && !is_known && fits
        });
        Ok(mine.map(|message| message.id.get()))
    }

    /// Records a message that was being sent when the delivery was stopped, if Discord created it.
    pub(super) async fn reconcile_sends(
        &self,
        posts: &mut SentMessages,
    ) -> Result<(), DeliveryError> {
        if let Some((number, post)) = posts.unconfirmed.take()
            && let Some(message) = self.find_unconfirmed(posts, number, &post).await?
        {
            self.record_sent(posts, number, message).await?;
        }
        Ok(())
    }

    /// Deletes a part that is outdated.
    fn clean_up_part(&self, posts: &SentMessages, part: u32) {
        for number in [part, LATE_MESSAGE_BASE + part] {
            let known = posts.message_ids.iter().find(|(known, _)| *known == number);
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
    fn spawn_cleanup(&self, stale: CleanupAction) {
        let (means, job, channel) = (Arc::clone(&self.context), self.job_id, self.channel);
        tokio::spawn(async move {
            let mut wait = INITIAL_BACKOFF;
            for _ in 0..MAX_CLEANUP_ATTEMPTS {
                let deleted = match &stale {
                    CleanupAction::DeleteMessage(message) => {
                        means.discord_api.delete_message(channel, *message).await
                    }
                    CleanupAction::DeleteResponse(token) => {
                        means.discord_api.delete_original_response(token).await
                    }
                    CleanupAction::MarkOutdated(message) => {
                        let last = OutgoingMessage::text(words::ANSWER_FOLLOWS_SEPARATELY);
                        let said = means
                            .discord_api
                            .edit_message(channel, *message, &last)
                            .await;
                        said.map(|_| ())
                    }
                };
                match deleted {
                    Ok(()) | Err(ApiError::InteractionExpired(_)) => return,
                    Err(trouble) => tracing::debug!(job = job.0, %trouble, "not deleted"),
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(MAX_BACKOFF);
            }
            tracing::warn!(job = job.0, "something stays that is no longer true");
        });
    }

    /// Deletes the messages that a longer, earlier answer left behind.
    pub(super) async fn delete_surplus_parts(
        &self,
        posts: &mut SentMessages,
        parts: usize,
    ) -> Result<(), StoreError> {
        let base = Self::ledger_number(posts, 0);
        let end = base + u32::try_from(parts).unwrap_or(u32::MAX - base);
        let rest: Vec<(u32, Option<u64>)> = posts
            .message_ids
            .iter()
            .copied()
            .filter(|(part, _)| *part >= end)
            .collect();
        for (part, message) in rest {
            if let Some(message) = message
                && let Err(trouble) = self
                    .discord_api()
                    .delete_message(self.channel, message)
                    .await
            {
                tracing::warn!(job = self.job_id.0, message, %trouble, "not deleted");
                continue;
            }
            self.context
                .store
                .remove_result_message(self.job_id, part)
                .await?;
            posts.message_ids.retain(|(known, _)| *known != part);
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
