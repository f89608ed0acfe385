//! Controls and measures how much of a clip is sent.

use std::sync::Arc;
use std::time::Duration;

use super::channel::{UploadChannel, duration_to_samples};
use audio::samples_to_duration;

/// Controls and measures what an upload sends, for billing.
pub struct UploadMeter(pub(super) Arc<UploadChannel>);

impl UploadMeter {
    /// Allows this much of the clip, counted from its start, to be sent.
    pub fn allow_up_to(&self, audio: Duration) {
        self.0.lock_state().allowed_samples = duration_to_samples(audio) as u64;
        self.0.notify();
    }

    /// How much audio was sent that a provider may bill. Final once
    /// [`wait_finished`](Self::wait_finished) has returned.
    pub fn sent_audio(&self) -> Duration {
        let state = self.0.lock_state();
        let sent = if state.refunded {
            0
        } else {
            state.sent_samples
        };
        samples_to_duration(sent)
    }

    /// Waits until less than `margin` is left between the recorded and the allowed audio.
    pub async fn wait_budget_low(&self, margin: Duration) {
        let margin = duration_to_samples(margin) as u64;
        loop {
            let changed = self.0.meter_notify.notified();
            {
                let state = self.0.lock_state();
                let budget_low =
                    state.pushed_samples + margin > state.allowed_samples && !state.input_ended;
                if budget_low && !state.is_finished() || state.is_over_budget() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until the upload is over, whatever the outcome.
    pub async fn wait_finished(&self) {
        self.0.finished.cancelled().await;
    }

    /// Cancels the upload.
    pub fn stop(&self) {
        self.0.stop();
    }
}
