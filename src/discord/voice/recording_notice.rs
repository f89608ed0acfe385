//! Posts the notice that must be visible in the channel before anyone is recorded.

use std::time::Duration;

use tokio::time::Instant;

use super::super::api_error::ApiError;
use super::super::discord_api::OutgoingMessage;
use super::super::reply_context::ReplyContext;
use crate::store::{NoticePosted, SessionRecord, StoreError};

/// How long posting is retried. Nobody is heard in the meantime.
const POST_TIMEOUT: Duration = Duration::from_secs(30);

/// Delay before the first retry; doubles.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);

/// Why recording may not start.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum RecordingNoticeError {
    /// Discord did not accept the notice.
    #[error("the notice is not posted: {0}")]
    PostFailed(ApiError),
    /// The session was ended in the meantime.
    #[error("the session has ended")]
    SessionEnded,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Posts the notice. It counts as posted once Discord has accepted it and the store has its message
/// ID.
pub(super) async fn post_recording_notice(
    reply_context: &ReplyContext,
    session: &SessionRecord,
    nonce: &str,
    notice: &OutgoingMessage,
) -> Result<NoticePosted, RecordingNoticeError> {
    let deadline = Instant::now() + POST_TIMEOUT;
    let mut delay = MIN_RETRY_DELAY;
    let message_id = loop {
        let discord_api = &reply_context.discord_api;
        let posted = discord_api.create_message(session.details.text_channel, None, nonce, notice);
        let trouble = match tokio::time::timeout_at(deadline, posted).await {
            Ok(Ok(message_id)) => break message_id,
            Ok(Err(trouble)) => trouble,
            Err(_) => ApiError::Transient("no answer in time".into()),
        };
        if trouble.is_permanent() || Instant::now() + delay > deadline {
            return Err(RecordingNoticeError::PostFailed(trouble));
        }
        tokio::time::sleep(delay).await;
        delay *= 2;
    };
    let posted = reply_context
        .store
        .record_session_notice(session.id, message_id)
        .await?;
    posted.ok_or(RecordingNoticeError::SessionEnded)
}
