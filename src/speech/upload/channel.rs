//! The bounded buffer between a caller and a provider.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use audio::SAMPLE_RATE;

/// The upload was cancelled before its end.
#[derive(Debug, thiserror::Error)]
#[error("the upload was stopped")]
pub struct UploadStopped;

#[derive(Default)]
pub(super) struct UploadChannel {
    pub(super) state: Mutex<UploadChannelState>,
    /// Notified when there is more audio, more of it is allowed, or the upload is over.
    pub(super) body_notify: Notify,
    /// Notified when audio was pushed or sent, or the upload is over.
    pub(super) meter_notify: Notify,
    pub(super) stopped: CancellationToken,
    /// Audio is sent only while this returns true.
    pub(super) send_condition: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// The sending task has ended.
    pub(super) finished: CancellationToken,
}

/// Amounts are in samples.
#[derive(Default)]
pub(super) struct UploadChannelState {
    /// PCM that was not sent yet.
    pub(super) queued_bytes: VecDeque<u8>,
    pub(super) pushed_samples: u64,
    pub(super) sent_samples: u64,
    pub(super) allowed_samples: u64,
    pub(super) input_ended: bool,
    pub(super) stopped: bool,
    pub(super) task_ended: bool,
    pub(super) refunded: bool,
}

impl UploadChannelState {
    pub(super) fn is_finished(&self) -> bool {
        self.stopped || self.task_ended
    }

    /// Whether audio is queued that may not be sent yet.
    pub(super) fn is_over_budget(&self) -> bool {
        self.pushed_samples > self.allowed_samples && !self.is_finished()
    }

    /// What can be sent now, if anything; empty at the end of the clip.
    pub(super) fn take_chunk(
        &mut self,
        min_samples: usize,
    ) -> Result<Option<Bytes>, UploadStopped> {
        if self.is_finished() {
            return Err(UploadStopped);
        }
        let queued = self.queued_bytes.len() / 2;
        if self.input_ended && queued == 0 {
            return Ok(Some(Bytes::new()));
        }
        let allowed = usize::try_from(self.allowed_samples.saturating_sub(self.sent_samples))
            .unwrap_or(usize::MAX);
        let count = queued.min(allowed);
        if count == 0 || count < min_samples && !self.input_ended {
            return Ok(None);
        }
        self.sent_samples += count as u64;
        Ok(Some(self.queued_bytes.drain(..2 * count).collect()))
    }
}

impl UploadChannel {
    pub(super) fn lock_state(&self) -> MutexGuard<'_, UploadChannelState> {
        // No call leaves the state inconsistent, so a poisoned lock is still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notify(&self) {
        self.body_notify.notify_one();
        self.meter_notify.notify_one();
    }

    pub(super) fn stop(&self) {
        {
            let mut state = self.lock_state();
            state.stopped = true;
            state.queued_bytes = VecDeque::new();
        }
        self.stopped.cancel();
        self.notify();
    }
}

/// Marks the upload as finished when the sending task ends, for whatever reason.
pub(super) struct FinishOnDrop(pub(super) Arc<UploadChannel>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        self.0.lock_state().task_ended = true;
        self.0.finished.cancel();
        self.0.notify();
    }
}

/// Counts in whole milliseconds, so that sums are not rounded twice.
pub(super) fn duration_to_samples(duration: Duration) -> usize {
    (duration.as_millis() as usize).saturating_mul(SAMPLE_RATE as usize / 1_000)
}
