//! Delivers a message that has no job: all of it, or what Discord accepts, or a sentence instead.

use std::time::Duration;

use tokio::time::Instant;

use super::api_error::{ApiError, RejectionReason};
use super::delivery_fallback::{DeliveryFallback, DeliveryMethod, DeliveryOptions, NextStep};
use super::discord_api::{DiscordApi, OutgoingMessage};
use net::Backoff;

/// Delay between attempts; it doubles.
pub(super) const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// A message for a channel that the ledger does not record.
pub(super) struct DeliveryRequest<'a> {
    pub(super) channel: u64,
    /// The message it replies to.
    pub(super) reply_to: Option<u64>,
    /// Whom to tell by direct message if the bot can't write to the channel.
    pub(super) dm_recipient: Option<u64>,
    /// Discord returns the same message for the same nonce for a few minutes.
    pub(super) nonce: &'a str,
    pub(super) message: &'a OutgoingMessage,
    /// Replaces the files if the bot may not attach any.
    pub(super) no_files_notice: &'static str,
    /// Checked before each attempt.
    pub(super) is_still_wanted: &'a (dyn Fn() -> bool + Sync),
}

impl DiscordApi {
    /// Sends a message, reduced to what Discord accepts. Returns its id, or `None` if the recipient
    /// was told by direct message.
    pub(super) async fn deliver(
        &self,
        request: &DeliveryRequest<'_>,
        time_limit: Duration,
    ) -> Result<Option<u64>, ApiError> {
        let deadline = Instant::now() + time_limit;
        let channel = request.channel;
        let mut fallback = DeliveryFallback::new(
            DeliveryMethod::Reply,
            DeliveryOptions {
                has_files: !request.message.files.is_empty(),
                may_post_in_channel: true,
                may_direct_message: request.dm_recipient.is_some(),
            },
        );
        let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
        loop {
            if !(request.is_still_wanted)() {
                return Err(ApiError::NotFound("no longer wanted".into()));
            }
            let attempt = fallback.current();
            let outgoing = request.message.reduced_to(
                attempt.content_level,
                channel,
                true,
                request.no_files_notice,
            );
            let sent = match (attempt.method, request.dm_recipient) {
                (DeliveryMethod::DirectMessage, Some(user)) => {
                    let result = self
                        .send_direct_message(user, channel, request.nonce, &outgoing)
                        .await;
                    result.map(|()| None)
                }
                (method, _) => {
                    let reply_to = request.reply_to.filter(|_| method == DeliveryMethod::Reply);
                    let sent = self
                        .send_reply(channel, reply_to, request.nonce, &outgoing)
                        .await;
                    sent.map(Some)
                }
            };
            let error = match sent {
                Ok(message) => return Ok(message),
                Err(error) => error,
            };
            match fallback.after_error(&error) {
                NextStep::RetryLater => {
                    let delay = backoff.next_delay();
                    if Instant::now() + delay >= deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(delay).await;
                }
                NextStep::Try(next) => {
                    tracing::warn!(channel, trouble = %error, ?next, "a message is refused");
                }
                NextStep::TargetDeleted | NextStep::Exhausted => {
                    return Err(error);
                }
            }
        }
    }

    /// Sends a message as a reply. If Discord rejects the reply because its parent was deleted,
    /// returns [`ApiError::NotFound`].
    pub(super) async fn send_reply(
        &self,
        channel: u64,
        reply_to: Option<u64>,
        nonce: &str,
        outgoing: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let sent = self
            .create_message(channel, reply_to, nonce, outgoing)
            .await;
        match (sent, reply_to) {
            (Err(error @ ApiError::Rejected(RejectionReason::Reference, _)), Some(parent)) => {
                match self.get_message(channel, parent).await {
                    Err(gone @ ApiError::NotFound(_)) => Err(gone),
                    _ => Err(error),
                }
            }
            (sent, _) => sent,
        }
    }

    /// Tells a user something about a channel by direct message, at most once per cooldown.
    pub(super) async fn send_direct_message(
        &self,
        user: u64,
        channel: u64,
        nonce: &str,
        outgoing: &OutgoingMessage,
    ) -> Result<(), ApiError> {
        if !self.dm_limiter.try_acquire(user, channel) {
            return Err(ApiError::Forbidden("told lately".into()));
        }
        let direct = self.create_dm_channel(user).await?;
        let nonce: String = format!("a{nonce}").chars().take(25).collect();
        let outgoing = OutgoingMessage::text(&*outgoing.content);
        self.create_message(direct, None, &nonce, &outgoing)
            .await
            .map(|_| ())
    }
}
