//! Withdraws jobs whose message was deleted, and deletes the messages that show their answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::api_error::ApiError;
use super::super::message_delivery::{INITIAL_BACKOFF, MAX_BACKOFF};
use super::super::reply_context::ReplyContext;
use super::{BotContext, log_store_error};
use crate::flow::job_spec::{JobSpec, ReplyTarget};
use crate::store::{Job, StoreError};
use net::Backoff;

/// How long to keep trying to delete a message.
const DELETE_TIMEOUT: Duration = Duration::from_secs(3_600);

impl BotContext {
    /// Handles the deletion of a message: withdraws its job, and jobs of others that quote it.
    pub(in crate::discord) async fn handle_message_deleted(&self, message: u64) {
        if let Err(error) = self.scheduler.on_reply_deleted(message).await {
            log_store_error(error);
        }
        if self.proxy_tracker.is_proxied(message) {
            // The job for the repeated message withdraws this one.
            return;
        }
        self.withdraw_jobs_about(message).await;
    }

    /// Withdraws the job for a message, and jobs of others that quote it.
    pub(super) async fn withdraw_jobs_about(&self, message: u64) {
        if let Err(error) = self.try_withdraw_jobs_about(message).await {
            log_store_error(error);
        }
    }

    async fn try_withdraw_jobs_about(&self, message: u64) -> Result<(), StoreError> {
        let store = &self.reply_context.store;
        // The message itself first, so that no new job about it starts.
        let own_job = store.job_by_source(message).await?;
        let withdrawn = self.scheduler.withdraw(message).await?;
        if let Some((job, (_, messages))) = own_job.zip(withdrawn) {
            self.delete_job_messages(&job, &messages).await;
        }
        for source in store.sources_referencing(message).await? {
            let job = store.job_by_source(source).await?;
            let withdrawn = self.scheduler.withdraw(source).await?;
            if let Some((job, (_, messages))) = job.zip(withdrawn) {
                self.delete_job_messages(&job, &messages).await;
            }
        }
        Ok(())
    }

    /// Deletes the messages that show the answer to a job. A command's private response can be
    /// deleted only while its token is valid.
    pub(in crate::discord) async fn delete_job_messages(&self, job: &Job, messages: &[u64]) {
        let spec = serde_json::from_str::<JobSpec>(&job.details.payload);
        let mut messages = messages;
        if let Ok(JobSpec {
            reply_target: ReplyTarget::Command { token, .. },
            ..
        }) = spec
            && let [first, rest @ ..] = messages
        {
            match self
                .reply_context
                .discord_api
                .delete_response_message(&token, *first)
                .await
            {
                Ok(()) => messages = rest,
                Err(error) => {
                    tracing::debug!(job = job.id.0, trouble = %error, "a response is not deleted");
                }
            }
        }
        self.delete_messages(job.details.channel, messages).await;
    }

    /// Deletes the bot's own messages. Retries in the background those that Discord can't delete
    /// right now.
    pub(in crate::discord) async fn delete_messages(&self, channel: u64, messages: &[u64]) {
        for message in messages.iter().copied() {
            let Err(error) = self
                .reply_context
                .discord_api
                .delete_message(channel, message)
                .await
            else {
                continue;
            };
            tracing::warn!(channel, message, trouble = %error, "not deleted");
            if let ApiError::Transient(_) = error {
                let context = Arc::clone(&self.reply_context);
                tokio::spawn(async move { retry_delete(&context, channel, message).await });
            }
        }
    }
}

/// Deletes a message once Discord is reachable again. The ledger no longer knows it, so nothing
/// else would.
async fn retry_delete(context: &ReplyContext, channel: u64, message: u64) {
    let started = Instant::now();
    let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
    while started.elapsed() < DELETE_TIMEOUT {
        tokio::time::sleep(backoff.next_delay()).await;
        match context.discord_api.delete_message(channel, message).await {
            Err(ApiError::Transient(_)) => {}
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(channel, message, trouble = %error, "not deleted");
                return;
            }
        }
    }
    tracing::warn!(channel, message, "left where it is");
}
