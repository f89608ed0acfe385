//! Renders and delivers the final messages of a reply.

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::discord_api::OutgoingMessage;
use super::super::reply_context::ReplyContext;
use super::super::reply_renderer;
use super::{DELIVERY_TIMEOUT, StreamingReplyInner};
use crate::flow::frontend::{DeliveryError, JobOutcome};
use crate::flow::job_spec::ReplyTarget;
use crate::store::StoreError;
use crate::ui_text::bot as words;

impl StreamingReplyInner {
    /// Renders the messages that show an outcome.
    pub(super) async fn render_messages(
        &self,
        outcome: &JobOutcome,
    ) -> Result<Vec<OutgoingMessage>, StoreError> {
        let mut footers = Vec::new();
        if self.uses_local_engines.load(Ordering::Relaxed)
            && !matches!(outcome, JobOutcome::Failed { .. })
        {
            footers.push(words::LOCAL_FALLBACK_USED.to_owned());
        }
        footers.extend(self.claim_first_reply_notice().await?);
        let single = match self.sender.reply_target {
            ReplyTarget::Message | ReplyTarget::Spoken => false,
            ReplyTarget::Command {
                private,
                interaction_only,
                ..
            } => private || interaction_only,
        };
        let buttons = (!self.sender.is_private()).then_some(self.sender.job_id);
        let view = self.lock_view().clone();
        Ok(reply_renderer::render_outcome(
            &view, outcome, buttons, &footers, single,
        ))
    }

    pub(super) async fn deliver_messages(
        &self,
        parts: &[OutgoingMessage],
        stop: &CancellationToken,
    ) -> Result<Option<u64>, DeliveryError> {
        let mut sent = self.sent_messages.lock().await;
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        let is_only = parts.len() == 1;
        let mut first = None;
        for part in (0_u32..).zip(parts) {
            if stop.is_cancelled() {
                return Err(DeliveryError::RetryLater("stopped".into()));
            }
            let sender = &self.sender;
            let shown = sender
                .deliver_part(&mut sent, part, is_only, deadline, stop)
                .await;
            first = first.or(Some(shown?));
        }
        self.sender
            .delete_surplus_parts(&mut sent, parts.len())
            .await?;
        Ok(first)
    }

    pub(super) async fn delete_messages(&self) {
        let mut sent = self.sent_messages.lock().await;
        let known = std::mem::take(&mut sent.message_ids);
        for message in known.into_iter().filter_map(|(_, message)| message) {
            let api = &self.sender.context.discord_api;
            let deleted = match &self.sender.reply_target {
                ReplyTarget::Command { token, .. } if !sent.token_expired => {
                    api.delete_response_message(token, message).await
                }
                _ => api.delete_message(self.sender.channel, message).await,
            };
            if let Err(error) = deleted {
                tracing::warn!(job = self.sender.job_id.0, message, trouble = %error, "not deleted");
            }
        }
    }

    /// The data handling notice, if this is the first reply in the server.
    async fn claim_first_reply_notice(&self) -> Result<Option<String>, StoreError> {
        let mut sent = self.sent_messages.lock().await;
        if let Some(known) = &sent.first_reply_notice {
            return Ok(known.clone());
        }
        let ReplyContext {
            data_handling,
            store,
            ..
        } = &*self.sender.context;
        let notice = match self.sender.guild {
            Some(guild) if store.claim_guild_notice(guild).await? => Some(words::first_reply(
                &data_handling.transcribers,
                data_handling.retention_days,
            )),
            _ => None,
        };
        sent.first_reply_notice = Some(notice.clone());
        Ok(notice)
    }
}
