//! Delivers a message that has no job: all of it, or what Discord accepts, or a sentence instead.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::api_error::{ApiError, RejectionReason};
use super::delivery_fallback::{
    ContentLevel, DeliveryFallback, DeliveryMethod, DeliveryOptions, NextStep,
};
use super::discord_api::{DiscordApi, MAX_MESSAGE_CHARS, OutgoingMessage};
use super::text;
use crate::ui_text::bot as words;

/// Delay between attempts; it doubles.
pub(super) const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Minimum time before a user is told again by direct message about the same channel.
const DM_COOLDOWN: Duration = Duration::from_secs(3_600);

/// How many users and channels to remember for that.
const MAX_DM_ENTRIES: usize = 10_000;

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

/// Who was told recently by direct message about which channel.
#[derive(Default)]
pub(super) struct DirectMessageLimiter(Mutex<HashMap<(u64, u64), Instant>>);

impl DirectMessageLimiter {
    /// Whether this user may be told about this channel now. Starts the cooldown.
    fn try_acquire(&self, person: u64, channel: u64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_DM_ENTRIES {
            told.retain(|_, at| at.elapsed() < DM_COOLDOWN);
        }
        let known = told.get(&(person, channel));
        if known.is_some_and(|at| at.elapsed() < DM_COOLDOWN) || told.len() >= MAX_DM_ENTRIES {
            return false;
        }
        told.insert((person, channel), Instant::now());
        true
    }
}

impl DiscordApi {
    /// Sends a message, reduced to what Discord accepts. Returns its id, or `None` if the recipient
    /// was told by direct message.
    pub(super) async fn deliver(
        &self,
        parcel: &DeliveryRequest<'_>,
        patience: Duration,
    ) -> Result<Option<u64>, ApiError> {
        let deadline = Instant::now() + patience;
        let channel = parcel.channel;
        let mut ladder = DeliveryFallback::new(
            DeliveryMethod::Reply,
            DeliveryOptions {
                has_files: !parcel.message.files.is_empty(),
                may_post_in_channel: true,
                may_direct_message: parcel.dm_recipient.is_some(),
            },
        );
        let mut wait = INITIAL_BACKOFF;
        loop {
            if !(parcel.is_still_wanted)() {
                return Err(ApiError::NotFound("no longer wanted".into()));
            }
            let rung = ladder.current();
            let post = parcel.message.reduced_to(
                rung.content_level,
                channel,
                true,
                parcel.no_files_notice,
            );
            let sent = match (rung.method, parcel.dm_recipient) {
                (DeliveryMethod::DirectMessage, Some(person)) => {
                    let told = self
                        .send_direct_message(person, channel, parcel.nonce, &post)
                        .await;
                    told.map(|()| None)
                }
                (way, _) => {
                    let reply_to = parcel.reply_to.filter(|_| way == DeliveryMethod::Reply);
                    let sent = self
                        .send_reply(channel, reply_to, parcel.nonce, &post)
                        .await;
                    sent.map(Some)
                }
            };
            let trouble = match sent {
                Ok(message) => return Ok(message),
                Err(trouble) => trouble,
            };
            match ladder.after_error(&trouble) {
                NextStep::RetryLater if Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(MAX_BACKOFF);
                }
                NextStep::Try(next) => {
                    tracing::warn!(channel, %trouble, ?next, "a message is refused");
                }
                NextStep::RetryLater | NextStep::TargetDeleted | NextStep::Exhausted => {
                    return Err(trouble);
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
        post: &OutgoingMessage,
    ) -> Result<u64, ApiError> {
        let sent = self.create_message(channel, reply_to, nonce, post).await;
        match (sent, reply_to) {
            (Err(trouble @ ApiError::Rejected(RejectionReason::Reference, _)), Some(parent)) => {
                match self.get_message(channel, parent).await {
                    Err(gone @ ApiError::NotFound(_)) => Err(gone),
                    _ => Err(trouble),
                }
            }
            (sent, _) => sent,
        }
    }

    /// Tells a user something about a channel by direct message, at most once per cooldown.
    pub(super) async fn send_direct_message(
        &self,
        person: u64,
        channel: u64,
        nonce: &str,
        post: &OutgoingMessage,
    ) -> Result<(), ApiError> {
        if !self.dm_limiter.try_acquire(person, channel) {
            return Err(ApiError::Forbidden("told lately".into()));
        }
        let direct = self.create_dm_channel(person).await?;
        let nonce: String = format!("a{nonce}").chars().take(25).collect();
        let post = OutgoingMessage::text(&*post.content);
        self.create_message(direct, None, &nonce, &post)
            .await
            .map(|_| ())
    }
}

impl OutgoingMessage {
    /// The message reduced to a content level. `alone` says that nothing else is shown in
    /// `channel`.
    pub(super) fn reduced_to(
        &self,
        part: ContentLevel,
        channel: u64,
        alone: bool,
        no_files: &str,
    ) -> Cow<'_, Self> {
        match part {
            ContentLevel::Full => Cow::Borrowed(self),
            ContentLevel::WithoutFiles {
                files_refused: refused,
            } => {
                let line = if refused {
                    words::FILES_REFUSED
                } else {
                    no_files
                };
                Cow::Owned(self.without_files(line))
            }
            ContentLevel::Placeholder(why) => Cow::Owned(Self {
                content: match alone {
                    true => words::withheld_message(why, channel),
                    false => words::withheld_part(why).to_owned(),
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
        let post = OutgoingMessage {
            content: "x".repeat(MAX_MESSAGE_CHARS),
            files: vec![TextFile {
                name: "answer.md".to_owned(),
                text: "All of it.".to_owned(),
            }],
            ..OutgoingMessage::default()
        };
        let shown = |part, alone| {
            let shown = post
                .reduced_to(part, 7, alone, words::CANNOT_ATTACH_FILES)
                .into_owned();
            assert!(shown.content.chars().count() <= MAX_MESSAGE_CHARS);
            assert_eq!(shown.files.is_empty(), part != ContentLevel::Full);
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

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_directly_too_often() {
        let asides = DirectMessageLimiter::default();
        assert!(asides.try_acquire(1, 7));
        assert!(!asides.try_acquire(1, 7));
        assert!(asides.try_acquire(2, 7) && asides.try_acquire(1, 8));
        tokio::time::advance(DM_COOLDOWN).await;
        assert!(asides.try_acquire(1, 7));
    }
}
