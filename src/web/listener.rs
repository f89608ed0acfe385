//! Accepts connections and serves them under time limits, so that slow clients can't keep others
//! out.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::auth_layer::HEALTH_PATH;
use super::connection_slots::{ActiveRequest, ConnectionSlot, ConnectionSlots};
use super::page::refusal_response;
use super::timeout_stream::TimeoutStream;
use crate::ui_text;

/// The time limit for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests to this path are exempt from the body time limit. They have limits of their own that
/// allow uploading a recording over a slow line.
pub(super) const UPLOAD_PATH: &str = "/ask";

/// The pause after an error that is not one connection's, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// The limit on the head of a request, in bytes.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let slots = ConnectionSlots::default();
    // Dropping it closes the connections.
    let mut connections: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let slot = slots.acquire(address.ip());
                    connections.spawn(serve_connection(stream, slot, router.clone()));
                }
                // The client disconnected before it was accepted.
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "no connection can be taken");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve_connection(stream: TcpStream, slot: ConnectionSlot, router: Router) {
    let router = TowerToHyperService::new(router);
    let connection = TokioIo::new(TimeoutStream::new(stream, slot.clone()));
    let answer = service_fn(|request| handle_request(&router, &slot, request));
    let serving = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(connection, answer);
    // It does not matter why a connection ended.
    tokio::select! {
        _ = serving => {}
        () = slot.evicted() => {}
    }
}

async fn handle_request(
    router: &TowerToHyperService<Router>,
    slot: &ConnectionSlot,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let in_flight = slot.begin_request(request.body().is_end_stream());
    let is_health = request.method() == Method::GET && request.uri().path() == HEALTH_PATH;
    let mut response = if slot.is_reserve() && !is_health {
        refusal_response(
            StatusCode::SERVICE_UNAVAILABLE,
            ui_text::web::TOO_MANY_CONNECTIONS,
        )
    } else {
        let mut request = with_body_timeout(request, slot);
        request.extensions_mut().insert(slot.clone());
        router.call(request).await?
    };
    slot.mark_body_received();
    if slot.is_reserve() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| {
        let in_flight = Some(in_flight);
        Body::new(TrackedBody { body, in_flight })
    }))
}

/// The body of a response. The connection counts as busy until its last byte has been taken.
struct TrackedBody {
    body: Body,
    in_flight: Option<ActiveRequest>,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.in_flight = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Puts a time limit on the body of a request.
fn with_body_timeout(request: Request<Incoming>, slot: &ConnectionSlot) -> Request<Body> {
    if request.body().is_end_stream() {
        return request.map(Body::new);
    }
    let limit = match request.uri().path() {
        UPLOAD_PATH => None,
        _ => Some(Box::pin(sleep(BODY_TIMEOUT))),
    };
    request.map(|body| {
        Body::new(TimeoutBody {
            body,
            timer: limit,
            slot: slot.clone(),
        })
    })
}

/// A request body with a time limit.
struct TimeoutBody {
    body: Incoming,
    timer: Option<Pin<Box<Sleep>>>,
    slot: ConnectionSlot,
}

impl HttpBody for TimeoutBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Some(limit) = &mut self.timer
            && limit.as_mut().poll(context).is_ready()
        {
            let error = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(error.into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.slot.mark_body_received();
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
