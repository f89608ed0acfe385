//! How a flow looks to a page.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::events::{Event, Outbox, stage_name};
use crate::flow::{Notice, Reply, Stage};
use crate::speech::Progress;
use crate::words;

/// Tells a page what happens.
pub(super) struct PageReply {
    outbox: Outbox,
    provider: Mutex<&'static str>,
}

impl PageReply {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            provider: Mutex::default(),
        }
    }

    fn provider(&self) -> std::sync::MutexGuard<'_, &'static str> {
        self.provider.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self, stage: Stage, how: &str) {
        let text = format!("{}: {how}", words::stage(stage));
        self.outbox.tell(Event::Progress { text });
    }
}

impl Reply for PageReply {
    fn stage(&self, stage: Stage) {
        self.outbox.tell(Event::Stage {
            stage: stage_name(stage),
            text: words::stage(stage).to_owned(),
        });
    }

    fn notice(&self, notice: Notice<'_>) {
        if let Notice::Listening { provider } = notice {
            *self.provider() = provider;
            self.progress(Stage::Transcribing, provider);
        } else if let Some(text) = words::notice(&notice) {
            self.outbox.tell(Event::Notice { text });
        }
    }

    fn decoded(&self, done: Duration) {
        self.progress(Stage::Decoding, &words::length(done));
    }

    fn progressed(&self, progress: Progress) {
        let provider = *self.provider();
        let how = format!("{provider}, {}", words::progress(progress));
        self.progress(Stage::Transcribing, &how);
    }

    fn partial(&self, text: &str) {
        let text = words::printable(text);
        self.outbox.tell(Event::Partial { text });
    }

    fn take_back(&self) {
        self.outbox.tell(Event::TakeBack);
    }
}
