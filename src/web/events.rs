//! What a page is told while its question is worked on: one JSON object a line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use crate::chat::EndReason;
use crate::flow::Stage;

/// One thing that is told. Pages rely on the shape: fields are added, never renamed or removed.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
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

impl Event {
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Failed { .. })
    }

    /// The line that is sent.
    pub(super) fn line(&self) -> String {
        // Text and numbers can always be written down.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{json}\n")
    }
}

/// What pages call a stage.
pub(super) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Decoding => "decoding",
        Stage::Transcribing => "transcribing",
        Stage::Answering => "answering",
    }
}

/// What pages call the end of an answer.
pub(super) fn finish(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Complete => "complete",
        EndReason::Length => "length",
        EndReason::Filtered => "filtered",
    }
}

/// What has happened and has not been sent yet. It does not grow while a slow connection reads:
/// words of an answer are joined, and of progress only the last is kept. What is left is bounded
/// by the answer's own bound and a handful of lines.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<VecDeque<Event>>,
    more: Notify,
}

impl Outbox {
    pub(super) fn tell(&self, event: Event) {
        let mut waiting = self.waiting();
        match (waiting.back_mut(), event) {
            (Some(Event::Partial { text }), Event::Partial { text: more }) => text.push_str(&more),
            (Some(last @ Event::Progress { .. }), event @ Event::Progress { .. }) => *last = event,
            (_, event) => waiting.push_back(event),
        }
        drop(waiting);
        self.0.more.notify_one();
    }

    /// The next thing, once there is one.
    pub(super) async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.waiting().pop_front() {
                return event;
            }
            self.0.more.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(text: &str) -> Event {
        Event::Partial { text: text.into() }
    }

    fn progress(text: &str) -> Event {
        Event::Progress { text: text.into() }
    }

    #[tokio::test]
    async fn words_are_joined_and_progress_is_replaced_while_nobody_reads() {
        let outbox = Outbox::default();
        for event in [progress("a"), progress("b"), partial("c"), partial("d")] {
            outbox.tell(event);
        }
        outbox.tell(Event::Alive);
        outbox.tell(partial("e"));
        assert!(outbox.next().await == progress("b"));
        assert!(outbox.next().await == partial("cd"));
        assert!(outbox.next().await == Event::Alive);
        assert!(outbox.next().await == partial("e"));
        assert!(outbox.waiting().is_empty());
    }

    #[test]
    fn a_line_is_an_object() {
        let line = Event::Stage {
            stage: "decoding",
            text: "Decoding\n".into(),
        };
        let told = r#"{"event":"stage","stage":"decoding","text":"Decoding\n"}"#;
        assert_eq!(line.line(), format!("{told}\n"));
        assert_eq!(Event::Alive.line(), "{\"event\":\"alive\"}\n");
    }
}
