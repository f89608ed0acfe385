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

use crate::answer::Answer;
use crate::connection::Connection;
use crate::fault::{Effect, Fault, Faults, Refusal, apply_to_body};
use crate::recorder::{Outcome, ReadBody, Recorder, Server, hex};

/// The first bytes of a body that is not kept, for recognizing what it is: 64 KiB.
const HEAD: usize = 64 * 1024;

/// A service in its own words. The rest (sockets, recording, faults) is the same for all.
pub(crate) trait Provider: Send + Sync + 'static {
    /// What faults are given to.
    type Endpoint: Copy + Debug + Eq + Hash + Send + Sync;

    /// The name its requests are recorded under.
    const SERVER: Server;

    /// Whom a request is for, or the status that says that nobody is there.
    fn route(&self, method: &Method, path: &str) -> Result<Self::Endpoint, StatusCode>;

    /// The faults to come.
    fn faults(&self) -> &Faults<Self::Endpoint>;

    /// An error in the provider's own shape.
    fn error(
        &self,
        endpoint: Option<Self::Endpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Answer;

    /// The request is here whole, and is not refused: from here on the provider bills it, whatever
    /// becomes of the answer.
    fn bill(&self, _: Self::Endpoint, _: &Request) {}

    /// Who looks at the body while it comes; none where it is read whole first.
    fn watch(&self, _: Self::Endpoint, _: &Parts, _: &Fault) -> Option<Box<dyn Watch>> {
        None
    }

    /// The right answer. `fault` may change what is said; what it does to status, connection and
    /// bytes is not the provider's business.
    fn answer(
        &self,
        endpoint: Self::Endpoint,
        request: Request,
        fault: &Fault,
    ) -> impl Future<Output = Answer> + Send;
}

/// Somebody who looks at a body while it comes. Dropping it is the end of the body.
pub(crate) trait Watch: Send {
    /// Some more of it.
    fn came(&mut self, piece: &[u8]) -> Early;

    /// How long the next piece may take.
    fn patience(&self) -> Duration;

    /// It took longer: what is answered.
    fn too_slow(&mut self) -> Answer;

    /// All of it is there.
    fn is_whole(&mut self);
}

/// Whether the rest of a body is read.
#[derive(Debug)]
pub(crate) enum Early {
    /// It is.
    No,
    /// This is answered instead.
    Answer(Answer),
    /// The time of a fault has come.
    Fault,
}

/// A request whose body has been read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) parts: Parts,
    pub(crate) body: ReadBody,
}

