//! The last phase of a session: completes the pending transcriptions.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{AUDIO_DRAIN_TIMEOUT, SessionActor, SessionMessage};
use crate::flow::session::audio_worker::SpeakerAudioEvent;

impl SessionActor {
    /// Completes the pending transcriptions. Consent changes are still handled meanwhile.
    pub(super) async fn drain(
        &mut self,
        audio_events: &mut mpsc::Receiver<SpeakerAudioEvent>,
        messages: &mut mpsc::Receiver<SessionMessage>,
        limit: Duration,
    ) {
        let deadline = Instant::now() + limit;
        let members: Vec<u64> = self.participants.keys().copied().collect();
        for person in members {
            self.audio_input.finish_speaker(person);
        }
        if let Some(since) = self.interrupted_since {
            self.end_interruption(since, self.clock.elapsed()).await;
        }
        while let Ok(Some(event)) = timeout(AUDIO_DRAIN_TIMEOUT, audio_events.recv()).await {
            self.handle_audio_event(event).await;
        }
        let lost = self
            .pending_losses
            .keys()
            .filter_map(|it| self.consents.current_grant(*it));
        for grant in lost.collect::<Vec<_>>() {
            self.commit_loss_line(&grant).await;
        }
        while !self.reorder_buffer.is_empty() {
            tokio::select! {
                () = sleep_until(deadline) => {
                    tracing::warn!(
                        session = self.session.id.0,
                        utterances = self.reorder_buffer.len(),
                        "pending transcriptions were dropped at the end"
                    );
                    break;
                }
                Some(message) = messages.recv() => self.handle_message(message).await,
                Some(done) = self.transcriptions.join_next_with_id() => self.on_transcription_finished(done).await,
                Some(event) = self.live_events.recv() => self.handle_live_event(event).await,
                else => break,
            }
        }
        self.transcriptions.abort_all();
        self.reorder_buffer.give_up_all();
        self.commit_ready_lines().await;
    }
}
