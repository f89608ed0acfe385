//! The people in a call are told that they are listened to, before they are.

use std::time::Duration;

use tokio::time::Instant;

use super::super::api_error::ApiError;
use super::super::discord_api::OutgoingMessage;
use super::super::streaming_reply::ReplyContext;
use crate::store::{NoticePosted, SessionRecord, StoreError};

/// How long a notice is tried to be posted. Meanwhile nobody is heard.
const POST_TIMEOUT: Duration = Duration::from_secs(30);

/// The waits between tries, doubling.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);

/// Why nobody may be listened to.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum RecordingNoticeError {
    /// Discord does not take the notice.
    #[error("the notice is not posted: {0}")]
    PostFailed(ApiError),
    /// The session has ended meanwhile.
    #[error("the session has ended")]
    SessionEnded,
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Posts what tells the people in the call. It stands once Discord has taken it and the ledger knows
/// the message.
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
        let posted = wire.create_message(session.details.text_channel, None, nonce, post);
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
