//! The provider's end: takes audio, sends results.

use std::sync::Arc;

use tokio::time::Instant;

use super::channel::{LiveChannel, LiveInput};
use super::event::LiveEvent;
use crate::speech::{SpeechError, Transcript};

/// The provider's end of the channel. Dropping it finishes the transcription.
pub struct LiveProviderHandle(pub(super) Arc<LiveChannel>);

impl LiveProviderHandle {
    /// The next input: between `min_samples` and `max_samples` samples of one utterance, or fewer
    /// if the utterance has ended. Cancel safe: dropping the future loses no input.
    pub async fn next_input(&self, min_samples: usize, max_samples: usize) -> LiveInput {
        loop {
            if let Some(input) = self.0.lock_state().take_input(min_samples, max_samples) {
                return input;
            }
            self.0.input_notify.notified().await;
        }
    }

    /// Waits until the event receiver is gone or the transcription was stopped.
    pub async fn wait_cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether the event receiver is gone or the transcription was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Sends the text recognized so far, unless the utterance already has a result.
    pub fn send_partial(&self, utterance: u64, text: String) {
        let mut state = self.0.lock_state();
        if state.pending_utterances.contains(&utterance) {
            state.discard_partials(utterance);
            state
                .events
                .push_back(LiveEvent::Partial { utterance, text });
            drop(state);
            self.0.output_notify.notify_one();
        }
    }

    /// Sends the final transcript. Only the first result of an utterance counts.
    pub fn send_final(&self, utterance: u64, transcript: Transcript) {
        let event = LiveEvent::Final {
            utterance,
            transcript,
        };
        self.0.lock_state().push_result(event);
        self.0.output_notify.notify_one();
    }

    /// Marks an utterance as failed and drops its queued audio.
    pub fn send_failure(&self, utterance: u64, error: SpeechError) {
        self.0
            .lock_state()
            .push_result(LiveEvent::Failed { utterance, error });
        self.0.output_notify.notify_one();
    }

    /// Fails every utterance that has no result yet.
    pub fn fail_all(&self, error: impl Fn() -> SpeechError) {
        let mut state = self.0.lock_state();
        for utterance in state.pending_utterances.clone() {
            let error = error();
            state.push_result(LiveEvent::Failed { utterance, error });
        }
        drop(state);
        self.0.output_notify.notify_one();
    }

    /// Records that a provider session is open from now on.
    pub fn mark_session_open(&self) {
        let mut state = self.0.lock_state();
        state.open_since.get_or_insert_with(Instant::now);
    }

    /// Records that the provider session has been closed.
    pub fn mark_session_closed(&self) {
        self.0.lock_state().mark_session_closed();
    }
}

impl Drop for LiveProviderHandle {
    fn drop(&mut self) {
        let mut state = self.0.lock_state();
        state.mark_session_closed();
        state.is_finished = true;
        drop(state);
        self.0.finished.cancel();
        self.0.output_notify.notify_one();
    }
}
