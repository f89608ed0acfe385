//! What a page is told while its question is worked on: one JSON object a line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use crate::chat::FinishReason;
use crate::flow::PipelineStage;

/// One thing that is told. Pages rely on the shape: fields are added, never renamed or removed.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum PageEvent {
    /// The recording may come now, piece by piece, to `/recordings/ID/BYTES`, where so many bytes
    /// are before it, and the last one to `/recordings/ID/BYTES/last`.
    Coming { id: String },
    /// The next stage begins.
    Stage { stage: &'static str, text: String },
    /// How far it is.
    Progress { text: String },
    /// Something to know on the way.
    Notice { text: String },
    /// The words of the recording.
    Heard {
        text: String,
        by: &'static str,
        took_seconds: f64,
        duration_seconds: f64,
    },
    /// More words of the answer.
    Partial { text: String },
    /// All words of the answer so far were the model's thoughts; it follows.
    TakeBack,
    /// The whole answer. Nothing follows.
    Answered {
        text: String,
        by: String,
        took_seconds: f64,
        finish: &'static str,
        notice: Option<&'static str>,
    },
    /// There is no answer. Nothing follows.
    Failed { text: String, stage: &'static str },
    /// Nothing has happened, but somebody is still at work.
    Alive,
}

impl PageEvent {
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Failed { .. })
    }

    /// The line that is sent.
    pub(super) fn to_json_line(&self) -> String {
        // Text and numbers can always be written down.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{json}\n")
    }
}

/// What pages call a stage.
pub(super) fn stage_name(stage: PipelineStage) -> &'static str {
    match stage {
        PipelineStage::Decoding => "decoding",
        PipelineStage::Transcribing => "transcribing",
        PipelineStage::Answering => "answering",
    }
}

/// What pages call the end of an answer.
pub(super) fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Complete => "complete",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "filtered",
    }
}

/// What has happened and has not been sent yet. It does not grow while a slow connection reads:
/// words of an answer are joined, and of progress only the last is kept. What is left is bounded
/// by the answer's own bound and a handful of lines.
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
                text.push_str(&more)
            }
            (Some(last @ PageEvent::Progress { .. }), event @ PageEvent::Progress { .. }) => {
                *last = event
            }
            (_, event) => waiting.push_back(event),
        }
        drop(waiting);
        self.0.pushed.notify_one();
    }

    /// The next thing, once there is one.
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
    async fn words_are_joined_and_progress_is_replaced_while_nobody_reads() {
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
    fn a_line_is_an_object() {
        let line = PageEvent::Stage {
            stage: "decoding",
            text: "Decoding\n".into(),
        };
        let told = r#"{"event":"stage","stage":"decoding","text":"Decoding\n"}"#;
        assert_eq!(line.to_json_line(), format!("{told}\n"));
        assert_eq!(PageEvent::Alive.to_json_line(), "{\"event\":\"alive\"}\n");
    }
}
