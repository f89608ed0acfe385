//! Posts the result of a session in its channel exactly once, even if several processes try in
//! turn.
//!
//! The store has a row for each message before it is sent, and its ID afterwards. A row without an
//! ID means that a killed process may have sent the message, so it is searched for first. Nonces
//! are the same in all processes.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::api_error::ApiError;
use super::super::discord_api::{MAX_MESSAGE_CHARS, OutgoingMessage, TextFile};
use super::super::message_delivery::DeliveryRequest;
use super::super::reply_context::ReplyContext;
use super::super::snowflake;
use super::super::text;
use crate::flow::consent::ConsentGrants;
use crate::flow::session::transcript_export;
use crate::flow::session::transcript_view::SessionResult;
use crate::speech::subtitles::TranscriptFormat;
use crate::store::{EndMessage, SessionId, StoreError, Timestamp};
use crate::ui_text::{transcript_file, voice_session as words};

/// How long sending one message is retried before the rest is postponed.
const PART_SEND_TIMEOUT: Duration = Duration::from_secs(120);

/// Maximum number of messages for the result; what does not fit is in the attached files.
const MAX_RESULT_MESSAGES: usize = 4;

/// Upper bound on the difference between Discord's clock and ours.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Where a session's result is posted.
pub(super) struct SessionResultPublisher<'a> {
    pub(super) reply_context: &'a ReplyContext,
    pub(super) session_id: SessionId,
    pub(super) channel_id: u64,
    pub(super) started_at: Timestamp,
    /// The session limit, named when it ended the session.
    pub(super) max_duration: Duration,
}

/// Outcome of delivering one message.
enum PartDelivery {
    Delivered(u64),
    /// Discord will never accept it.
    Rejected,
    /// Discord does not accept messages at the moment.
    RetryLater,
    /// Someone withdrew consent for part of it.
    ConsentWithdrawn,
}

