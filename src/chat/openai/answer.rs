//! The reading half of one answer: a response in, a stream of pieces out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::Settings;
use super::events::{EventError, EventReader};
use super::stream::{Cut, event_data};
use crate::chat::{AnswerStream, ChatError, Piece};
use crate::net::{self, Cause, NetError};

/// How long the usage may take to come after the answer is over.
const USAGE_GRACE: Duration = Duration::from_secs(2);

/// The largest answer of a server that does not stream although it was asked to.
const MAX_WHOLE: usize = 2 * 1024 * 1024;

type Events = Pin<Box<dyn Stream<Item = Result<String, Cut>> + Send>>;

/// An answer that is being read.
pub(super) struct Answering {
    source: Source,
    reader: EventReader,
    ready: VecDeque<Piece>,
    first_token: Duration,
    between_tokens: Duration,
    asked: Instant,
    over: bool,
}

enum Source {
    Events(Events),
    /// A whole JSON body, to be read at once.
    Whole(Option<Response>),
}

/// One step of reading.
enum Step {
    /// Something was read; there may be a piece.
    Read,
    /// The stream is over.
    Over,
}

impl Answering {
    pub(super) fn new(response: Response, settings: &Settings) -> Self {
        let is_json = response
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/json"));
        let source = if is_json {
            Source::Whole(Some(response))
        } else {
            Source::Events(Box::pin(event_data(
                response.bytes_stream().map_err(NetError::from),
            )))
        };
        Self {
            source,
            reader: EventReader::new(),
            ready: VecDeque::new(),
            first_token: settings.first_token,
            between_tokens: settings.between_tokens,
            asked: Instant::now(),
            over: false,
        }
    }

    /// Reads until there is a word or the answer is over. What fails up to here may be retried,
    /// since nobody has seen a word.
    pub(super) async fn wait_for_first_word(&mut self) -> Result<(), NetError> {
        while self.ready.is_empty() && !self.over {
            match self.step().await {
                Ok(Step::Read) => {}
                Ok(Step::Over) => self.finish().map_err(|_| NetError::Malformed {
                    what: "the stream ended before the first word".into(),
                })?,
                Err(Trouble::Net(error)) => return Err(error),
                Err(Trouble::Silence) => {
                    return Err(NetError::Status {
                        status: reqwest::StatusCode::GATEWAY_TIMEOUT,
                        code: None,
                        message: "no first word in time".into(),
                        retry_after: None,
                        should_retry: Some(false),
                        request_id: None,
                    });
                }
            }
        }
        Ok(())
    }

    /// The rest as a stream that ends by `deadline`.
    pub(super) fn into_stream(self, deadline: Instant) -> AnswerStream {
        Box::pin(stream::unfold(Some(self), move |answering| async move {
            let mut answering = answering?;
            match answering.next(deadline).await {
                Ok(Some(piece)) => Some((Ok(piece), Some(answering))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn next(&mut self, deadline: Instant) -> Result<Option<Piece>, ChatError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.over {
                return Ok(None);
            }
            let step = timeout_at(deadline, self.step()).await;
            match step {
                Ok(Ok(Step::Read)) => {}
                Ok(Ok(Step::Over)) => self.finish()?,
                Ok(Err(trouble)) if self.reader.has_reason() => {
                    // All words are here; only the usage is not.
                    tracing::debug!(?trouble, "the stream broke after its end");
                    self.finish()?;
                }
                Ok(Err(trouble)) => return Err(trouble.into()),
                Err(_) => return Err(broke_off("the time for the whole answer is over")),
            }
        }
    }

    /// Reads one event, in the time that is allowed for it.
    async fn step(&mut self) -> Result<Step, Trouble> {
        let limit = if self.reader.has_reason() {
            Instant::now() + USAGE_GRACE
        } else if self.reader.has_words() {
            Instant::now() + self.between_tokens
        } else {
            self.asked + self.first_token
        };
        let data = match &mut self.source {
            Source::Whole(response) => match response.take() {
                None => return Ok(Step::Over),
                Some(response) => {
                    let body = timeout_at(limit, net::read_body(response, MAX_WHOLE))
                        .await
                        .map_err(|_| Trouble::Silence)??;
                    String::from_utf8_lossy(&body).into_owned()
                }
            },
            Source::Events(events) => match timeout_at(limit, events.next()).await {
                Err(_) => return Err(Trouble::Silence),
                Ok(None) => return Ok(Step::Over),
                Ok(Some(Ok(data))) => data,
                Ok(Some(Err(Cut::Broken(error)))) => return Err(Trouble::Net(error)),
                Ok(Some(Err(Cut::Senseless(what)))) => {
                    return Err(Trouble::Net(NetError::Malformed { what: what.into() }));
                }
            },
        };
        match self.reader.read(&data) {
            Ok(piece) => self.ready.extend(piece),
            Err(EventError::Server(error)) => return Err(Trouble::Net(error)),
            Err(EventError::Malformed(what)) => {
                return Err(Trouble::Net(NetError::Malformed { what }));
            }
        }
        Ok(if self.reader.is_done() {
            Step::Over
        } else {
            Step::Read
        })
    }

    fn finish(&mut self) -> Result<(), ChatError> {
        self.over = true;
        let end = self
            .reader
            .end()
            .ok_or_else(|| broke_off("the connection ended in the middle"))?;
        self.ready.push_back(Piece::End(end));
        Ok(())
    }
}

/// What interrupts the reading.
#[derive(Debug)]
enum Trouble {
    Net(NetError),
    Silence,
}

impl From<NetError> for Trouble {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl From<Trouble> for ChatError {
    /// Words have been shown by now, so whatever it is, the answer broke off.
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Net(error) => broke_off(Cause::of(&error)),
            Trouble::Silence => broke_off("nothing came for too long"),
        }
    }
}

fn broke_off(reason: impl Into<Cause>) -> ChatError {
    ChatError::BrokeOff {
        reason: reason.into(),
    }
}
