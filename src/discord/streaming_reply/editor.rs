//! The edit loop of a growing reply.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::message_delivery::{INITIAL_BACKOFF, MAX_BACKOFF};
use super::super::reply_renderer;
use super::super::reply_sender::{ReplySender, TOKEN_EDIT_WINDOW};
use super::super::snowflake::age;
use super::{ReplyPlacement, StreamingReplyInner};
use crate::flow::frontend::DeliveryError;
use crate::flow::job_spec::ReplyTarget;
use net::Backoff;

impl StreamingReplyInner {
    /// Shows the view whenever it changes, until the reply is closed.
    pub(super) async fn run_editor(self: Arc<Self>) {
        let ReplySender {
            context,
            job_id: job,
            interaction_id: interaction,
            channel,
            ..
        } = &self.sender;
        let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
        let mut time_to_close = match self.sender.reply_target {
            ReplyTarget::Command { .. } => TOKEN_EDIT_WINDOW.checked_sub(age(*interaction)),
            ReplyTarget::Message | ReplyTarget::Spoken => None,
        };
        let opened_at = Instant::now();
        loop {
            let token_expires = async {
                match time_to_close {
                    Some(left) => tokio::time::sleep_until(opened_at + left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop_editing.cancelled() => return,
                () = self.view_changed.notified() => {}
                () = token_expires => {
                    time_to_close = None;
                    // Tells the user that the response can't be edited any longer, even if nothing
                    // new can be shown.
                    self.sent_messages.lock().await.first_shown = None;
                }
            }
            let first = self.sent_messages.lock().await.first_shown.is_none();
            if !first {
                tokio::select! {
                    biased;
                    () = self.stop_editing.cancelled() => return,
                    () = context.edit_limiter.wait_for_turn(*channel) => {}
                }
            }
            let outgoing = reply_renderer::render_progress(&self.lock_view());
            let started = Instant::now();
            let mut sent = self.sent_messages.lock().await;
            if sent.first_shown.as_ref() == Some(&outgoing) {
                continue;
            }
            match self.sender.show_progress(&mut sent, &outgoing).await {
                Ok(()) => {
                    sent.first_shown = Some(outgoing);
                    self.placement.send_replace(ReplyPlacement::Shown);
                    backoff.reset();
                    context
                        .edit_limiter
                        .record_duration(*channel, started.elapsed());
                }
                Err(DeliveryError::RetryLater(cause)) => {
                    tracing::debug!(job = job.0, why = %cause, "not shown");
                    drop(sent);
                    tokio::select! {
                        biased;
                        () = self.stop_editing.cancelled() => return,
                        () = tokio::time::sleep(backoff.next_delay()) => {}
                    }
                    self.view_changed.notify_one();
                }
                Err(DeliveryError::TargetGone(cause)) => {
                    self.placement
                        .send_replace(ReplyPlacement::Unreachable(cause));
                    return;
                }
                Err(DeliveryError::Withdrawn) => {
                    self.placement
                        .send_replace(ReplyPlacement::Unreachable("the request is gone".into()));
                    return;
                }
                // The message exists; the final text may still be accepted.
                Err(DeliveryError::Rejected(_)) => {
                    self.placement.send_replace(ReplyPlacement::Shown);
                    return;
                }
                // The delivery meets the same failure and reports it.
                Err(DeliveryError::Store(_)) => {
                    self.placement.send_replace(ReplyPlacement::StoreFailed);
                    return;
                }
            }
        }
    }
}
