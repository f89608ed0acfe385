//! `POST /v1/transcribe/live`: a clip that is uploaded while it is recorded.
//!
//! The body is that of `/v1/transcribe`, but `config` must be there and come first: audio is decoded
//! as it lands. What is wrong is told at once, while the client still sends.

mod form_head;
mod upload_log;

pub(super) use upload_log::SyncLiveUploadLog;
pub use upload_log::{SyncLiveUpload, SyncLiveUploadEnd};

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;

use super::sync::{self, SyncRefusal, bad_request};
use super::sync_config::SyncRequestConfig;
use super::{AssemblyAiState, errors};
use crate::fault::Fault;
use crate::mock_response::MockResponse;
use crate::request_handler::{BodyAction, BodyObserver};

use form_head::{FormHead, FormProgress};

/// How long a client may send nothing.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// An upload while it comes.
pub(super) struct LiveUploadReader {
    state: Arc<AssemblyAiState>,
    log_index: Option<usize>,
    /// What the headers are refused for.
    header_error: Option<MockResponse>,
    head: FormHead,
    /// Bytes of audio a second; none: it is not known before it is whole.
    bytes_per_second: Option<u64>,
    audio_bytes: u64,
    /// When a fault strikes.
    fault_after: Option<Duration>,
    end: SyncLiveUploadEnd,
}

impl LiveUploadReader {
    /// `refused`: the answer to a key that is not right.
    pub(super) fn new(
        state: &Arc<AssemblyAiState>,
        parts: &Parts,
        fault: &Fault,
        refused: Option<MockResponse>,
    ) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
        let problem = state.script().use_rfc9457_errors;
        let header_error = refused.or_else(|| {
            let refusal = sync::check_model(header("x-aai-model")).err();
            refusal.map(|refusal| refusal_response(refusal, problem))
        });
        Self {
            log_index: state.live_uploads.start_upload(),
            state: Arc::clone(state),
            header_error,
            head: FormHead::new(header("content-type").unwrap_or_default()),
            bytes_per_second: None,
            audio_bytes: 0,
            fault_after: fault.after_upload,
            end: SyncLiveUploadEnd::ClientDisconnected,
        }
    }

    /// How much audio has come.
    fn audio_received(&self) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        Some(Duration::from_millis(self.audio_bytes * 1_000 / rate))
    }

    fn read(&mut self, piece: &[u8]) -> Result<(), SyncRefusal> {
        let mut config = None;
        match self.head.push(piece)? {
            FormProgress::Incomplete => {}
            FormProgress::Config(read, audio) => {
                config = Some(read);
                self.audio_bytes += audio as u64;
            }
            FormProgress::Audio => self.audio_bytes += piece.len() as u64,
        }
        if let Some(json) = &config {
            let config = SyncRequestConfig::from_json(json)?;
            let rate = config.sample_rate.zip(config.channels);
            self.bytes_per_second = rate.map(|(rate, channels)| u64::from(rate) * channels * 2);
            self.bytes_per_second = self.bytes_per_second.filter(|rate| *rate > 0);
        }
        self.state
            .live_uploads
            .add_received(self.log_index, config.as_deref(), self.audio_bytes);
        if self.audio_bytes > sync::MAX_AUDIO_BYTES as u64 {
            return Err(sync::audio_too_large("file exceeds 40 MB"));
        }
        match self.audio_received().map(|audio| audio.as_millis()) {
            // The closing boundary counts as audio here; the whole is measured exactly.
            Some(ms) if ms > u128::from(sync::MAX_CLIP_MS) + 10 => Err(sync::audio_too_large(
                format!("audio duration exceeds limit {} ms", sync::MAX_CLIP_MS),
            )),
            _ => Ok(()),
        }
    }
}

fn refusal_response((status, code, message): SyncRefusal, problem: bool) -> MockResponse {
    errors::sync_error(status, Some(code), &message, problem)
}

impl BodyObserver for LiveUploadReader {
    fn on_chunk(&mut self, piece: &[u8]) -> BodyAction {
        if let Some(refused) = self.header_error.take() {
            self.end = SyncLiveUploadEnd::Refused;
            return BodyAction::Respond(refused);
        }
        if let Err(refusal) = self.read(piece) {
            self.end = SyncLiveUploadEnd::Refused;
            let problem = self.state.script().use_rfc9457_errors;
            return BodyAction::Respond(refusal_response(refusal, problem));
        }
        match self.fault_after {
            Some(at) if self.audio_received().is_some_and(|audio| audio >= at) => {
                self.end = SyncLiveUploadEnd::Refused;
                BodyAction::TriggerFault
            }
            _ => BodyAction::Continue,
        }
    }

    fn chunk_timeout(&self) -> Duration {
        self.state.script().upload_idle_timeout
    }

    fn on_timeout(&mut self) -> MockResponse {
        self.end = SyncLiveUploadEnd::TimedOut;
        let problem = self.state.script().use_rfc9457_errors;
        let status = StatusCode::REQUEST_TIMEOUT;
        errors::sync_error(status, Some("upload_timeout"), "no audio came", problem)
    }

    fn on_complete(&mut self) {
        self.end = SyncLiveUploadEnd::Complete;
    }
}

impl Drop for LiveUploadReader {
    fn drop(&mut self) {
        // What broke off has been listened to as far as it came; what is whole is billed with its
        // answer, and what is refused is not billed.
        if matches!(
            self.end,
            SyncLiveUploadEnd::ClientDisconnected | SyncLiveUploadEnd::TimedOut
        ) {
            let heard = self.audio_received().unwrap_or_default();
            self.state.bill(heard);
        }
        self.state.live_uploads.finish(self.log_index, self.end);
    }
}

/// The configuration must be there, and before the audio.
pub(super) fn check_part_order(names: &[&str]) -> Result<(), SyncRefusal> {
    match names {
        ["config", "audio"] => Ok(()),
        _ => Err(bad_request("expected a config part and then an audio part")),
    }
}
