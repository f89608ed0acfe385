//! `POST /v1/transcribe/live`: a clip that is sent to Sync while it is recorded.
//!
//! The form is that of the plain path, but the configuration must come first, and the audio comes as
//! raw samples, since a WAV file would begin with its length.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use tokio::time::Instant;

use super::api::{Api, send};
use super::errors::speech_error;
use super::wire::Heard;
use crate::speech::upload::{Stopped, UploadBody};
use crate::speech::{SpeechError, Transcript};
use net::{NetError, read_json};

/// The shortest piece but the last: 100 ms.
const PIECE: Duration = Duration::from_millis(100);

/// How long the plain path alone is used where there is no other.
const WITHOUT: Duration = Duration::from_secs(600);

/// The same after a refusal that says nothing about how long it stands.
const PAUSE: Duration = Duration::from_secs(5);

/// So many failures in a row, and uploads are left for [`WITHOUT`].
const ENOUGH: u32 = 3;

/// How long a whole upload may take beyond its clip. The answer has a limit of its own.
const BEYOND: Duration = Duration::from_secs(60);

/// One upload.
pub(super) struct Exchange {
    pub(super) api: Api,
    pub(super) model: (&'static str, String),
    /// The configuration as JSON.
    pub(super) config: String,
    /// The longest clip.
    pub(super) longest: Duration,
    /// What errors say about how long it may take.
    pub(super) answer: Duration,
    pub(super) provider: &'static str,
}

/// When uploads are tried again. What the service refuses once is not asked for with every
/// utterance, and where uploads keep failing nobody pays twice for each.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    until: Option<Instant>,
    /// Uploads in a row that failed.
    failed: u32,
}

impl Refusals {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an upload may be tried.
    pub(super) fn allow(&self) -> bool {
        let until = self.record().until;
        until.is_none_or(|until| Instant::now() >= until)
    }

    fn worked(&self) {
        self.record().failed = 0;
    }

    fn note(&self, error: &NetError) {
        let mut record = self.record();
        record.failed = record.failed.saturating_add(1);
        let pause = match error {
            NetError::Status {
                status,
                retry_after,
                ..
            } => match status.as_u16() {
                // An older service, or one that stands in for it.
                404 | 405 => WITHOUT,
                429 | 503 => retry_after.unwrap_or(PAUSE).min(WITHOUT),
                _ if record.failed >= ENOUGH => WITHOUT,
                _ => return,
            },
            _ if record.failed >= ENOUGH => WITHOUT,
            _ => return,
        };
        tracing::info!(?pause, "clips are sent whole");
        record.until = Some(Instant::now() + pause);
    }
}

impl Exchange {
    /// Sends what `body` gives, and gives the words.
    pub(super) async fn run(
        self,
        body: UploadBody,
        refusals: &Refusals,
    ) -> Result<Transcript, SpeechError> {
        let end = body.handle();
        let heard = match self.request(body) {
            Ok(request) => answer(request).await,
            Err(error) => Err(error),
        };
        match heard {
            Ok(heard) => {
                refusals.worked();
                Ok(heard.into_transcript(self.provider, end.sent()))
            }
            Err(error) => {
                if bills_nothing(&error) {
                    end.refunded();
                }
                refusals.note(&error);
                Err(speech_error(error, self.answer))
            }
        }
    }

    fn request(&self, body: UploadBody) -> Result<RequestBuilder, NetError> {
        // Its keys are random.
        let number = RandomState::new().hash_one(Instant::now());
        let boundary = format!("talkback-{number:016x}");
        let head = head(&boundary, &self.config);
        let tail = format!("\r\n--{boundary}--\r\n");
        let (name, model) = &self.model;
        let request = self.api.request(
            Method::POST,
            &["v1", "transcribe", "live"],
            self.longest + BEYOND + self.answer,
        )?;
        Ok(request
            .header(*name, model)
            .header(
                CONTENT_TYPE,
                format!("multipart/form-data; boundary={boundary}"),
            )
            .body(Body::wrap_stream(form(head, body, tail))))
    }
}

async fn answer(request: RequestBuilder) -> Result<Heard, NetError> {
    let heard: Heard = read_json(send(request).await?).await?;
    if heard.has_text() {
        return Ok(heard);
    }
    Err(NetError::Malformed {
        what: "no text in it".into(),
    })
}

/// Whether what was sent is surely not billed. An upload that is ended for its silence was listened
/// to before.
fn bills_nothing(error: &NetError) -> bool {
    error.did_nothing() && error.http_status() != Some(StatusCode::REQUEST_TIMEOUT)
}

/// What comes before the first sample.
fn head(boundary: &str, config: &str) -> String {
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

/// The form, piece by piece. One that is stopped breaks off, so that nobody takes it for whole.
fn form(
    head: String,
    body: UploadBody,
    tail: String,
) -> impl Stream<Item = Result<Bytes, Stopped>> + Send + 'static {
    let head = stream::once(async move { Ok(Bytes::from(head)) });
    let audio = stream::unfold(Some((body, tail)), |state| async move {
        let (body, tail) = state?;
        match body.next(PIECE).await {
            Ok(Some(piece)) => Some((Ok(piece), Some((body, tail)))),
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

    fn refused(status: u16, headers: &[(&'static str, &str)]) -> NetError {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, value.parse().expect("a header"))
            })
            .collect();
        let status = StatusCode::from_u16(status).expect("a status");
        NetError::refused(status, &headers, b"")
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_asked_for_at_once_again() {
        for (error, pause) in [
            (refused(404, &[]), Some(WITHOUT)),
            (refused(405, &[]), Some(WITHOUT)),
            (refused(503, &[]), Some(PAUSE)),
            (
                refused(429, &[("retry-after", "7")]),
                Some(Duration::from_secs(7)),
            ),
            (refused(429, &[("retry-after", "1e9")]), Some(WITHOUT)),
            (refused(401, &[]), None),
            (refused(400, &[]), None),
        ] {
            let refusals = Refusals::default();
            refusals.note(&error);
            assert_eq!(refusals.allow(), pause.is_none(), "{error}");
            if let Some(pause) = pause {
                tokio::time::advance(pause).await;
                assert!(refusals.allow(), "{error}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_uploads_keep_failing_clips_are_sent_whole() {
        let refusals = Refusals::default();
        let broken = || NetError::Malformed { what: "it".into() };
        for _ in 0..2 {
            refusals.note(&broken());
            refusals.note(&broken());
            assert!(refusals.allow());
            refusals.worked();
        }
        for _ in 0..3 {
            refusals.note(&broken());
        }
        assert!(!refusals.allow());
        tokio::time::advance(WITHOUT).await;
        assert!(refusals.allow());
    }

    #[test]
    fn only_what_was_surely_not_listened_to_costs_nothing() {
        for (status, nothing) in [(401, true), (503, true), (408, false), (504, false)] {
            assert_eq!(bills_nothing(&refused(status, &[])), nothing, "{status}");
        }
    }
}
