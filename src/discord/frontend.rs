//! Implements the flow's [`Frontend`] for Discord.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serenity::all::Message;

use super::bot_context::log_store_error;
use super::cdn;
use super::message_parser::{self, display_name};
use super::reply_context::ReplyContext;
use super::reply_sender::TOKEN_EDIT_WINDOW;
use super::snowflake;
use super::streaming_reply::StreamingReply;
use crate::flow::frontend::{FetchError, Frontend, JobReply};
use crate::flow::job_spec::{Attachment, JobSpec, ReplyTarget};
use crate::store::{Job, StoreError, StoredTurn, Timestamp, TurnRole};
use audio::Recording;

/// How many messages to fetch along a chain of replies that the ledger does not know.
const MAX_REPLY_CHAIN: usize = 6;

/// Discord, as the flow sees it.
pub(super) struct DiscordFrontend {
    pub(super) context: Arc<ReplyContext>,
    /// Client for Discord's CDN; it follows no redirects.
    pub(super) download_client: reqwest::Client,
}

#[async_trait]
impl Frontend for DiscordFrontend {
    async fn fetch_recording(
        &self,
        job: &Job,
        recording: &Attachment,
        limit: u64,
    ) -> Result<Recording, FetchError> {
        cdn::fetch_recording(
            &self.download_client,
            &self.context.discord_api,
            job,
            recording,
            limit,
        )
        .await
    }

    async fn fetch_earlier_turns(&self, job: &Job, message: u64) -> Vec<StoredTurn> {
        let mut turns = Vec::new();
        let mut next = Some(message);
        while let Some(id) = next.filter(|_| turns.len() < MAX_REPLY_CHAIN) {
            let message = match self
                .context
                .discord_api
                .get_message(job.details.channel, id)
                .await
            {
                Ok(message) => message,
                Err(error) => {
                    tracing::debug!(job = job.id.0, trouble = %error, "an earlier message can't be read");
                    break;
                }
            };
            next = message_parser::replied_to_id(&message).map(serenity::all::MessageId::get);
            turns.extend(self.message_to_turn(job, &message));
        }
        turns.reverse();
        turns
    }

    fn reply_expires_in(&self, source: u64, spec: &JobSpec) -> Option<Duration> {
        match spec.reply_target {
            // Only the response shows the reply, and it can be edited only while its token is
            // valid.
            ReplyTarget::Command {
                private,
                interaction_only,
                ..
            } if private || interaction_only => {
                Some(TOKEN_EDIT_WINDOW.saturating_sub(snowflake::age(spec.interaction_id(source))))
            }
            _ => None,
        }
    }

    async fn delete_reply(&self, job: &Job, spec: &JobSpec) {
        let (store, api) = (&self.context.store, &self.context.discord_api);
        if let ReplyTarget::Command { token, .. } = &spec.reply_target
            && let Err(error) = api.delete_original_response(token).await
        {
            tracing::debug!(job = job.id.0, trouble = %error, "a response is not deleted");
        }
        let rows = match store.result_messages(job.id).await {
            Ok(rows) => rows,
            Err(error) => {
                log_store_error(error);
                return;
            }
        };
        for message in rows.iter().filter_map(|row| row.message) {
            if let Err(error) = api.delete_message(job.details.channel, message).await {
                tracing::warn!(job = job.id.0, message, trouble = %error, "not deleted");
            }
        }
    }

    async fn open_reply(
        &self,
        job: &Job,
        spec: &JobSpec,
        fresh: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError> {
        let reply = StreamingReply::open(Arc::clone(&self.context), job, spec, fresh).await?;
        Ok(reply)
    }
}

impl DiscordFrontend {
    /// A message as a turn of a conversation; `None` if it has no text.
    fn message_to_turn(&self, job: &Job, message: &Message) -> Option<StoredTurn> {
        let text = message_parser::full_text(message);
        if text.is_empty() {
            return None;
        }
        let is_bot = message.author.id == self.context.discord_api.bot_user;
        Some(StoredTurn {
            message: message.id.get(),
            parent: None,
            guild: job.details.guild,
            channel: job.details.channel,
            author: message.author.id.get(),
            role: if is_bot {
                TurnRole::Assistant
            } else {
                TurnRole::User
            },
            name: display_name(&message.author, None),
            text,
            at: Timestamp(snowflake::created_at_millis(message.id.get())),
        })
    }
}
