//! Transcription during speech: live streams and their events.

use super::SessionActor;
use crate::flow::consent::ConsentGrant;
use crate::flow::session::live_streams::{LiveOutcome, LiveStreamEvent, LiveStreams};

impl SessionActor {
    /// Opens a live transcription stream for a user who starts to speak, if their caps allow it.
    pub(super) async fn open_live_stream(&mut self, grant: &ConsentGrant) {
        let Some(live) = &self.live_streams else {
            return;
        };
        if live.contains(grant) {
            // A stream gets the assistant's last answer as context only when it is opened, so an
            // idle stream is reopened after a new answer.
            if live.is_idle(grant) {
                let last_answer_id = self.last_answer().await.map(|(message, _)| message);
                if let Some(live) = &mut self.live_streams {
                    live.close_if_answer_changed(grant, last_answer_id);
                }
            }
            if self
                .live_streams
                .as_ref()
                .is_some_and(|live| live.contains(grant))
            {
                return;
            }
        }
        if !self.view.is_available() {
            return;
        }
        let person = grant.user_id();
        let Some(permit) = self.transcriber.permit_for_live_stream(person).await else {
            return;
        };
        let context = self.recognition_context().await;
        let billing = self.transcriber.billing_for(person);
        if let Some(live) = &mut self.live_streams {
            live.open(grant, (permit, billing), &context);
        }
    }

    /// Stops all uploads and live streams, as the view is not available.
    pub(super) async fn close_live_streams(&mut self) {
        if let Some(uploads) = &mut self.uploads {
            uploads.close_all();
        }
        let closed = self.live_streams.as_mut().map(LiveStreams::close_all);
        for pending in closed.into_iter().flatten() {
            self.reorder_buffer.give_up(pending.ticket);
        }
        self.commit_ready_lines().await;
    }

    /// Handles an event from the live transcriber.
    pub(super) async fn handle_live_event(&mut self, event: LiveStreamEvent) {
        let Some(live) = &mut self.live_streams else {
            return;
        };
        match live.handle_event(event) {
            LiveOutcome::Nothing => {}
            LiveOutcome::Partial(partial) => {
                let grant = partial.grant().clone();
                if let Some(text) = partial.into_inner() {
                    self.show_partial(&grant, text);
                }
            }
            LiveOutcome::Final(pending, transcript) => {
                self.handle_transcribed(pending.with_live_transcript(&transcript))
                    .await;
            }
            LiveOutcome::Failed(failed) => {
                for pending in failed {
                    self.spawn_transcription(pending, None).await;
                }
            }
        }
    }
}
