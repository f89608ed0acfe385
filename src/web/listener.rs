//! Takes connections and serves them, so that nobody who is slow keeps others out.

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

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What comes to this path may take as long as it takes: it has bounds of its own, which let a
/// recording be uploaded over a slow line.
pub(super) const UPLOAD_PATH: &str = "/ask";

/// After a failure that is not one connection's, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Bytes of the largest head of a request.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Serves for good.
pub(super) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let places = ConnectionSlots::default();
    // Ends with us, and its connections with it.
    let mut open: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let place = places.acquire(address.ip());
                    open.spawn(serve_connection(stream, place, router.clone()));
                }
                // One that went before it was taken is nobody's business.
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "no connection can be taken");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
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

async fn serve_connection(stream: TcpStream, place: ConnectionSlot, router: Router) {
    let router = TowerToHyperService::new(router);
    let connection = TokioIo::new(TimeoutStream::new(stream, place.clone()));
    let answer = service_fn(|request| handle_request(&router, &place, request));
    let serving = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(connection, answer);
    // Why a connection ended is of no interest: it did.
    tokio::select! {
        _ = serving => {}
        () = place.evicted() => {}
    }
}

async fn handle_request(
    router: &TowerToHyperService<Router>,
    place: &ConnectionSlot,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let answering = place.begin_request(request.body().is_end_stream());
    let is_health = request.method() == Method::GET && request.uri().path() == HEALTH_PATH;
    let mut response = if place.is_reserve() && !is_health {
        refusal_response(
            StatusCode::SERVICE_UNAVAILABLE,
            ui_text::web::TOO_MANY_CONNECTIONS,
        )
    } else {
        let mut request = with_body_timeout(request, place);
        request.extensions_mut().insert(place.clone());
        router.call(request).await?
    };
    place.mark_body_received();
    if place.is_reserve() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| {
        let answering = Some(answering);
        Body::new(TrackedBody {
            body,
            in_flight: answering,
        })
    }))
}

/// The body of an answer. The connection is busy until its last byte has been taken.
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

/// A request whose body ends in time, or fails.
fn with_body_timeout(request: Request<Incoming>, place: &ConnectionSlot) -> Request<Body> {
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
            slot: place.clone(),
        })
    })
}

/// The body of a request that has only so long to come.
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
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(late.into())));
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
