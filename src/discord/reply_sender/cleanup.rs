//! Removes or corrects messages of a reply that are outdated.

use std::sync::Arc;

use super::super::api_error::ApiError;
use super::super::discord_api::OutgoingMessage;
use super::super::message_delivery::{INITIAL_BACKOFF, MAX_BACKOFF};
use super::super::snowflake::age;
use super::{LATE_MESSAGE_BASE, ReplySender, SentMessages, TOKEN_EDIT_WINDOW};
use crate::flow::job_spec::ReplyTarget;
use crate::store::StoreError;
use crate::ui_text::bot as words;
use net::Backoff;

/// How often to try to delete an outdated message.
const MAX_CLEANUP_ATTEMPTS: u32 = 8;

/// What to do about a message that is outdated.
pub(super) enum CleanupAction {
    DeleteMessage(u64),
    /// Say that the answer follows in another message.
    MarkOutdated(u64),
    /// Delete the original response of this interaction token.
    DeleteResponse(String),
}

impl ReplySender {
    /// Deletes a part that is outdated.
    pub(super) fn clean_up_part(&self, sent: &SentMessages, part: u32) {
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
    pub(super) fn spawn_cleanup(&self, action: CleanupAction) {
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

    /// Removes the command's response, which still announces an answer, now that a message in the
    /// channel replaces it.
    pub(super) async fn delete_replaced_response(
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

    /// Deletes the messages that a longer, earlier answer left behind.
    pub(in crate::discord) async fn delete_surplus_parts(
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
