//! Every request, as it arrived.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::multipart::{self, FormPart};

/// The most requests that are remembered; the oldest are forgotten first.
pub const MAX_RECORDED_REQUESTS: usize = 10_000;

/// The largest body that is kept: 64 MiB. Of a larger one only size and hash are known.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes of bodies that are kept in all: 256 MiB. Past that only sizes and hashes are.
pub const MAX_TOTAL_BODY_BYTES: usize = 256 * 1024 * 1024;

/// The longest that anybody waits for requests: 30 s.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// Which of the servers a request came to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Server {
    /// AssemblyAI: all three surfaces.
    AssemblyAi,
    /// OpenAI.
    OpenAi,
    /// AssemblyAI's LLM Gateway.
    LlmGateway,
    /// The package index.
    PackageIndex,
    /// Discord.
    Discord,
}

/// One request. Read it after the client is done, or wait for it with `wait_for_requests`.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// The server it came to.
    pub server: Server,
    /// The method; compares with `"POST"`.
    pub method: Method,
    /// The path, as it came.
    pub path: String,
    /// What stands behind the `?`; empty if nothing does.
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body; empty if it was larger than [`MAX_BODY_BYTES`] or has not been read.
    pub body: Bytes,
    /// The size of the body in bytes, kept or not.
    pub body_bytes: u64,
    /// Whether the body came whole. False if the client went away in the middle of it, and for a
    /// fault that strikes before the body has been read.
    pub body_complete: bool,
    /// When the last byte of the body was there.
    pub received_at: Instant,
    /// What has become of the answer so far.
    pub outcome: ResponseOutcome,
    /// Its place in the order of all requests to the sandbox, from 0.
    pub number: u64,
    body_hash: Option<String>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResponseOutcome {
    /// Not done yet.
    Pending,
    /// Handed to the socket whole.
    Sent,
    /// The client went away first.
    ClientDisconnected,
    /// A fault broke it off.
    Aborted,
}

impl RecordedRequest {
    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text; wrong bytes are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The parts of a `multipart/form-data` body; empty if it is none.
    pub fn form_parts(&self) -> Vec<FormPart> {
        self.header("content-type")
            .and_then(|content_type| multipart::parse_form(content_type, self.body.clone()).ok())
            .unwrap_or_default()
    }

    /// The part of this name.
    pub fn form_part(&self, name: &str) -> Option<FormPart> {
        self.form_parts().into_iter().find(|part| part.name == name)
    }

    /// The value of a query parameter, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        query_param(&self.query, name)
    }

    /// SHA-256 of the body in lower-case hexadecimal, kept or not.
    pub fn body_sha256(&self) -> String {
        self.body_hash
            .clone()
            .unwrap_or_else(|| hex_sha256(&self.body))
    }
}

pub(crate) fn query_param(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A body as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedBody {
    /// Empty if it was not kept.
    pub(crate) bytes: Bytes,
    /// The first bytes, kept or not.
    pub(crate) prefix: Bytes,
    pub(crate) length: u64,
    pub(crate) complete: bool,
    /// Only if it was not kept.
    pub(crate) hash: Option<String>,
}

/// The memory of all servers of one sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<RecorderState>);

#[derive(Debug)]
struct RecorderState {
    log: Mutex<RequestLog>,
    changes: watch::Sender<u64>,
    /// How many seconds the servers' clocks are ahead of this machine's.
    clock_offset: AtomicI64,
}

#[derive(Debug, Default)]
struct RequestLog {
    requests: VecDeque<RecordedRequest>,
    body_bytes: usize,
    next_number: u64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RecorderState {
            log: Mutex::default(),
            changes: watch::Sender::new(0),
            clock_offset: AtomicI64::new(0),
        }))
    }

    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.0.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// The `Date` of an answer, if it is not that of this machine.
    pub(crate) fn date_header(&self) -> Option<String> {
        let seconds = self.0.clock_offset.load(Ordering::Relaxed);
        let off = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        let theirs = if seconds < 0 { now - off } else { now + off };
        (seconds != 0).then(|| httpdate::fmt_http_date(theirs))
    }

    fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify_changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Whether there is room for another body of this size.
    pub(crate) fn has_capacity_for(&self, bytes: usize) -> bool {
        bytes <= MAX_BODY_BYTES && self.log().body_bytes + bytes <= MAX_TOTAL_BODY_BYTES
    }

    pub(crate) fn record(
        &self,
        server: Server,
        parts: &Parts,
        body: RecordedBody,
    ) -> RequestRecordGuard {
        let mut log = self.log();
        let number = log.next_number;
        log.next_number += 1;
        if log.requests.len() == MAX_RECORDED_REQUESTS
            && let Some(oldest) = log.requests.pop_front()
        {
            log.body_bytes -= oldest.body.len();
        }
        log.body_bytes += body.bytes.len();
        log.requests.push_back(RecordedRequest {
            server,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            body_bytes: body.length,
            body_complete: body.complete,
            body: body.bytes,
            received_at: Instant::now(),
            outcome: ResponseOutcome::Pending,
            body_hash: body.hash,
            number,
        });
        drop(log);
        self.notify_changed();
        RequestRecordGuard {
            recorder: self.clone(),
            number,
            finished: false,
        }
    }

    pub(crate) fn requests(&self, server: Option<Server>) -> Vec<RecordedRequest> {
        self.log()
            .requests
            .iter()
            .filter(|request| server.is_none_or(|server| request.server == server))
            .cloned()
            .collect()
    }

    /// Waits until `enough` says so, for at most [`MAX_WAIT`].
    pub(crate) async fn wait_until(
        &self,
        server: Option<Server>,
        enough: impl Fn(&[RecordedRequest]) -> bool,
    ) -> Vec<RecordedRequest> {
        let mut changes = self.0.changes.subscribe();
        let deadline = tokio::time::Instant::now() + MAX_WAIT;
        loop {
            changes.mark_unchanged();
            let requests = self.requests(server);
            if enough(&requests) {
                return requests;
            }
            let Ok(Ok(())) = tokio::time::timeout_at(deadline, changes.changed()).await else {
                return requests;
            };
        }
    }
}

/// A request being answered. Dropped without an end: the client went away.
#[derive(Debug)]
pub(crate) struct RequestRecordGuard {
    recorder: Recorder,
    number: u64,
    finished: bool,
}

impl RequestRecordGuard {
    /// Known to the test before the client sees the end of the answer.
    pub(crate) fn finish(&mut self, outcome: ResponseOutcome) {
        self.finished = true;
        let mut log = self.recorder.log();
        // Numbers rise, so the place is found by halving.
        if let Ok(place) = log
            .requests
            .binary_search_by_key(&self.number, |request| request.number)
        {
            log.requests[place].outcome = outcome;
        }
        drop(log);
        self.recorder.notify_changed();
    }
}

impl Drop for RequestRecordGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(ResponseOutcome::ClientDisconnected);
        }
    }
}
