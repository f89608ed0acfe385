//! One request and its answer: what all servers have in common.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::connection::ConnectionControl;
use crate::fault::{ErrorOverride, Fault, FaultEffect, FaultQueue, apply_to_body};
use crate::mock_response::MockResponse;
use crate::recorder::{RecordedBody, Recorder, ResponseOutcome, Server, hex};

/// The first bytes of a body that is not kept, for recognizing what it is: 64 KiB.
const SNIFFED_BYTES: usize = 64 * 1024;

/// A service in its own words. The rest (sockets, recording, faults) is the same for all.
pub(crate) trait MockService: Send + Sync + 'static {
    /// What faults are given to.
    type Endpoint: Copy + Debug + Eq + Hash + Send + Sync;

    /// The name its requests are recorded under.
    const SERVER: Server;

    /// Whom a request is for, or the status that says that nobody is there.
    fn route(&self, method: &Method, path: &str) -> Result<Self::Endpoint, StatusCode>;

    /// The faults to come.
    fn faults(&self) -> &FaultQueue<Self::Endpoint>;

    /// An error in the provider's own shape.
    fn error_response(
        &self,
        endpoint: Option<Self::Endpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> MockResponse;

    /// The request is here whole, and is not refused: from here on the provider bills it, whatever
    /// becomes of the answer.
    fn record_billing(&self, _: Self::Endpoint, _: &BufferedRequest) {}

    /// Who looks at the body while it comes; none where it is read whole first.
    fn observe_body(
        &self,
        _: Self::Endpoint,
        _: &Parts,
        _: &Fault,
    ) -> Option<Box<dyn BodyObserver>> {
        None
    }

    /// The right answer. `fault` may change what is said; what it does to status, connection and
    /// bytes is not the provider's business.
    fn respond(
        &self,
        endpoint: Self::Endpoint,
        request: BufferedRequest,
        fault: &Fault,
    ) -> impl Future<Output = MockResponse> + Send;
}

/// Somebody who looks at a body while it comes. Dropping it is the end of the body.
pub(crate) trait BodyObserver: Send {
    /// Some more of it.
    fn on_chunk(&mut self, piece: &[u8]) -> BodyAction;

    /// How long the next piece may take.
    fn chunk_timeout(&self) -> Duration;

    /// It took longer: what is answered.
    fn on_timeout(&mut self) -> MockResponse;

    /// All of it is there.
    fn on_complete(&mut self);
}

/// Whether the rest of a body is read.
#[derive(Debug)]
pub(crate) enum BodyAction {
    /// It is.
    Continue,
    /// This is answered instead.
    Respond(MockResponse),
    /// The time of a fault has come.
    TriggerFault,
}

/// A request whose body has been read.
#[derive(Debug)]
pub(crate) struct BufferedRequest {
    pub(crate) parts: Parts,
    pub(crate) body: RecordedBody,
}

impl BufferedRequest {
    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    pub(crate) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The content type without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> Option<String> {
        let content_type = self.header("content-type")?;
        let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
        Some(media_type.trim().to_ascii_lowercase())
    }
}

/// Reads, records, breaks what is to be broken, and answers.
pub(crate) async fn handle_request<P: MockService>(
    provider: &P,
    recorder: &Recorder,
    request: hyper::Request<Incoming>,
    connection: &ConnectionControl,
) -> Response {
    let (parts, body) = request.into_parts();
    let endpoint = provider.route(&parts.method, parts.uri.path());
    let fault = endpoint
        .as_ref()
        .ok()
        .and_then(|endpoint| provider.faults().take_next(endpoint))
        .unwrap_or_default();

    let BodyReadResult {
        body,
        action: early,
        unread,
    } = if fault.before_body {
        BodyReadResult {
            body: RecordedBody::default(),
            action: BodyAction::Continue,
            unread: Some(Body::new(body).into_data_stream()),
        }
    } else {
        let watch = endpoint
            .as_ref()
            .ok()
            .and_then(|endpoint| provider.observe_body(*endpoint, &parts, &fault));
        BodyReader::new(recorder).read(body, watch).await
    };
    let complete = body.complete;
    let mut entry = recorder.record(P::SERVER, &parts, body.clone());
    if !complete && unread.is_none() {
        // There is nobody to answer.
        return Response::new(Body::empty());
    }
    if let BodyAction::Respond(answer) = early {
        return with_connection_close(answer.into_response(entry, connection.clone()));
    }

    if let (Ok(endpoint), None, None) = (endpoint, fault.error_override(), &unread) {
        let request = BufferedRequest {
            parts: parts.clone(),
            body: body.clone(),
        };
        provider.record_billing(endpoint, &request);
    }

    if let (true, Ok(endpoint)) = (fault.after_processing, &endpoint) {
        let request = BufferedRequest {
            parts: parts.clone(),
            body: body.clone(),
        };
        drop(
            provider
                .respond(*endpoint, request, &Fault::default())
                .await,
        );
    }
    for effect in &fault.effects {
        match effect {
            FaultEffect::Delay(delay) => tokio::time::sleep(*delay).await,
            FaultEffect::Gate(gate) => gate.wait_until_open().await,
            FaultEffect::Hang => std::future::pending().await,
            FaultEffect::Close | FaultEffect::Reset => {
                entry.finish(ResponseOutcome::Aborted);
                match effect {
                    FaultEffect::Reset => connection.reset(),
                    _ => connection.close(),
                }
                return Response::new(Body::empty());
            }
            FaultEffect::ErrorResponse(_)
            | FaultEffect::Body(_)
            | FaultEffect::Stream(_)
            | FaultEffect::JobError(_)
            | FaultEffect::Socket(_) => {}
        }
    }

    let answer = match (fault.error_override(), endpoint) {
        (Some(refusal), endpoint) => refusal_response(provider, endpoint.ok(), refusal),
        (None, Err(status)) => provider.error_response(None, status, None, None),
        (None, Ok(endpoint)) => {
            let request = BufferedRequest { parts, body };
            provider.respond(endpoint, request, &fault).await
        }
    };
    let answer = apply_to_body(&fault, answer);
    let mut response = answer.into_response(entry, connection.clone());
    let date = recorder
        .date_header()
        .and_then(|it| HeaderValue::try_from(it).ok());
    if let Some(date) = date {
        response.headers_mut().insert("date", date);
    }
    if unread.is_some() {
        return with_connection_close(response);
    }
    response
}

