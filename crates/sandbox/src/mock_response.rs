//! An answer as the steps in which it goes out.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use crate::connection::ConnectionControl;
use crate::gate::Gate;
use crate::recorder::{RequestRecordGuard, ResponseOutcome};

/// One thing that happens while a body goes out.
#[derive(Clone, Debug)]
pub(crate) enum BodyStep {
    /// These bytes, in a write of their own.
    Send(Bytes),
    /// A pause.
    Wait(Duration),
    /// Until the test opens the gate.
    Gate(Gate),
    /// Never anything again.
    Hang,
    /// The connection closes before the body is complete.
    Close,
    /// The connection is reset before the body is complete.
    Reset,
    /// These bytes, again and again.
    RepeatForever(Bytes),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct MockResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) steps: Vec<BodyStep>,
    /// Set for a body whose length is known in advance.
    pub(crate) content_length: Option<usize>,
    /// Set instead of everything above for a connection that changes its protocol.
    pub(crate) upgrade: Option<Box<Response>>,
}

impl MockResponse {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers: Box::new(headers),
            content_length: Some(body.len()),
            steps: vec![BodyStep::Send(body)],
            upgrade: None,
        }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string().into())
    }

    /// Changes a body that is JSON.
    pub(crate) fn modify_json(&mut self, alter: impl FnOnce(&mut Value)) {
        let [BodyStep::Send(body)] = self.steps.as_mut_slice() else {
            return;
        };
        if let Ok(mut value) = serde_json::from_slice(body) {
            alter(&mut value);
            *body = value.to_string().into();
            self.content_length = Some(body.len());
        }
    }

    pub(crate) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn event_stream(steps: Vec<BodyStep>) -> Self {
        let mut answer = Self::new(
            StatusCode::OK,
            "text/event-stream; charset=utf-8",
            Bytes::new(),
        );
        answer.content_length = None;
        answer.steps = steps;
        answer
    }

    pub(crate) fn upgrade(response: Response) -> Self {
        let mut answer = Self::new(response.status(), "text/plain", Bytes::new());
        answer.upgrade = Some(Box::new(response));
        answer
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The bytes of the body, as far as they are fixed.
    pub(crate) fn fixed_body(&self) -> Bytes {
        let sent: Vec<&Bytes> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                BodyStep::Send(bytes) => Some(bytes),
                _ => None,
            })
            .collect();
        match sent.as_slice() {
            [only] => (*only).clone(),
            several => several
                .iter()
                .flat_map(|bytes| bytes.iter().copied())
                .collect(),
        }
    }

    pub(crate) fn into_response(
        self,
        mut entry: RequestRecordGuard,
        connection: ConnectionControl,
    ) -> Response {
        if let Some(response) = self.upgrade {
            entry.finish(ResponseOutcome::Sent);
            return *response;
        }
        let mut response = Response::new(stream_body(self.steps, entry, connection));
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        if let Some(length) = self.content_length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        response
    }
}

struct BodyStream {
    steps: VecDeque<BodyStep>,
    request: RequestRecordGuard,
    connection: ConnectionControl,
    needs_flush: bool,
}

/// A body that goes through `steps`, each [`BodyStep::Send`] in a write of its own.
fn stream_body(
    steps: Vec<BodyStep>,
    mut entry: RequestRecordGuard,
    connection: ConnectionControl,
) -> Body {
    if steps.is_empty() {
        entry.finish(ResponseOutcome::Sent);
        return Body::empty();
    }
    let sending = BodyStream {
        // Headers in front of anything but bytes go out alone.
        needs_flush: !matches!(steps.first(), Some(BodyStep::Send(_))),
        steps: steps.into(),
        request: entry,
        connection,
    };
    Body::from_stream(stream::unfold(sending, |mut sending| async move {
        loop {
            let Some(step) = sending.steps.pop_front() else {
                sending.request.finish(ResponseOutcome::Sent);
                return None;
            };
            // The HTTP layer flushes what it has whenever it has to wait for more.
            if std::mem::replace(&mut sending.needs_flush, true) {
                tokio::task::yield_now().await;
            }
            match step {
                BodyStep::Send(bytes) => {
                    // With a declared length nobody asks again after the last byte.
                    if sending.steps.is_empty() {
                        sending.request.finish(ResponseOutcome::Sent);
                    }
                    if !bytes.is_empty() {
                        return Some((Ok(bytes), sending));
                    }
                }
                BodyStep::Wait(pause) => tokio::time::sleep(pause).await,
                BodyStep::Gate(gate) => gate.wait_until_open().await,
                BodyStep::Hang => std::future::pending().await,
                BodyStep::Close => {
                    sending.request.finish(ResponseOutcome::Aborted);
                    return Some((Err(connection_broken()), sending));
                }
                BodyStep::Reset => {
                    sending.connection.reset();
                    sending.request.finish(ResponseOutcome::Aborted);
                    return Some((Err(connection_broken()), sending));
                }
                BodyStep::RepeatForever(bytes) => {
                    sending
                        .steps
                        .push_front(BodyStep::RepeatForever(bytes.clone()));
                    return Some((Ok(bytes), sending));
                }
            }
        }
    }))
}

fn connection_broken() -> std::io::Error {
    std::io::ErrorKind::ConnectionAborted.into()
}