impl Request {
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
pub(crate) async fn exchange<P: Provider>(
    provider: &P,
    recorder: &Recorder,
    request: hyper::Request<Incoming>,
    connection: &Connection,
) -> Response {
    let (parts, body) = request.into_parts();
    let endpoint = provider.route(&parts.method, parts.uri.path());
    let fault = endpoint
        .as_ref()
        .ok()
        .and_then(|endpoint| provider.faults().take(endpoint))
        .unwrap_or_default();

    let Read {
        body,
        early,
        rest: unread,
    } = if fault.before_body {
        Read {
            body: ReadBody::default(),
            early: Early::No,
            rest: Some(Body::new(body).into_data_stream()),
        }
    } else {
        let watch = endpoint
            .as_ref()
            .ok()
            .and_then(|endpoint| provider.watch(*endpoint, &parts, &fault));
        Reading::new(recorder).read(body, watch).await
    };
    let complete = body.complete;
    let mut entry = recorder.record(P::SERVER, &parts, body.clone());
    if !complete && unread.is_none() {
        // There is nobody to answer.
        return Response::new(Body::empty());
    }
    if let Early::Answer(answer) = early {
        return closing(answer.into_response(entry, connection.clone()));
    }

    if let (Ok(endpoint), None, None) = (endpoint, fault.refusal(), &unread) {
        let request = Request {
            parts: parts.clone(),
            body: body.clone(),
        };
        provider.bill(endpoint, &request);
    }

    if let (true, Ok(endpoint)) = (fault.done, &endpoint) {
        let request = Request {
            parts: parts.clone(),
            body: body.clone(),
        };
        drop(provider.answer(*endpoint, request, &Fault::default()).await);
    }
    for effect in &fault.effects {
        match effect {
            Effect::Delay(delay) => tokio::time::sleep(*delay).await,
            Effect::Gate(gate) => gate.pass().await,
            Effect::Hang => std::future::pending().await,
            Effect::Close | Effect::Reset => {
                entry.ends(Outcome::BrokenOff);
                match effect {
                    Effect::Reset => connection.reset(),
                    _ => connection.close(),
                }
                return Response::new(Body::empty());
            }
            Effect::Refusal(_)
            | Effect::Body(_)
            | Effect::Stream(_)
            | Effect::JobError(_)
            | Effect::Socket(_) => {}
        }
    }

    let answer = match (fault.refusal(), endpoint) {
        (Some(refusal), endpoint) => refuse(provider, endpoint.ok(), refusal),
        (None, Err(status)) => provider.error(None, status, None, None),
        (None, Ok(endpoint)) => {
            let request = Request { parts, body };
            provider.answer(endpoint, request, &fault).await
        }
    };
    let answer = apply_to_body(&fault, answer);
    let mut response = answer.into_response(entry, connection.clone());
    let date = recorder
        .date()
        .and_then(|it| HeaderValue::try_from(it).ok());
    if let Some(date) = date {
        response.headers_mut().insert("date", date);
    }
    if unread.is_some() {
        return closing(response);
    }
    response
}

/// The rest of the body would be taken for the next request.
fn closing(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert("connection", close);
    response
}

fn refuse<P: Provider>(provider: &P, endpoint: Option<P::Endpoint>, refusal: &Refusal) -> Answer {
    let mut answer = provider.error(
        endpoint,
        refusal.status,
        refusal.code.as_deref(),
        refusal.message.as_deref(),
    );
    if let Some((content_type, body)) = &refusal.body {
        let own = Answer::new(refusal.status, "text/plain", body.clone());
        answer = own.header("content-type", content_type);
    }
    for (name, value) in &refusal.headers {
        answer = answer.header(name, value);
    }
    answer
}

/// A body as far as it was read.
struct Read {
    body: ReadBody,
    early: Early,
    /// What was not read, kept so that the connection stays open for the answer.
    rest: Option<BodyDataStream>,
}

/// A body being read.
struct Reading<'a> {
    recorder: &'a Recorder,
    kept: BytesMut,
    length: u64,
    /// Set from the moment on when the body is no longer kept.
    hash: Option<Sha256>,
}

impl<'a> Reading<'a> {
    fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            kept: BytesMut::new(),
            length: 0,
            hash: None,
        }
    }

    async fn read(mut self, body: Incoming, mut watch: Option<Box<dyn Watch>>) -> Read {
        let mut chunks = Body::new(body).into_data_stream();
        loop {
            let chunk = match &mut watch {
                None => chunks.next().await,
                Some(watch) => match timeout(watch.patience(), chunks.next()).await {
                    Ok(chunk) => chunk,
                    Err(_) => {
                        let early = Early::Answer(watch.too_slow());
                        return self.stopped(early, chunks);
                    }
                },
            };
            match chunk {
                Some(Ok(chunk)) => {
                    self.take(&chunk);
                    if let Some(watch) = &mut watch {
                        match watch.came(&chunk) {
                            Early::No => {}
                            early => return self.stopped(early, chunks),
                        }
                    }
                }
                end => {
                    let whole = end.is_none();
                    if let Some(watch) = watch.as_mut().filter(|_| whole) {
                        watch.is_whole();
                    }
                    return Read {
                        body: self.body(whole),
                        early: Early::No,
                        rest: None,
                    };
                }
            }
        }
    }

    /// The rest is not read.
    fn stopped(self, early: Early, rest: BodyDataStream) -> Read {
        Read {
            body: self.body(false),
            early,
            rest: Some(rest),
        }
    }

    fn take(&mut self, chunk: &Bytes) {
        self.length += chunk.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(chunk);
        } else if self.recorder.has_room_for(self.kept.len() + chunk.len()) {
            self.kept.extend_from_slice(chunk);
        } else {
            let mut hash = Sha256::new();
            hash.update(&self.kept);
            hash.update(chunk);
            self.hash = Some(hash);
            self.kept.truncate(HEAD);
        }
    }

    fn body(self, complete: bool) -> ReadBody {
        let kept = self.kept.freeze();
        let hash = self.hash;
        ReadBody {
            head: kept.clone(),
            bytes: if hash.is_none() { kept } else { Bytes::new() },
            length: self.length,
            complete,
            hash: hash.map(|hash| hex(&hash.finalize())),
        }
    }
}
