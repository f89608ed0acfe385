//! Metered providers. The pipeline sees providers only through these wrappers: each call takes a
//! [`Permit`], which learns what was used. The clients themselves stay private.

mod chat_model;
mod live_stream;

use std::sync::Arc;
use std::time::Duration;

use super::admission::{AllowedEngines, Permit};
use crate::speech::{
    Capabilities, Hints, LOCAL_NAME_SUFFIX, SpeechError, StreamingRecognition, Transcriber,
    Transcript, TranscriptionObserver, TranscriptionProgress,
};
use audio::Clip;

pub use chat_model::{PaidAnswer, PaidModel};
pub use live_stream::{PaidLiveTranscriber, STREAM_SLICE};

/// A transcriber whose calls may cost money.
#[derive(Clone)]
pub struct PaidTranscriber(Arc<dyn Transcriber>);

impl PaidTranscriber {
    /// Wraps a client.
    #[must_use]
    pub fn new(client: Arc<dyn Transcriber>) -> Self {
        Self(client)
    }

    /// The client, for code in this module tree that handles its own permits.
    pub(super) fn client(&self) -> &dyn Transcriber {
        &*self.0
    }

    /// Like [`Transcriber::capabilities`].
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    /// Like [`Transcriber::transcribe`]; the permit learns which providers were given the clip.
    ///
    /// # Errors
    ///
    /// The errors of the transcriber.
    pub async fn transcribe(
        &self,
        permit: &Permit,
        clip: &Clip,
        hints: &Hints,
        observer: &dyn TranscriptionObserver,
    ) -> Result<Transcript, SpeechError> {
        if permit.engines() == AllowedEngines::LocalOnly
            && !self.capabilities().name.ends_with(LOCAL_NAME_SUFFIX)
        {
            tracing::error!("a local-only permit was used for a paid provider");
            return Err(SpeechError::UnsupportedClip);
        }
        let billing = BillingObserver {
            permit,
            duration: clip.duration(),
            observer,
        };
        let transcript = self.0.transcribe(clip, hints, &billing).await?;
        if transcript.is_local() {
            permit.charge_local_audio(clip.duration());
        }
        Ok(transcript)
    }

    /// Like [`Transcriber::start_streaming`], which only local, free engines support.
    #[must_use]
    pub fn start_streaming(&self, hints: &Hints) -> Option<Box<dyn StreamingRecognition>> {
        self.0.start_streaming(hints)
    }

    /// Like [`Transcriber::prewarm`]; free of charge.
    pub async fn warm(&self) {
        self.0.prewarm().await;
    }

    /// Like [`Transcriber::probe`]; free of charge.
    ///
    /// # Errors
    ///
    /// Why it would not work.
    pub async fn probe(&self) -> Result<(), SpeechError> {
        self.0.probe().await
    }
}

/// Forwards progress reports, and charges the permit.
struct BillingObserver<'a> {
    permit: &'a Permit,
    duration: Duration,
    observer: &'a dyn TranscriptionObserver,
}

impl TranscriptionObserver for BillingObserver<'_> {
    fn on_start(&self, provider: &'static str) {
        self.observer.on_start(provider);
    }

    fn on_progress(&self, progress: TranscriptionProgress) {
        self.observer.on_progress(progress);
    }

    fn on_charge(&self) {
        self.permit.charge_recording(self.duration);
    }

    fn on_refund(&self) {
        self.permit.refund_recording(self.duration);
    }

    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        self.observer.on_fallback(provider, error, next);
    }
}
