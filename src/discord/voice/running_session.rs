//! A running session, as others reach it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::connection::CallUpdate;
use super::transcript_view::ChannelTranscriptView;
use crate::discord::health::VoiceSessionStatus;
use crate::flow::job_runner::JobRunner;
use crate::flow::session::SessionEndReason;
use crate::flow::session::actor::SessionMessage;
use crate::flow::session::audio_worker::{AudioInput, SpeakerCountsReader};
use crate::flow::session::session_end;
use crate::store::SessionRecord;

/// A running session, as others reach it.
#[derive(Clone)]
pub(in crate::discord) struct RunningSession {
    pub(super) session: SessionRecord,
    /// The voice channel it is in now.
    pub(super) voice_channel: u64,
    /// How often it was moved. The people in the call know of each move before they are heard.
    pub(super) move_count: u64,
    pub(super) messages: mpsc::Sender<SessionMessage>,
    pub(super) call_updates: mpsc::Sender<CallUpdate>,
    pub(super) transcript_view: Arc<ChannelTranscriptView>,
    pub(super) microphone: AudioInput,
    pub(super) receive_counts: SpeakerCountsReader,
    /// Nobody is listened to any more.
    pub(super) stopped_listening: CancellationToken,
    pub(super) finished: CancellationToken,
    /// When people left.
    pub(super) left_at: HashMap<u64, Instant>,
}

impl RunningSession {
    /// Ends it: in the ledger before anything else.
    pub(super) async fn end(&self, workshop: &JobRunner, ending: SessionEndReason) {
        let noted = session_end::record_end(workshop, self.session.id, ending).await;
        let _ = self.messages.send(SessionMessage::End(noted)).await;
    }

    /// Stops it for the next process to go on with, and waits until it has stopped.
    pub(super) async fn pause_for_restart(&self) {
        let _ = self.messages.send(SessionMessage::Restart).await;
        self.finished.cancelled().await;
    }

    /// Asks it something. None if it is just ending.
    pub(super) async fn request<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> SessionMessage,
    ) -> Option<T> {
        let (sender, reply) = oneshot::channel();
        self.messages.send(message(sender)).await.ok()?;
        reply.await.ok()
    }

    pub(super) fn snapshot(&self) -> VoiceSessionStatus {
        let mut people: Vec<_> = self.receive_counts.snapshot().into_iter().collect();
        people.sort_by_key(|(person, _)| *person);
        VoiceSessionStatus {
            id: self.session.id.0,
            guild: self.session.details.guild,
            voice_channel: self.voice_channel,
            started: self.session.started,
            people,
        }
    }

    /// Whether it has left the call, and its end is being written.
    pub(super) fn is_ending(&self) -> bool {
        self.stopped_listening.is_cancelled()
    }

    /// The voice channel it is in now.
    pub(super) fn voice_channel(&self) -> u64 {
        self.voice_channel
    }
}
