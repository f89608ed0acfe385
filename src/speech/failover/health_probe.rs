//! Probes an unhealthy transcriber with growing delays until it works again.

use std::sync::Arc;
use std::time::Duration;

use super::health::{HealthRecord, ProviderFault};
use super::provider::FailoverProvider;
use super::settings::FailoverSettings;
use crate::speech::SpeechError;

/// Probes until a probe passes, or until a clip has shown that the transcriber is healthy.
pub(super) async fn probe_until_healthy(
    provider: Arc<FailoverProvider>,
    settings: FailoverSettings,
) {
    while let Some(delay) = provider.with_record(|record| record.next_probe_delay(&settings)) {
        tokio::time::sleep(delay).await;
        if provider.is_healthy() {
            return;
        }
        match probe_with_timeout(&provider, settings.probe_timeout).await {
            Ok(()) => {
                tracing::info!(provider = provider.name(), "probe passed; used again");
                provider.with_record(HealthRecord::record_probe_success);
            }
            Err(error) => {
                tracing::debug!(provider = provider.name(), %error, "probe failed");
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
