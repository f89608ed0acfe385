//! Handle to a running session.

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

/// Handle to a running session. Clones share its channels; the other fields are a snapshot.
#[derive(Clone)]
pub(in crate::discord) struct RunningSession {
    pub(super) session: SessionRecord,
    /// The current voice channel; `session` keeps the one it started in.
    pub(super) voice_channel: u64,
    /// Number of moves to another channel. After each move, nobody is heard until a new notice is
    /// posted.
    pub(super) move_count: u64,
    pub(super) messages: mpsc::Sender<SessionMessage>,
    pub(super) call_updates: mpsc::Sender<CallUpdate>,
    pub(super) transcript_view: Arc<ChannelTranscriptView>,
    pub(super) microphone: AudioInput,
    pub(super) receive_counts: SpeakerCountsReader,
    /// Cancelled once the session no longer listens.
    pub(super) stopped_listening: CancellationToken,
    pub(super) finished: CancellationToken,
    /// When members left the channel, to notice those who come back at once.
    pub(super) left_at: HashMap<u64, Instant>,
}

impl RunningSession {
    /// Ends the session. The end is stored before the session learns of it.
    pub(super) async fn end(&self, job_runner: &JobRunner, end_reason: SessionEndReason) {
        let recorded_end = session_end::record_end(job_runner, self.session.id, end_reason).await;
        let _ = self.messages.send(SessionMessage::End(recorded_end)).await;
    }

    /// Pauses the session so that the next process can resume it; returns once it has stopped.
    pub(super) async fn pause_for_restart(&self) {
        let _ = self.messages.send(SessionMessage::Restart).await;
        self.finished.cancelled().await;
    }

    /// Sends a request and waits for the reply. `None` if the session is ending.
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

    /// Whether the session has left the call and is writing its result.
    pub(super) fn is_ending(&self) -> bool {
        self.stopped_listening.is_cancelled()
    }

    /// The current voice channel.
    pub(super) fn voice_channel(&self) -> u64 {
        self.voice_channel
    }
}
