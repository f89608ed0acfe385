//! Asking a broken transcriber again and again, ever more rarely.

use std::sync::Arc;
use std::time::Duration;

use super::{FailoverSettings, Fault, Provider, Record};
use crate::speech::SpeechError;

/// Probes until a probe passes or somebody else finds the transcriber healthy.
pub(super) async fn until_healthy(provider: Arc<Provider>, settings: FailoverSettings) {
    while let Some(wait) = provider.with_record(|record| record.probe_after(&settings)) {
        tokio::time::sleep(wait).await;
        if provider.is_healthy() {
            return;
        }
        match probe(&provider, settings.probe_limit).await {
            Ok(()) => {
                tracing::info!(provider = provider.name(), "answers again");
                provider.with_record(Record::probe_passed);
            }
            Err(error) => {
                tracing::debug!(provider = provider.name(), %error, "still broken");
                // A probe holds no clip, so whatever fails is the transcriber's fault.
                let fault = Fault::of(&error).unwrap_or(Fault::Unavailable);
                provider.with_record(|record| record.probe_failed(fault));
            }
        }
    }
}

/// One probe, ended at `limit`.
pub(super) async fn probe(provider: &Provider, limit: Duration) -> Result<(), SpeechError> {
    tokio::time::timeout(limit, provider.transcriber.probe())
        .await
        .unwrap_or(Err(SpeechError::TimedOut(limit)))
}