impl SessionResultPublisher<'_> {
    /// Posts what has not been posted yet. Returns false if some of it has to be posted later.
    pub(super) async fn publish(&self, result: &SessionResult) -> bool {
        let opening = text::sanitize_answer(&words::ended(result.end_reason, self.max_duration));
        let recorded = match self.reply_context.store.end_messages(self.session_id).await {
            Ok(recorded) => recorded,
            Err(error) => {
                log_store_error(self.session_id, &error);
                Vec::new()
            }
        };
        let mut sent: Vec<u64> = Vec::new();
        loop {
            let grants = result.active_grants();
            let posts = self.render_posts(result);
            for (index, post) in posts.iter().enumerate().skip(sent.len()) {
                let part = u32::try_from(index).unwrap_or(u32::MAX);
                let opening = (part == 0).then_some(opening.as_str());
                match self
                    .deliver_part(part, post, opening, (&recorded, &grants))
                    .await
                {
                    PartDelivery::Delivered(message) => {
                        sent.push(message);
                        let store = &self.reply_context.store;
                        if let Err(error) =
                            store.record_sent_end(self.session_id, part, message).await
                        {
                            log_store_error(self.session_id, &error);
                        }
                    }
                    PartDelivery::Rejected => sent.push(0),
                    PartDelivery::RetryLater => return false,
                    PartDelivery::ConsentWithdrawn => break,
                }
            }
            if grants.all_active() {
                return true;
            }
            // Consent was withdrawn while posting: redact what is posted and continue with the
            // rest. Terminates, because each round has fewer active consents.
            self.redact_published(&sent, &self.render_posts(result))
                .await;
        }
    }

    /// Edits or deletes sent messages to match `posts`.
    async fn redact_published(&self, sent: &[u64], posts: &[OutgoingMessage]) {
        let discord_api = &self.reply_context.discord_api;
        for (index, message) in sent.iter().enumerate().filter(|(_, it)| **it != 0) {
            let redacted = match posts.get(index) {
                Some(post) => discord_api
                    .edit_message(self.channel_id, *message, post)
                    .await
                    .map(|_| ()),
                None => discord_api.delete_message(self.channel_id, *message).await,
            };
            if let Err(trouble) = redacted {
                let session = self.session_id.0;
                tracing::warn!(session, message, %trouble, "a posted result still shows withdrawn lines");
            }
        }
    }

    /// All messages of the result. The last one has the files.
    fn render_posts(&self, result: &SessionResult) -> Vec<OutgoingMessage> {
        let end = text::sanitize_answer(&self.render_text(result));
        let split = text::split_message(
            &end,
            MAX_MESSAGE_CHARS,
            MAX_MESSAGE_CHARS,
            MAX_RESULT_MESSAGES,
        );
        let mut files = transcript_files(result);
        if split.is_truncated {
            files.push(TextFile {
                name: "summary.md".to_owned(),
                text: end,
            });
        }
        let mut posts: Vec<OutgoingMessage> =
            split.parts.into_iter().map(OutgoingMessage::text).collect();
        if let Some(last) = posts.last_mut() {
            last.files = files;
        }
        posts
    }

    fn render_text(&self, result: &SessionResult) -> String {
        let mut end = words::ended(result.end_reason, self.max_duration);
        if result.permitted_lines().is_empty() {
            return format!("{end} {}", words::NO_LINES);
        }
        if let Some(summary) = result.permitted_summary() {
            let summary = words::summary_or_reason(summary);
            let _ = write!(end, "\n\n{summary}");
        }
        let _ = write!(
            end,
            "\n\n{}",
            words::session_report_message(&result.session_info().report)
        );
        end
    }

    /// Sends a message, unless it has been sent already.
    async fn deliver_part(
        &self,
        part: u32,
        post: &OutgoingMessage,
        opening: Option<&str>,
        (recorded, grants): (&[EndMessage], &ConsentGrants),
    ) -> PartDelivery {
        match recorded.iter().find(|it| it.part == part) {
            Some(EndMessage {
                message: Some(message),
                ..
            }) => return PartDelivery::Delivered(*message),
            Some(unconfirmed) => match self
                .find_sent_message(post, opening, unconfirmed.sending_at, recorded)
                .await
            {
                Ok(Some(message)) => return PartDelivery::Delivered(message),
                // Not found, or not allowed to search: rely on the nonce.
                Ok(None) | Err(ApiError::Forbidden(_)) => {}
                Err(trouble) if trouble.is_permanent() => return PartDelivery::Rejected,
                Err(_) => return PartDelivery::RetryLater,
            },
            None => {
                let store = &self.reply_context.store;
                let result = store
                    .record_sending_end(self.session_id, part, Timestamp::now())
                    .await;
                if let Err(error) = result {
                    // Post the result even if the store fails.
                    log_store_error(self.session_id, &error);
                }
            }
        }
        self.send_part(part, post, grants).await
    }

    /// Searches for a message that an earlier process may have sent.
    async fn find_sent_message(
        &self,
        post: &OutgoingMessage,
        opening: Option<&str>,
        sending_at: Timestamp,
        recorded: &[EndMessage],
    ) -> Result<Option<u64>, ApiError> {
        let age = Timestamp::now().0.saturating_sub(sending_at.0);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let after = snowflake::smallest_id_from(age + MAX_CLOCK_SKEW);
        let candidates = self
            .reply_context
            .discord_api
            .get_messages_after(self.channel_id, after)
            .await?;
        let found = candidates.into_iter().find(|message| {
            let is_known = recorded
                .iter()
                .any(|it| it.message == Some(message.id.get()));
            let is_it = message.content.trim() == post.content.trim()
                || opening.is_some_and(|it| message.content.starts_with(it));
            message.author.id == self.reply_context.discord_api.bot_user && !is_known && is_it
        });
        Ok(found.map(|message| message.id.get()))
    }

    async fn send_part(
        &self,
        part: u32,
        post: &OutgoingMessage,
        grants: &ConsentGrants,
    ) -> PartDelivery {
        let nonce = format!(
            "e{}.{:x}.{part}",
            self.session_id.0,
            self.started_at.0 & 0xff_ffff
        );
        // If the channel can't be written to, the user who started the session gets a direct
        // message.
        let session = self.reply_context.store.session(self.session_id).await;
        let requester = session.ok().flatten().map(|it| it.details.requested_by);
        let request = DeliveryRequest {
            channel: self.channel_id,
            reply_to: None,
            dm_recipient: requester.filter(|id| *id != 0),
            nonce: &nonce,
            message: post,
            no_files_notice: words::CANNOT_ATTACH_FILES,
            is_still_wanted: &|| grants.all_active(),
        };
        match self
            .reply_context
            .discord_api
            .deliver(&request, PART_SEND_TIMEOUT)
            .await
        {
            Ok(Some(message)) => PartDelivery::Delivered(message),
            Ok(None) => PartDelivery::Rejected,
            Err(_) if !grants.all_active() => PartDelivery::ConsentWithdrawn,
            Err(trouble) => {
                let session = self.session_id.0;
                tracing::warn!(session, %trouble, "a message was not delivered");
                match trouble.is_permanent() {
                    true => PartDelivery::Rejected,
                    false => PartDelivery::RetryLater,
                }
            }
        }
    }
}

/// The transcript in every file format.
fn transcript_files(result: &SessionResult) -> Vec<TextFile> {
    let (info, lines) = (result.session_info(), result.permitted_lines());
    if lines.is_empty() {
        return Vec::new();
    }
    [
        TranscriptFormat::Text,
        TranscriptFormat::Vtt,
        TranscriptFormat::Srt,
        TranscriptFormat::Json,
    ]
    .into_iter()
    .map(|format| TextFile {
        name: format!("transcript.{}", format.extension()),
        text: transcript_export::render_transcript(
            format,
            &info,
            &lines,
            &transcript_file::TRANSCRIPT_WORDING,
        ),
    })
    .collect()
}

fn log_store_error(session: SessionId, error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(
        session = session.0,
        error,
        "could not record the state of a result"
    );
}
