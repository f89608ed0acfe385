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

use super::connection::Connection;
use super::guard::HEALTH_PATH;
use super::page::refused;
use super::places::{Answering, Place, Places};
use crate::words;

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(30);

/// What comes to this path may take as long as it takes: it has bounds of its own, which let a
/// recording be uploaded over a slow line.
pub(super) const UPLOADS: &str = "/ask";

/// After a failure that is not one connection's, such as too many open files.
const BREATH: Duration = Duration::from_millis(200);

/// Bytes of the largest head of a request.
const LARGEST_HEAD: usize = 32 * 1024;

/// Serves for good.
pub(super) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let places = Places::default();
    // Ends with us, and its connections with it.
    let mut open: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let place = places.take(address.ip());
                    open.spawn(serve_one(stream, place, router.clone()));
                }
                // One that went before it was taken is nobody's business.
                Err(error) if is_theirs(&error) => {}
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "no connection can be taken");
                    sleep(BREATH).await;
                }
            },
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

fn is_theirs(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve_one(stream: TcpStream, place: Place, router: Router) {
    let router = TowerToHyperService::new(router);
    let connection = TokioIo::new(Connection::new(stream, place.clone()));
    let answer = service_fn(|request| answer(&router, &place, request));
    let serving = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(connection, answer);
    // Why a connection ended is of no interest: it did.
    tokio::select! {
        _ = serving => {}
        () = place.is_given_away() => {}
    }
}

async fn answer(
    router: &TowerToHyperService<Router>,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let answering = place.answers(request.body().is_end_stream());
    let is_health = request.method() == Method::GET && request.uri().path() == HEALTH_PATH;
    let mut response = if place.is_of_the_reserve() && !is_health {
        refused(StatusCode::SERVICE_UNAVAILABLE, words::web::CROWDED)
    } else {
        let mut request = in_time(request, place);
        request.extensions_mut().insert(place.clone());
        router.call(request).await?
    };
    place.has_it_all();
    if place.is_of_the_reserve() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| {
        let answering = Some(answering);
        Body::new(Answer { body, answering })
    }))
}

/// The body of an answer. The connection is busy until its last byte has been taken.
struct Answer {
    body: Body,
    answering: Option<Answering>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.answering = None;
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
fn in_time(request: Request<Incoming>, place: &Place) -> Request<Body> {
    if request.body().is_end_stream() {
        return request.map(Body::new);
    }
    let limit = match request.uri().path() {
        UPLOADS => None,
        _ => Some(Box::pin(sleep(BODY))),
    };
    request.map(|body| {
        Body::new(Timely {
            body,
            limit,
            place: place.clone(),
        })
    })
}

/// The body of a request that has only so long to come.
struct Timely {
    body: Incoming,
    limit: Option<Pin<Box<Sleep>>>,
    place: Place,
}

impl HttpBody for Timely {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Some(limit) = &mut self.limit
            && limit.as_mut().poll(context).is_ready()
        {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(late.into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.place.has_it_all();
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
