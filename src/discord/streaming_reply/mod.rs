//! A reply that grows: one message that is edited in place until the answer is complete.
//!
//! One task shows the progress that the flow reports, no more often than the channel's edit limit
//! allows; another delivers the final messages. Both stop only between requests.

mod delivery;
mod editor;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::reply_context::ReplyContext;
use super::reply_renderer::ReplyView;
use super::reply_sender::{LATE_MESSAGE_BASE, ReplySender, SentMessages, TOKEN_LIFETIME};
use super::snowflake::age;
use crate::flow::frontend::{DeliveryError, JobOutcome, JobReply};
use crate::flow::job_spec::{Attachment, JobSpec, RecordingTranscript, ReplyTarget};
use crate::flow::{PipelineNotice, PipelineStage, Reply};
use crate::speech::{Transcript, TranscriptionProgress};
use crate::store::{Job, StoreError};
use crate::ui_text::bot as words;
use net::ErrorCause;

/// How long to keep trying to deliver a final message before the job is postponed.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(600);

/// The reply to one job.
pub(super) struct StreamingReply {
    inner: Arc<StreamingReplyInner>,
    edit_task: Mutex<Option<JoinHandle<()>>>,
}

struct StreamingReplyInner {
    sender: ReplySender,
    /// Whether the job fell back to the engines on this machine because of a spending cap.
    uses_local_engines: AtomicBool,
    view: Mutex<ReplyView>,
    view_changed: Notify,
    placement: watch::Sender<ReplyPlacement>,
    stop_editing: CancellationToken,
    /// Cancels the delivery in progress.
    stop_delivery: Mutex<CancellationToken>,
    sent_messages: tokio::sync::Mutex<SentMessages>,
}

/// Whether the reply has a message to be shown in.
enum ReplyPlacement {
    /// No attempt has succeeded or failed for good yet.
    Pending,
    /// A message is shown.
    Shown,
    /// There is no message, and there can be none.
    Unreachable(ErrorCause),
    /// The ledger can't be written, so nothing can be sent.
    StoreFailed,
}

impl StreamingReply {
    /// Resumes the reply to `job`, or starts it.
    pub(super) async fn open(
        context: Arc<ReplyContext>,
        job: &Job,
        spec: &JobSpec,
        fresh: bool,
    ) -> Result<Arc<Self>, StoreError> {
        let rows = context.store.result_messages(job.id).await?;
        let known: Vec<_> = rows.iter().map(|row| (row.part, row.message)).collect();
        let token_expired = match spec.reply_target {
            ReplyTarget::Message | ReplyTarget::Spoken => false,
            ReplyTarget::Command { .. } => {
                age(spec.interaction_id(job.details.source)) > TOKEN_LIFETIME
                    || known.iter().any(|(part, _)| *part >= LATE_MESSAGE_BASE)
            }
        };
        let inner = Arc::new(StreamingReplyInner {
            sender: ReplySender {
                context,
                job_id: job.id,
                source: job.details.source,
                interaction_id: spec.interaction_id(job.details.source),
                generation: job.generation,
                guild: job.details.guild,
                channel: job.details.channel,
                author: job.details.author,
                reply_target: spec.reply_target.clone(),
            },
            uses_local_engines: AtomicBool::new(false),
            view: Mutex::new(ReplyView {
                author_name: spec.speaker_name().to_owned(),
                recording_durations: spec.recordings.iter().map(Attachment::duration).collect(),
                spoken_question: match spec.reply_target {
                    ReplyTarget::Spoken => spec.question.clone(),
                    ReplyTarget::Message | ReplyTarget::Command { .. } => None,
                },
                ..ReplyView::default()
            }),
            view_changed: Notify::new(),
            placement: watch::Sender::new(ReplyPlacement::Pending),
            stop_editing: CancellationToken::new(),
            stop_delivery: Mutex::default(),
            sent_messages: tokio::sync::Mutex::new(SentMessages {
                message_ids: known,
                token_expired,
                first_unsent: fresh,
                ..SentMessages::default()
            }),
        });
        // The first message does not wait for a report of progress.
        inner.view_changed.notify_one();
        let editor = tokio::spawn(Arc::clone(&inner).run_editor());
        Ok(Arc::new(Self {
            inner,
            edit_task: Mutex::new(Some(editor)),
        }))
    }

    fn update_view(&self, change: impl FnOnce(&mut ReplyView)) {
        change(&mut self.inner.lock_view());
        self.inner.view_changed.notify_one();
    }
}

