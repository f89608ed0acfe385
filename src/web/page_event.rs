//! The events that a page receives while its question is worked on: one JSON object per line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use crate::chat::FinishReason;
use crate::flow::PipelineStage;

/// One event. Pages rely on the shape: fields are added, never renamed or removed.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum PageEvent {
    /// The upload may begin: pieces go to `/recordings/ID/BYTES`, where `BYTES` is how many bytes
    /// precede the piece, and the last one to `/recordings/ID/BYTES/last`.
    Coming { id: String },
    /// The next stage begins.
    Stage { stage: &'static str, text: String },
    /// Progress within a stage.
    Progress { text: String },
    /// A notice for the user.
    Notice { text: String },
    /// The transcript of the recording.
    Heard {
        text: String,
        by: &'static str,
        took_seconds: f64,
        duration_seconds: f64,
    },
    /// The next part of the answer.
    Partial { text: String },
    /// The answer so far was the model's reasoning; the answer follows.
    TakeBack,
    /// The complete answer. The last event.
    Answered {
        text: String,
        by: String,
        took_seconds: f64,
        finish: &'static str,
        notice: Option<&'static str>,
    },
    /// There is no answer. The last event.
    Failed { text: String, stage: &'static str },
    /// A keep-alive: the question is still being worked on.
    Alive,
}

impl PageEvent {
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Failed { .. })
    }

    /// The event as a line of JSON.
    pub(super) fn to_json_line(&self) -> String {
        // Text and numbers always serialize.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{json}\n")
    }
}

/// The name of a stage for pages.
pub(super) fn stage_name(stage: PipelineStage) -> &'static str {
    match stage {
        PipelineStage::Decoding => "decoding",
        PipelineStage::Transcribing => "transcribing",
        PipelineStage::Answering => "answering",
    }
}

/// The name of a finish reason for pages.
pub(super) fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Complete => "complete",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "filtered",
    }
}

/// Events that have not been sent yet. The queue does not grow while a slow client reads: parts of
/// the answer are merged, and only the latest progress is kept. What remains is bounded by the
/// answer's own limit and a few lines.
#[derive(Clone, Default)]
pub(super) struct PageEventQueue(Arc<PageEventQueueInner>);

#[derive(Default)]
struct PageEventQueueInner {
    pending: Mutex<VecDeque<PageEvent>>,
    pushed: Notify,
}

impl PageEventQueue {
    pub(super) fn push(&self, event: PageEvent) {
        let mut waiting = self.lock_pending();
        match (waiting.back_mut(), event) {
            (Some(PageEvent::Partial { text }), PageEvent::Partial { text: more }) => {
                text.push_str(&more);
            }
            (Some(last @ PageEvent::Progress { .. }), event @ PageEvent::Progress { .. }) => {
                *last = event;
            }
            (_, event) => waiting.push_back(event),
        }
        drop(waiting);
        self.0.pushed.notify_one();
    }

    /// The next event, once there is one.
    pub(super) async fn next(&self) -> PageEvent {
        loop {
            if let Some(event) = self.lock_pending().pop_front() {
                return event;
            }
            self.0.pushed.notified().await;
        }
    }

    fn lock_pending(&self) -> MutexGuard<'_, VecDeque<PageEvent>> {
        self.0
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(text: &str) -> PageEvent {
        PageEvent::Partial { text: text.into() }
    }

    fn progress(text: &str) -> PageEvent {
        PageEvent::Progress { text: text.into() }
    }

    #[tokio::test]
    async fn partial_answers_are_merged_and_progress_is_replaced() {
        let outbox = PageEventQueue::default();
        for event in [progress("a"), progress("b"), partial("c"), partial("d")] {
            outbox.push(event);
        }
        outbox.push(PageEvent::Alive);
        outbox.push(partial("e"));
        assert!(outbox.next().await == progress("b"));
        assert!(outbox.next().await == partial("cd"));
        assert!(outbox.next().await == PageEvent::Alive);
        assert!(outbox.next().await == partial("e"));
        assert!(outbox.lock_pending().is_empty());
    }

    #[test]
    fn events_are_tagged_objects() {
        let line = PageEvent::Stage {
            stage: "decoding",
            text: "Decoding\n".into(),
        };
        let expected = r#"{"event":"stage","stage":"decoding","text":"Decoding\n"}"#;
        assert_eq!(line.to_json_line(), format!("{expected}\n"));
        assert_eq!(PageEvent::Alive.to_json_line(), "{\"event\":\"alive\"}\n");
    }
}
