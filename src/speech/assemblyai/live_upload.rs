//! `POST /v1/transcribe/live`: sends a clip to Sync while it is being recorded.
//!
//! The multipart form is that of the plain endpoint, but the configuration must come first, and the
//! audio is raw PCM, since a WAV file would start with its length.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use tokio::time::Instant;

use super::api_client::{ApiClient, send_checked};
use super::error_mapping::audio_request_error;
use super::wire::TranscriptResponse;
use crate::speech::upload::{UploadBody, UploadStopped};
use crate::speech::{SpeechError, Transcript};
use net::{NetError, read_json};

/// The shortest chunk except the last.
const MIN_CHUNK: Duration = Duration::from_millis(100);

/// How long to send only complete clips if the service has no live endpoint.
const LONG_BACKOFF: Duration = Duration::from_secs(600);

/// The same after a rejection without a `Retry-After`.
const SHORT_BACKOFF: Duration = Duration::from_secs(5);

/// After this many consecutive failures, live uploads pause for [`LONG_BACKOFF`].
const MAX_CONSECUTIVE_FAILURES: u32 = 3;

/// Time limit of the whole request, beyond the clip's maximum length and the answer timeout.
const UPLOAD_SLACK: Duration = Duration::from_secs(60);

/// Everything needed to send one live upload.
pub(super) struct LiveUploadRequest {
    pub(super) api: ApiClient,
    pub(super) model: (&'static str, String),
    /// The transcription configuration as JSON.
    pub(super) config: String,
    /// The longest clip.
    pub(super) max_duration: Duration,
    /// The time limit that a timeout error reports.
    pub(super) answer_timeout: Duration,
    pub(super) provider: &'static str,
}

/// When live uploads are tried again. A live endpoint that was refused once is not tried with every
/// utterance, and when uploads keep failing, each clip is not billed twice.
#[derive(Debug, Default)]
pub(super) struct UploadBackoff(Mutex<BackoffState>);

#[derive(Debug, Default)]
struct BackoffState {
    retry_at: Option<Instant>,
    /// Uploads that failed in a row.
    consecutive_failures: u32,
}

impl UploadBackoff {
    fn lock_state(&self) -> MutexGuard<'_, BackoffState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a live upload may be tried now.
    pub(super) fn is_allowed(&self) -> bool {
        let retry_at = self.lock_state().retry_at;
        retry_at.is_none_or(|retry_at| Instant::now() >= retry_at)
    }

    fn record_success(&self) {
        self.lock_state().consecutive_failures = 0;
    }

    fn record_failure(&self, error: &NetError) {
        let mut state = self.lock_state();
        state.consecutive_failures = state.consecutive_failures.saturating_add(1);
        let pause = match error {
            NetError::Status {
                status,
                retry_after,
                ..
            } => match status.as_u16() {
                // An older version of the service, or a proxy in front of it.
                404 | 405 => LONG_BACKOFF,
                429 | 503 => retry_after.unwrap_or(SHORT_BACKOFF).min(LONG_BACKOFF),
                _ if state.consecutive_failures >= MAX_CONSECUTIVE_FAILURES => LONG_BACKOFF,
                _ => return,
            },
            _ if state.consecutive_failures >= MAX_CONSECUTIVE_FAILURES => LONG_BACKOFF,
            _ => return,
        };
        tracing::info!(?pause, "live uploads pause; clips are sent when complete");
        state.retry_at = Some(Instant::now() + pause);
    }
}

impl LiveUploadRequest {
    /// Sends `body` and returns the transcript.
    pub(super) async fn send(
        self,
        body: UploadBody,
        backoff: &UploadBackoff,
    ) -> Result<Transcript, SpeechError> {
        let body_handle = body.clone_handle();
        let response = match self.build_request(body) {
            Ok(request) => send_for_transcript(request).await,
            Err(error) => Err(error),
        };
        match response {
            Ok(response) => {
                backoff.record_success();
                Ok(response.into_transcript(self.provider, body_handle.sent_audio()))
            }
            Err(error) => {
                if is_upload_unbilled(&error) {
                    body_handle.mark_refunded();
                }
                backoff.record_failure(&error);
                Err(audio_request_error(error, self.answer_timeout))
            }
        }
    }

