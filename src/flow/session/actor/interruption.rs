//! Times in which no audio is received.

use std::time::Duration;

use super::{SessionActor, log_store_error};
use crate::flow::consent::ConsentGrant;
use crate::flow::session::transcription::UtteranceTimes;
use crate::store::LineKind;

impl SessionActor {
    /// Starts an interruption. It is stored at once, in case this process dies before it ends.
    pub(super) async fn begin_interruption(&mut self, since: Duration) {
        self.interrupted_since = Some(since);
        let since = u64::try_from(since.as_millis()).ok();
        let store = &self.scheduler.runner().store;
        if let Err(error) = store
            .record_session_interruption(self.session.id, since)
            .await
        {
            log_store_error("can't store the start of an interruption", &error);
        }
    }

    pub(super) async fn end_interruption(&mut self, from: Duration, to: Duration) {
        if self.interrupted_since.take().is_some() {
            let store = &self.scheduler.runner().store;
            if let Err(error) = store
                .record_session_interruption(self.session.id, None)
                .await
            {
                log_store_error("can't store the end of an interruption", &error);
            }
        }
        let length = to.saturating_sub(from);
        self.interrupted_for += length;
        let times = UtteranceTimes::between(from, to);
        let line = self.new_line(
            &ConsentGrant::unowned(),
            times,
            LineKind::Interrupted,
            String::new(),
        );
        let ticket = self.reorder_buffer.reserve(from, line);
        self.reorder_buffer.give_up(ticket);
        self.commit_ready_lines().await;
    }
}
