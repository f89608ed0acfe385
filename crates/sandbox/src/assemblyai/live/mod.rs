//! `POST /v1/transcribe/live`: a clip that is uploaded while it is recorded.
//!
//! The body is that of `/v1/transcribe`, but `config` must be there and come first: audio is decoded
//! as it lands. What is wrong is told at once, while the client still sends.

mod head;
mod record;

pub(super) use record::Uploads;
pub use record::{LiveUpload, UploadEnd};

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;

use super::sync::{self, Refusal, bad_request};
use super::sync_config::Config;
use super::{State, errors};
use crate::answer::Answer;
use crate::exchange::{Early, Watch};
use crate::fault::Fault;

use head::{Head, Reading};

/// How long a client may send nothing.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// An upload while it comes.
pub(super) struct Upload {
    state: Arc<State>,
    place: Option<usize>,
    /// What the headers are refused for.
    refused: Option<Answer>,
    head: Head,
    /// Bytes of audio a second; none: it is not known before it is whole.
    bytes_a_second: Option<u64>,
    audio_bytes: u64,
    /// When a fault strikes.
    strikes_at: Option<Duration>,
    end: UploadEnd,
}

impl Upload {
    /// `refused`: the answer to a key that is not right.
    pub(super) fn new(
        state: &Arc<State>,
        parts: &Parts,
        fault: &Fault,
        refused: Option<Answer>,
    ) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
        let problem = state.script().problems;
        let refused = refused.or_else(|| {
            let refusal = sync::check_model(header("x-aai-model")).err();
            refusal.map(|refusal| refuse(refusal, problem))
        });
        Self {
            place: state.uploads.open(),
            state: Arc::clone(state),
            refused,
            head: Head::new(header("content-type").unwrap_or_default()),
            bytes_a_second: None,
            audio_bytes: 0,
            strikes_at: fault.after_upload,
            end: UploadEnd::ClientLeft,
        }
    }

    /// How much audio has come.
    fn audio(&self) -> Option<Duration> {
        let rate = self.bytes_a_second?;
        Some(Duration::from_millis(self.audio_bytes * 1_000 / rate))
    }

    fn read(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let mut config = None;
        match self.head.read(piece)? {
            Reading::Head => {}
            Reading::Config(read, audio) => {
                config = Some(read);
                self.audio_bytes += audio as u64;
            }
            Reading::Audio => self.audio_bytes += piece.len() as u64,
        }
        if let Some(json) = &config {
            let config = Config::read(json)?;
            let rate = config.sample_rate.zip(config.channels);
            self.bytes_a_second = rate.map(|(rate, channels)| u64::from(rate) * channels * 2);
            self.bytes_a_second = self.bytes_a_second.filter(|rate| *rate > 0);
        }
        self.state
            .uploads
            .came(self.place, config.as_deref(), self.audio_bytes);
        if self.audio_bytes > sync::MAX_BYTES as u64 {
            return Err(sync::too_large("file exceeds 40 MB"));
        }
        match self.audio().map(|audio| audio.as_millis()) {
            // The closing boundary counts as audio here; the whole is measured exactly.
            Some(ms) if ms > u128::from(sync::LONGEST_MS) + 10 => Err(sync::too_large(format!(
                "audio duration exceeds limit {} ms",
                sync::LONGEST_MS
            ))),
            _ => Ok(()),
        }
    }
}

fn refuse((status, code, message): Refusal, problem: bool) -> Answer {
    errors::sync(status, Some(code), &message, problem)
}

impl Watch for Upload {
    fn came(&mut self, piece: &[u8]) -> Early {
        if let Some(refused) = self.refused.take() {
            self.end = UploadEnd::Refused;
            return Early::Answer(refused);
        }
        if let Err(refusal) = self.read(piece) {
            self.end = UploadEnd::Refused;
            let problem = self.state.script().problems;
            return Early::Answer(refuse(refusal, problem));
        }
        match self.strikes_at {
            Some(at) if self.audio().is_some_and(|audio| audio >= at) => {
                self.end = UploadEnd::Refused;
                Early::Fault
            }
            _ => Early::No,
        }
    }

    fn patience(&self) -> Duration {
        self.state.script().upload_silence
    }

    fn too_slow(&mut self) -> Answer {
        self.end = UploadEnd::Silent;
        let problem = self.state.script().problems;
        let status = StatusCode::REQUEST_TIMEOUT;
        errors::sync(status, Some("upload_timeout"), "no audio came", problem)
    }

    fn is_whole(&mut self) {
        self.end = UploadEnd::Whole;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // What broke off has been listened to as far as it came; what is whole is billed with its
        // answer, and what is refused is not billed.
        if matches!(self.end, UploadEnd::ClientLeft | UploadEnd::Silent) {
            let heard = self.audio().unwrap_or_default();
            self.state.bill(heard);
        }
        self.state.uploads.end(self.place, self.end);
    }
}

/// The configuration must be there, and before the audio.
pub(super) fn check_order(names: &[&str]) -> Result<(), Refusal> {
    match names {
        ["config", "audio"] => Ok(()),
        _ => Err(bad_request("expected a config part and then an audio part")),
    }
}