impl Drop for StreamingReply {
    fn drop(&mut self) {
        // The task ends after the request in progress.
        self.inner.stop_editing.cancel();
    }
}

impl Reply for StreamingReply {
    fn enter_stage(&self, stage: PipelineStage) {
        self.update_view(|view| {
            view.stage = Some(stage);
            view.progress = None;
        });
    }

    fn show_notice(&self, notice: PipelineNotice<'_>) {
        if let Some(line) = words::notice(&notice) {
            self.update_view(|view| {
                if !view.notices.contains(&line) {
                    view.notices.push(line);
                }
            });
        }
    }

    fn show_transcription_progress(&self, progress: TranscriptionProgress) {
        self.update_view(|view| view.progress = Some(progress));
    }

    fn show_transcript(&self, _: &Transcript) {}

    fn append_answer(&self, text: &str) {
        self.update_view(|view| view.partial_answer.push_str(text));
    }

    fn retract_answer(&self) {
        self.update_view(|view| view.partial_answer.clear());
    }
}

#[async_trait]
impl JobReply for StreamingReply {
    async fn wait_until_posted(&self) -> Result<(), DeliveryError> {
        let mut placement = self.inner.placement.subscribe();
        let settled = placement.wait_for(|it| !matches!(it, ReplyPlacement::Pending));
        let settled = tokio::time::timeout(DELIVERY_TIMEOUT, settled).await;
        match settled {
            Ok(Ok(placement)) => match &*placement {
                ReplyPlacement::Shown => Ok(()),
                ReplyPlacement::Unreachable(cause) => Err(DeliveryError::TargetGone(cause.clone())),
                ReplyPlacement::Pending | ReplyPlacement::StoreFailed => Err(not_shown_error()),
            },
            Ok(Err(_)) | Err(_) => Err(not_shown_error()),
        }
    }

    async fn wait_until_lost(&self) -> ErrorCause {
        let mut placement = self.inner.placement.subscribe();
        let unreachable = placement
            .wait_for(|it| matches!(it, ReplyPlacement::Unreachable(_)))
            .await;
        let cause = unreachable.ok().and_then(|placement| match &*placement {
            ReplyPlacement::Unreachable(cause) => Some(cause.clone()),
            _ => None,
        });
        match cause {
            Some(cause) => cause,
            None => std::future::pending().await,
        }
    }

    fn notify_local_engines(&self) {
        self.inner.uses_local_engines.store(true, Ordering::Relaxed);
    }

    fn show_saved_transcripts(&self, notes: &[RecordingTranscript]) {
        self.update_view(|view| view.transcripts = notes.to_vec());
    }

    async fn deliver(&self, outcome: &JobOutcome) -> Result<Option<u64>, DeliveryError> {
        self.stop_updates().await;
        let stop = CancellationToken::new();
        *self.inner.lock_stop_delivery() = stop.clone();
        let messages = self.inner.render_messages(outcome).await?;
        // Whoever stops waiting for the delivery stops it between two requests, not in the middle
        // of one.
        let inner = Arc::clone(&self.inner);
        let delivery = tokio::spawn(async move { inner.deliver_messages(&messages, &stop).await });
        match delivery.await {
            Ok(delivered) => delivered,
            Err(_) => Err(DeliveryError::RetryLater("the delivery panicked".into())),
        }
    }

    fn restart_answer(&self) {
        self.update_view(|view| view.partial_answer.clear());
    }

    async fn delete_messages(&self) {
        self.inner.delete_messages().await;
    }

    async fn stop_updates(&self) {
        self.inner.stop_editing.cancel();
        self.inner.lock_stop_delivery().cancel();
        let editor = {
            let mut editor = self
                .edit_task
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            editor.take()
        };
        if let Some(editor) = editor {
            // Joining fails only if the task panicked.
            let _ = editor.await;
        }
        // A delivery in progress holds this lock.
        drop(self.inner.sent_messages.lock().await);
    }

    async fn reconcile_sends(&self) -> Result<(), DeliveryError> {
        let mut sent = self.inner.sent_messages.lock().await;
        self.inner.sender.reconcile_sends(&mut sent).await
    }
}

impl StreamingReplyInner {
    fn lock_view(&self) -> std::sync::MutexGuard<'_, ReplyView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_stop_delivery(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.stop_delivery
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_shown_error() -> DeliveryError {
    DeliveryError::RetryLater("no message could be sent".into())
}
