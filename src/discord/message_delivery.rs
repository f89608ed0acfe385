//! Delivers a message that has no job: all of it, or what Discord accepts, or a sentence instead.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::api_error::{ApiError, RejectionReason};
use super::delivery_fallback::{
    ContentLevel, DeliveryFallback, DeliveryMethod, DeliveryOptions, NextStep,
};
use super::discord_api::{DiscordApi, MAX_MESSAGE_CHARS, OutgoingMessage};
use super::text;
use crate::ui_text::bot as words;
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

impl OutgoingMessage {
    /// The message reduced to a content level. `is_only` says that nothing else is shown in
    /// `channel`.
    pub(super) fn reduced_to(
        &self,
        content_level: ContentLevel,
        channel: u64,
        is_only: bool,
        no_files: &str,
    ) -> Cow<'_, Self> {
        match content_level {
            ContentLevel::Full => Cow::Borrowed(self),
            ContentLevel::WithoutFiles { files_refused } => {
                let line = if files_refused {
                    words::FILES_REFUSED
                } else {
                    no_files
                };
                Cow::Owned(self.without_files(line))
            }
            ContentLevel::Placeholder(reason) => Cow::Owned(Self {
                content: match is_only {
                    true => words::withheld_message(reason, channel),
                    false => words::withheld_part(reason).to_owned(),
                },
                files: Vec::new(),
                buttons: self.buttons,
            }),
        }
    }

    /// The message without its files, with a line that says so.
    fn without_files(&self, line: &str) -> Self {
        let room = MAX_MESSAGE_CHARS - line.chars().count() - 1;
        let kept = text::split_message(&self.content, room, room, 1).parts;
        let kept = kept.first().map_or("", String::as_str);
        Self {
            content: format!("{kept}\n{line}").trim().to_owned(),
            files: Vec::new(),
            buttons: self.buttons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discord::discord_api::TextFile;
    use crate::ui_text::bot::WithheldReason;

    #[test]
    fn each_content_level_fits_a_message() {
        let outgoing = OutgoingMessage {
            content: "x".repeat(MAX_MESSAGE_CHARS),
            files: vec![TextFile {
                name: "answer.md".to_owned(),
                text: "All of it.".to_owned(),
            }],
            ..OutgoingMessage::default()
        };
        let shown = |content_level, is_only| {
            let shown = outgoing
                .reduced_to(content_level, 7, is_only, words::CANNOT_ATTACH_FILES)
                .into_owned();
            assert!(shown.content.chars().count() <= MAX_MESSAGE_CHARS);
            assert_eq!(shown.files.is_empty(), content_level != ContentLevel::Full);
            shown.content.replace(&"x".repeat(1_800), "…")
        };
        let filtered = ContentLevel::Placeholder(WithheldReason::Filtered);
        assert!(
            shown(
                ContentLevel::WithoutFiles {
                    files_refused: false
                },
                true
            )
            .ends_with(words::CANNOT_ATTACH_FILES)
        );
        assert!(
            shown(
                ContentLevel::WithoutFiles {
                    files_refused: true
                },
                true
            )
            .ends_with(words::FILES_REFUSED)
        );
        assert_eq!(
            shown(filtered, true),
            words::withheld_message(WithheldReason::Filtered, 7)
        );
        assert_eq!(
            shown(filtered, false),
            words::withheld_part(WithheldReason::Filtered)
        );
    }
}
