//! The reading half of one answer: a response in, a stream of pieces out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::Settings;
use super::adapt::Adaptations;
use super::errors::{Failed, Redaction};
use super::reader::{AnswerReader, BodyEnd, ReadError};
use crate::chat::{AnswerStream, ChatError, End, Interruption, Piece};
use net::NetError;

/// How long the usage may take to come after the answer is over.
const USAGE_GRACE: Duration = Duration::from_secs(2);

type Body = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

/// An answer that is being read.
pub(super) struct Answering {
    body: Body,
    reader: AnswerReader,
    adaptations: Arc<Adaptations>,
    first_token: Duration,
    between_tokens: Duration,
    /// When something came last, whatever it was: a model that streams its thoughts is alive.
    last: Instant,
    /// Since when all words are here.
    whole_since: Option<Instant>,
    ended: Option<Result<End, Trouble>>,
    over: bool,
}

impl Answering {
    pub(super) fn new(
        response: Response,
        settings: &Settings,
        adaptations: &Arc<Adaptations>,
    ) -> Self {
        let reader = if adaptations.only_closes() {
            AnswerReader::of_a_model_that_only_closes()
        } else {
            AnswerReader::new()
        };
        Self {
            body: Box::pin(response.bytes_stream()),
            reader,
            adaptations: Arc::clone(adaptations),
            first_token: settings.first_token,
            between_tokens: settings.between_tokens,
            last: Instant::now(),
            whole_since: None,
            ended: None,
            over: false,
        }
    }

    /// Reads until there is a word or the answer is over. What fails up to here may be retried,
    /// since nobody has seen a word.
    pub(super) async fn wait_for_first_word(&mut self) -> Result<(), Failed> {
        while !self.reader.is_ready() {
            match self.ended.take() {
                None => self.advance().await,
                Some(Err(trouble)) => return Err(trouble.before_the_first_word(&self.reader)),
                Some(ended) => {
                    self.ended = Some(ended);
                    break;
                }
            }
        }
        Ok(())
    }

    /// The rest as a stream that ends by `deadline`, which is so long after the question.
    pub(super) fn into_stream(
        self,
        (deadline, total): (Instant, Duration),
        redaction: Redaction,
    ) -> AnswerStream {
        let state = Some((self, redaction));
        Box::pin(stream::unfold(state, move |state| async move {
            let (mut answering, redaction) = state?;
            match answering.next(deadline).await {
                Ok(Some(piece)) => Some((Ok(piece), Some((answering, redaction)))),
                Ok(None) => None,
                Err(trouble) => {
                    let error = match trouble {
                        Some(trouble) => trouble.in_the_middle(&redaction),
                        None => ChatError::BrokeOff {
                            reason: Interruption::OutOfTime(total),
                        },
                    };
                    Some((Err(error), None))
                }
            }
        }))
    }

    /// The next piece; the error is none if the time is over.
    async fn next(&mut self, deadline: Instant) -> Result<Option<Piece>, Option<Trouble>> {
        loop {
            if let Some(piece) = self.reader.next_piece() {
                return Ok(Some(piece));
            }
            if self.over {
                return Ok(None);
            }
            match self.ended.take() {
                Some(Ok(end)) => {
                    self.over = true;
                    return Ok(Some(Piece::End(end)));
                }
                Some(Err(trouble)) => return Err(Some(trouble)),
                None => timeout_at(deadline, self.advance())
                    .await
                    .map_err(|_| None)?,
            }
        }
    }

    /// Reads once from the network, in the time that is allowed for it.
    async fn advance(&mut self) {
        let wait = if self.reader.has_words() {
            self.between_tokens
        } else {
            self.first_token
        };
        let limit = match self.whole_since {
            Some(since) => since + USAGE_GRACE,
            None => self.last + wait,
        };
        let ended = match timeout_at(limit, self.body.next()).await {
            Err(_) => match self.reader.finish(BodyEnd::Silent) {
                Ok(end) => Some(Ok(end)),
                Err(error @ ReadError::Empty(_)) => Some(Err(Trouble::Read(error))),
                Err(_) => Some(Err(Trouble::Silence(wait))),
            },
            Ok(None) => Some(self.finish(BodyEnd::Whole)),
            Ok(Some(Err(error))) if self.reader.has_all_words() => {
                tracing::debug!(error = %NetError::from(error), "the stream broke after its end");
                Some(self.finish(BodyEnd::Broken))
            }
            Ok(Some(Err(error))) => Some(Err(Trouble::Net(error.into()))),
            Ok(Some(Ok(bytes))) => self.read(&bytes),
        };
        self.ended = ended;
        if self.reader.only_closes() {
            self.adaptations.note_that_it_only_closes();
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Option<Result<End, Trouble>> {
        self.last = Instant::now();
        match self.reader.push(bytes) {
            Err(_) if self.reader.has_all_words() => Some(self.finish(BodyEnd::Broken)),
            Err(error) => Some(Err(Trouble::Read(error))),
            Ok(()) if self.reader.is_over() => Some(self.finish(BodyEnd::Whole)),
            Ok(()) => {
                let is_whole = self.reader.has_all_words();
                self.whole_since = is_whole.then(|| self.whole_since.unwrap_or(self.last));
                None
            }
        }
    }

    fn finish(&mut self, how: BodyEnd) -> Result<End, Trouble> {
        self.reader.finish(how).map_err(Trouble::Read)
    }
}

/// What ends the reading.
#[derive(Debug)]
enum Trouble {
    Net(NetError),
    Silence(Duration),
    Read(ReadError),
}

impl Trouble {
    fn before_the_first_word(self, reader: &AnswerReader) -> Failed {
        match self {
            Self::Net(error) | Self::Read(ReadError::Server(error)) => Failed::Net(error),
            Self::Silence(limit) => Failed::Silence(limit),
            Self::Read(ReadError::Unreadable(what)) => Failed::Unreadable(what),
            Self::Read(ReadError::Empty(why)) => Failed::Empty(why, reader.usage()),
        }
    }

    fn in_the_middle(self, redaction: &Redaction) -> ChatError {
        let reason = match self {
            Self::Net(error) => Interruption::Connection(::net::Cause::of(&error)),
            Self::Silence(limit) => Interruption::Silence(limit),
            Self::Read(ReadError::Server(error)) => Interruption::Server(redaction.apply_to(error)),
            Self::Read(ReadError::Unreadable(what)) => {
                Interruption::Unreadable(redaction.apply_to_unreadable(what))
            }
            // All words were thoughts, and were taken back.
            Self::Read(ReadError::Empty(why)) => return ChatError::Empty(why),
        };
        ChatError::BrokeOff { reason }
    }
}