/// The rest of the body would be taken for the next request.
fn with_connection_close(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert("connection", close);
    response
}

fn refusal_response<P: MockService>(
    provider: &P,
    endpoint: Option<P::Endpoint>,
    refusal: &ErrorOverride,
) -> MockResponse {
    let mut answer = provider.error_response(
        endpoint,
        refusal.status,
        refusal.code.as_deref(),
        refusal.message.as_deref(),
    );
    if let Some((content_type, body)) = &refusal.body {
        let own = MockResponse::new(refusal.status, "text/plain", body.clone());
        answer = own.header("content-type", content_type);
    }
    for (name, value) in &refusal.headers {
        answer = answer.header(name, value);
    }
    answer
}

/// A body as far as it was read.
struct BodyReadResult {
    body: RecordedBody,
    action: BodyAction,
    /// What was not read, kept so that the connection stays open for the answer.
    unread: Option<BodyDataStream>,
}

/// A body being read.
struct BodyReader<'a> {
    recorder: &'a Recorder,
    kept: BytesMut,
    length: u64,
    /// Set from the moment on when the body is no longer kept.
    hash: Option<Sha256>,
}

impl<'a> BodyReader<'a> {
    fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            kept: BytesMut::new(),
            length: 0,
            hash: None,
        }
    }

    async fn read(
        mut self,
        body: Incoming,
        mut watch: Option<Box<dyn BodyObserver>>,
    ) -> BodyReadResult {
        let mut chunks = Body::new(body).into_data_stream();
        loop {
            let chunk = match &mut watch {
                None => chunks.next().await,
                Some(watch) => match timeout(watch.chunk_timeout(), chunks.next()).await {
                    Ok(chunk) => chunk,
                    Err(_) => {
                        let early = BodyAction::Respond(watch.on_timeout());
                        return self.stop_early(early, chunks);
                    }
                },
            };
            match chunk {
                Some(Ok(chunk)) => {
                    self.push(&chunk);
                    if let Some(watch) = &mut watch {
                        match watch.on_chunk(&chunk) {
                            BodyAction::Continue => {}
                            early => return self.stop_early(early, chunks),
                        }
                    }
                }
                end => {
                    let whole = end.is_none();
                    if let Some(watch) = watch.as_mut().filter(|_| whole) {
                        watch.on_complete();
                    }
                    return BodyReadResult {
                        body: self.into_body(whole),
                        action: BodyAction::Continue,
                        unread: None,
                    };
                }
            }
        }
    }

    /// The rest is not read.
    fn stop_early(self, early: BodyAction, rest: BodyDataStream) -> BodyReadResult {
        BodyReadResult {
            body: self.into_body(false),
            action: early,
            unread: Some(rest),
        }
    }

    fn push(&mut self, chunk: &Bytes) {
        self.length += chunk.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(chunk);
        } else if self
            .recorder
            .has_capacity_for(self.kept.len() + chunk.len())
        {
            self.kept.extend_from_slice(chunk);
        } else {
            let mut hash = Sha256::new();
            hash.update(&self.kept);
            hash.update(chunk);
            self.hash = Some(hash);
            self.kept.truncate(SNIFFED_BYTES);
        }
    }

    fn into_body(self, complete: bool) -> RecordedBody {
        let kept = self.kept.freeze();
        let hash = self.hash;
        RecordedBody {
            prefix: kept.clone(),
            bytes: if hash.is_none() { kept } else { Bytes::new() },
            length: self.length,
            complete,
            hash: hash.map(|hash| hex(&hash.finalize())),
        }
    }
}