    fn build_request(&self, body: UploadBody) -> Result<RequestBuilder, NetError> {
        // RandomState has random keys, so the hash is a random boundary.
        let random = RandomState::new().hash_one(Instant::now());
        let boundary = format!("talkback-{random:016x}");
        let head = multipart_head(&boundary, &self.config);
        let tail = format!("\r\n--{boundary}--\r\n");
        let (name, model) = &self.model;
        let request = self.api.request(
            Method::POST,
            &["v1", "transcribe", "live"],
            self.max_duration + UPLOAD_SLACK + self.answer_timeout,
        )?;
        Ok(request
            .header(*name, model)
            .header(
                CONTENT_TYPE,
                format!("multipart/form-data; boundary={boundary}"),
            )
            .body(Body::wrap_stream(multipart_stream(head, body, tail))))
    }
}

async fn send_for_transcript(request: RequestBuilder) -> Result<TranscriptResponse, NetError> {
    let response: TranscriptResponse = read_json(send_checked(request).await?).await?;
    if response.has_text() {
        return Ok(response);
    }
    Err(NetError::Malformed {
        what: "the response has no text".into(),
    })
}

/// Whether the audio that was sent is certainly not billed. A 408 is sent for a silent upload after
/// its audio was processed, so it may be billed.
fn is_upload_unbilled(error: &NetError) -> bool {
    error.is_unbilled() && error.http_status() != Some(StatusCode::REQUEST_TIMEOUT)
}

/// The form up to the first sample.
fn multipart_head(boundary: &str, config: &str) -> String {
    format!(
        "--{boundary}\r\n\
         Content-Disposition: form-data; name=\"config\"\r\n\
         Content-Type: application/json\r\n\r\n\
         {config}\r\n\
         --{boundary}\r\n\
         Content-Disposition: form-data; name=\"audio\"; filename=\"clip.pcm\"\r\n\
         Content-Type: audio/pcm\r\n\r\n"
    )
}

/// The form in chunks. If the upload is cancelled, the stream fails, so that the server doesn't
/// take the form as complete.
fn multipart_stream(
    head: String,
    body: UploadBody,
    tail: String,
) -> impl Stream<Item = Result<Bytes, UploadStopped>> + Send + 'static {
    let head = stream::once(async move { Ok(Bytes::from(head)) });
    let audio = stream::unfold(Some((body, tail)), |state| async move {
        let (body, tail) = state?;
        match body.next_chunk(MIN_CHUNK).await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some((body, tail)))),
            Ok(None) => Some((Ok(Bytes::from(tail)), None)),
            Err(stopped) => Some((Err(stopped), None)),
        }
    });
    head.chain(audio)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn rejected(status: u16, headers: &[(&'static str, &str)]) -> NetError {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, value.parse().expect("a header"))
            })
            .collect();
        let status = StatusCode::from_u16(status).expect("a status");
        NetError::from_rejected_handshake(status, &headers, b"")
    }

    #[tokio::test(start_paused = true)]
    async fn rejected_uploads_are_not_tried_again_at_once() {
        for (error, pause) in [
            (rejected(404, &[]), Some(LONG_BACKOFF)),
            (rejected(405, &[]), Some(LONG_BACKOFF)),
            (rejected(503, &[]), Some(SHORT_BACKOFF)),
            (
                rejected(429, &[("retry-after", "7")]),
                Some(Duration::from_secs(7)),
            ),
            (rejected(429, &[("retry-after", "1e9")]), Some(LONG_BACKOFF)),
            (rejected(401, &[]), None),
            (rejected(400, &[]), None),
        ] {
            let backoff = UploadBackoff::default();
            backoff.record_failure(&error);
            assert_eq!(backoff.is_allowed(), pause.is_none(), "{error}");
            if let Some(pause) = pause {
                tokio::time::advance(pause).await;
                assert!(backoff.is_allowed(), "{error}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_failures_pause_uploads() {
        let backoff = UploadBackoff::default();
        let malformed = || NetError::Malformed { what: "it".into() };
        for _ in 0..2 {
            backoff.record_failure(&malformed());
            backoff.record_failure(&malformed());
            assert!(backoff.is_allowed());
            backoff.record_success();
        }
        for _ in 0..3 {
            backoff.record_failure(&malformed());
        }
        assert!(!backoff.is_allowed());
        tokio::time::advance(LONG_BACKOFF).await;
        assert!(backoff.is_allowed());
    }

    #[test]
    fn only_unprocessed_uploads_are_unbilled() {
        for (status, unbilled) in [(401, true), (503, true), (408, false), (504, false)] {
            assert_eq!(
                is_upload_unbilled(&rejected(status, &[])),
                unbilled,
                "{status}"
            );
        }
    }
}
