//! Turns a pipeline run into page events.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::page_event::{PageEvent, PageEventQueue, stage_name};
use crate::flow::{PipelineNotice, PipelineStage, Reply};
use crate::speech::TranscriptionProgress;
use crate::ui_text;

/// Sends the pipeline's progress and results to a page.
pub(super) struct PageReply {
    outbox: PageEventQueue,
    provider: Mutex<&'static str>,
}

impl PageReply {
    pub(super) fn new(outbox: PageEventQueue) -> Self {
        Self {
            outbox,
            provider: Mutex::default(),
        }
    }

    fn provider(&self) -> std::sync::MutexGuard<'_, &'static str> {
        self.provider.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_progress(&self, stage: PipelineStage, detail: &str) {
        let text = format!("{}: {detail}", ui_text::stage(stage));
        self.outbox.push(PageEvent::Progress { text });
    }
}

impl Reply for PageReply {
    fn enter_stage(&self, stage: PipelineStage) {
        self.outbox.push(PageEvent::Stage {
            stage: stage_name(stage),
            text: ui_text::stage(stage).to_owned(),
        });
    }

    fn show_notice(&self, notice: PipelineNotice<'_>) {
        if let PipelineNotice::ProviderStarted { provider } = notice {
            *self.provider() = provider;
            self.push_progress(PipelineStage::Transcribing, provider);
        } else if let Some(text) = ui_text::notice(&notice) {
            self.outbox.push(PageEvent::Notice { text });
        }
    }

    fn show_decode_progress(&self, done: Duration) {
        self.push_progress(PipelineStage::Decoding, &ui_text::format_duration(done));
    }

    fn show_transcription_progress(&self, progress: TranscriptionProgress) {
        let provider = *self.provider();
        let detail = format!("{provider}, {}", ui_text::progress(progress));
        self.push_progress(PipelineStage::Transcribing, &detail);
    }

    fn append_answer(&self, text: &str) {
        let text = ui_text::strip_control_chars(text);
        self.outbox.push(PageEvent::Partial { text });
    }

    fn retract_answer(&self) {
        self.outbox.push(PageEvent::TakeBack);
    }
}
