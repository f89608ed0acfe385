//! Posts the notice that must be visible in the channel before anyone is recorded.

use std::time::Duration;

use tokio::time::Instant;

use super::super::api_error::ApiError;
use super::super::discord_api::OutgoingMessage;
use super::super::streaming_reply::ReplyContext;
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
    means: &ReplyContext,
    session: &SessionRecord,
    nonce: &str,
    post: &OutgoingMessage,
) -> Result<NoticePosted, RecordingNoticeError> {
    let deadline = Instant::now() + POST_TIMEOUT;
    let mut wait = MIN_RETRY_DELAY;
    let message = loop {
        let wire = &means.discord_api;
        let posted = wire.create_message(session.details.text, None, nonce, post);
        let trouble = match tokio::time::timeout_at(deadline, posted).await {
            Ok(Ok(message)) => break message,
            Ok(Err(trouble)) => trouble,
            Err(_) => ApiError::Transient("no answer in time".into()),
        };
        if trouble.is_permanent() || Instant::now() + wait > deadline {
            return Err(RecordingNoticeError::PostFailed(trouble));
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    };
    let stands = means
        .store
        .record_session_notice(session.id, message)
        .await?;
    stands.ok_or(RecordingNoticeError::SessionEnded)
}
