//! The audio that a provider sends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::channel::{UploadChannel, UploadStopped, duration_to_samples};
use audio::samples_to_duration;

/// The provider's end of an upload: the audio to send.
pub struct UploadBody(pub(super) Arc<UploadChannel>);

impl UploadBody {
    /// The next samples as 16-bit little-endian PCM: at least `min_audio` except at the end of the
    /// clip. `None` after the last chunk.
    ///
    /// # Errors
    ///
    /// The upload was cancelled: neither send the rest nor complete the request.
    pub async fn next_chunk(&self, min_audio: Duration) -> Result<Option<Bytes>, UploadStopped> {
        let min_samples = duration_to_samples(min_audio).max(1);
        loop {
            let changed = self.0.body_notify.notified();
            if !self.0.send_condition.get().is_none_or(|holds| holds()) {
                self.0.stop();
            }
            let chunk = self.0.lock_state().take_chunk(min_samples)?;
            if let Some(chunk) = chunk {
                self.0.meter_notify.notify_one();
                return Ok((!chunk.is_empty()).then_some(chunk));
            }
            changed.await;
        }
    }

    /// Another handle, for the code that reads the response.
    pub fn clone_handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// How much audio was sent so far.
    pub fn sent_audio(&self) -> Duration {
        samples_to_duration(self.0.lock_state().sent_samples)
    }

    /// Records that the provider refused the upload and bills nothing of it.
    pub fn mark_refunded(&self) {
        self.0.lock_state().refunded = true;
    }
}
