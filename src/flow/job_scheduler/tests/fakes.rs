//! Fake frontend, transcriber and chat model for the scheduler's tests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::chat::{
    AnswerChunk, AnswerEnd, AnswerStream, ChatError, ChatModel, ChatProbe, Conversation,
    FinishReason, ModelCard,
};
use crate::flow::frontend::{DeliveryError, FetchError, Frontend, JobOutcome, JobReply};
use crate::flow::job_spec::{Attachment, JobSpec, RecordingTranscript};
use crate::flow::{PipelineStage, Reply};
use crate::speech::{
    Capabilities, Hints, SpeechError, Transcriber, Transcript, TranscriptionObserver,
};
use crate::store::{Job, StoreError, StoredTurn};
use audio::{Clip, Recording};
use net::ErrorCause;

/// How a delivery fails.
pub(super) enum ScriptedDelivery {
    RetryLater,
    Panics,
}

#[derive(Default)]
pub(super) struct FakeChannel {
    pub(super) deliveries: Mutex<VecDeque<ScriptedDelivery>>,
    pub(super) shown: Mutex<Vec<String>>,
    pub(super) attempts: AtomicUsize,
    pub(super) changed: Notify,
}

impl FakeChannel {
    pub(super) async fn wait_until(&self, what: &str, fits: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !fits(self) {
                self.changed.notified().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(found.is_ok(), "timed out waiting for {what}");
    }

    pub(super) fn shown(&self) -> Vec<String> {
        self.shown.lock().expect("not poisoned").clone()
    }
}

struct FakeJobReply(Arc<FakeChannel>);

impl Reply for FakeJobReply {
    fn retract_answer(&self) {}

    fn enter_stage(&self, _: PipelineStage) {}
}

#[async_trait]
impl JobReply for FakeJobReply {
    async fn wait_until_posted(&self) -> Result<(), DeliveryError> {
        Ok(())
    }

    async fn wait_until_lost(&self) -> ErrorCause {
        std::future::pending().await
    }

    fn notify_local_engines(&self) {}

    fn show_saved_transcripts(&self, _: &[RecordingTranscript]) {}

    async fn deliver(&self, outcome: &JobOutcome) -> Result<Option<u64>, DeliveryError> {
        let next = self.0.deliveries.lock().expect("not poisoned").pop_front();
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        self.0.changed.notify_one();
        match next {
            Some(ScriptedDelivery::RetryLater) => {
                Err(DeliveryError::RetryLater("an outage".into()))
            }
            panics => {
                assert!(panics.is_none(), "a delivery panics");
                let name = match outcome {
                    JobOutcome::Answered { answer, .. } => answer.0.clone(),
                    JobOutcome::Failed { failure, .. } => failure.to_string(),
                    other => format!("{other:?}"),
                };
                self.0.shown.lock().expect("not poisoned").push(name);
                self.0.changed.notify_one();
                Ok(Some(1))
            }
        }
    }

    fn restart_answer(&self) {}

    async fn delete_messages(&self) {}

    async fn stop_updates(&self) {}

    async fn reconcile_sends(&self) -> Result<(), DeliveryError> {
        Ok(())
    }
}

pub(super) struct FakeFrontend(pub(super) Arc<FakeChannel>);

#[async_trait]
impl Frontend for FakeFrontend {
    async fn fetch_recording(
        &self,
        _: &Job,
        _: &Attachment,
        _: u64,
    ) -> Result<Recording, FetchError> {
        Err(FetchError::Gone)
    }

    async fn fetch_earlier_turns(&self, _: &Job, _: u64) -> Vec<StoredTurn> {
        Vec::new()
    }

    fn reply_expires_in(&self, _: u64, _: &JobSpec) -> Option<Duration> {
        None
    }

    async fn delete_reply(&self, _: &Job, _: &JobSpec) {}

    async fn open_reply(
        &self,
        _: &Job,
        _: &JobSpec,
        _: bool,
    ) -> Result<Arc<dyn JobReply>, StoreError> {
        Ok(Arc::new(FakeJobReply(Arc::clone(&self.0))))
    }
}

pub(super) struct FailingTranscriber(pub(super) Capabilities);

#[async_trait]
impl Transcriber for FailingTranscriber {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    async fn transcribe(
        &self,
        _: &Clip,
        _: &Hints,
        _: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        Err(SpeechError::UnsupportedClip)
    }

    async fn probe(&self) -> Result<(), SpeechError> {
        Ok(())
    }
}

pub(super) struct PanickingChatModel {
    pub(super) card: ModelCard,
    pub(super) panics: usize,
    pub(super) requests: AtomicUsize,
}

#[async_trait]
impl ChatModel for PanickingChatModel {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    async fn answer(&self, _: &Conversation) -> Result<AnswerStream, ChatError> {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        assert!(before >= self.panics, "a model panics");
        let end = AnswerEnd {
            reason: FinishReason::Complete,
            usage: None,
        };
        let pieces = [
            Ok(AnswerChunk::Text("Paris.".to_owned())),
            Ok(AnswerChunk::End(end)),
        ];
        Ok(Box::pin(futures_util::stream::iter(pieces)))
    }

    async fn probe(&self) -> Result<ChatProbe, ChatError> {
        Ok(ChatProbe::default())
    }
}
