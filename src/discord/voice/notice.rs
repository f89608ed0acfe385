//! The people in a call are told that they are listened to, before they are.

use std::time::Duration;

use tokio::time::Instant;

use super::super::reply::Means;
use super::super::trouble::Trouble;
use super::super::wire::Post;
use crate::store::{NoticeStands, Session, StoreError};

/// How long a notice is tried to be posted. Meanwhile nobody is heard.
const PATIENCE: Duration = Duration::from_secs(30);

/// The waits between tries, doubling.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Why nobody may be listened to.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum NotTold {
    /// Discord does not take the notice.
    #[error("the notice is not posted: {0}")]
    NotPosted(Trouble),
    /// The session has ended meanwhile.
    #[error("the session has ended")]
    Ended,
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Posts what tells the people in the call. It stands once Discord has taken it and the ledger knows
/// the message.
pub(super) async fn tell(
    means: &Means,
    session: &Session,
    nonce: &str,
    post: &Post,
) -> Result<NoticeStands, NotTold> {
    let deadline = Instant::now() + PATIENCE;
    let mut wait = FIRST_WAIT;
    let message = loop {
        let wire = &means.wire;
        let posted = wire.create(session.of.text, None, nonce, post);
        let trouble = match tokio::time::timeout_at(deadline, posted).await {
            Ok(Ok(message)) => break message,
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Later("no answer in time".into()),
        };
        if trouble.is_final() || Instant::now() + wait > deadline {
            return Err(NotTold::NotPosted(trouble));
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    };
    let stands = means.store.notice_stands(session.id, message).await?;
    stands.ok_or(NotTold::Ended)
}
