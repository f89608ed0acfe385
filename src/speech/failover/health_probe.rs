//! Probes an unhealthy transcriber with growing delays until it works again.

use std::sync::Arc;
use std::time::Duration;

use super::{FailoverProvider, FailoverSettings, HealthRecord, ProviderFault};
use crate::speech::SpeechError;

/// Probes until a probe passes, or until a clip has shown that the transcriber is healthy.
pub(super) async fn probe_until_healthy(
    provider: Arc<FailoverProvider>,
    settings: FailoverSettings,
) {
    while let Some(wait) = provider.with_record(|record| record.next_probe_delay(&settings)) {
        tokio::time::sleep(wait).await;
        if provider.is_healthy() {
            return;
        }
        match probe_with_timeout(&provider, settings.probe_timeout).await {
            Ok(()) => {
                tracing::info!(provider = provider.name(), "answers again");
                provider.with_record(HealthRecord::record_probe_success);
            }
            Err(error) => {
                tracing::debug!(provider = provider.name(), %error, "still broken");
                // A probe has no clip, so any failure is the transcriber's fault.
                let fault = ProviderFault::from_error(&error).unwrap_or(ProviderFault::Unavailable);
                provider.with_record(|record| record.record_probe_failure(fault));
            }
        }
    }
}

/// One probe, limited to `limit`.
pub(super) async fn probe_with_timeout(
    provider: &FailoverProvider,
    limit: Duration,
) -> Result<(), SpeechError> {
    tokio::time::timeout(limit, provider.transcriber.probe())
        .await
        .unwrap_or(Err(SpeechError::TimedOut(limit)))
}
