//! Turns one HTTP response into a stream of answer chunks, with time limits.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::answer_reader::{AnswerReadError, AnswerReader, BodyEnd};
use super::request_adaptation::Adaptations;
use super::request_error::{Redaction, RequestError};
use super::settings::OpenAiSettings;
use crate::chat::{AnswerChunk, AnswerEnd, AnswerStream, ChatError, Interruption};
use net::NetError;

/// How long to wait for the usage after the answer's text is complete.
const USAGE_GRACE: Duration = Duration::from_secs(2);

type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

/// A response that is being read.
pub(super) struct OpenAnswer {
    body: ByteStream,
    reader: AnswerReader,
    adaptations: Arc<Adaptations>,
    first_token_timeout: Duration,
    between_tokens_timeout: Duration,
    /// When anything was last received. A model that streams its reasoning counts as active.
    last_activity: Instant,
    /// Since when the text is complete.
    text_complete_since: Option<Instant>,
    outcome: Option<Result<AnswerEnd, AnswerStreamError>>,
    is_finished: bool,
}

impl OpenAnswer {
    pub(super) fn new(
        response: Response,
        settings: &OpenAiSettings,
        adaptations: &Arc<Adaptations>,
    ) -> Self {
        let reader = if adaptations.has_only_closing_tags() {
            AnswerReader::for_closing_tags_only()
        } else {
            AnswerReader::new()
        };
        Self {
            body: Box::pin(response.bytes_stream()),
            reader,
            adaptations: Arc::clone(adaptations),
            first_token_timeout: settings.first_token_timeout,
            between_tokens_timeout: settings.between_tokens_timeout,
            last_activity: Instant::now(),
            text_complete_since: None,
            outcome: None,
            is_finished: false,
        }
    }

    /// Reads until the first text or the end of the answer. A failure up to here may be retried,
    /// since no text has been shown.
    pub(super) async fn wait_for_first_word(&mut self) -> Result<(), RequestError> {
        while !self.reader.is_ready() {
            match self.outcome.take() {
                None => self.read_network().await,
                Some(Err(error)) => return Err(error.into_request_error(&self.reader)),
                Some(outcome) => {
                    self.outcome = Some(outcome);
                    break;
                }
            }
        }
        Ok(())
    }

    /// The rest as a stream that ends by `deadline`, which is `total` after the request.
    pub(super) fn into_stream(
        self,
        (deadline, total): (Instant, Duration),
        redaction: Redaction,
    ) -> AnswerStream {
        let state = Some((self, redaction));
        Box::pin(stream::unfold(state, move |state| async move {
            let (mut answer, redaction) = state?;
            match answer.next_chunk(deadline).await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some((answer, redaction)))),
                Ok(None) => None,
                Err(error) => {
                    let error = match error {
                        Some(error) => error.into_chat_error(&redaction),
                        None => ChatError::StreamInterrupted {
                            reason: Interruption::DeadlineExceeded(total),
                        },
                    };
                    Some((Err(error), None))
                }
            }
        }))
    }

    /// The next chunk; `Err(None)` if the deadline has passed.
    async fn next_chunk(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<AnswerChunk>, Option<AnswerStreamError>> {
        loop {
            if let Some(chunk) = self.reader.next_chunk() {
                return Ok(Some(chunk));
            }
            if self.is_finished {
                return Ok(None);
            }
            match self.outcome.take() {
                Some(Ok(end)) => {
                    self.is_finished = true;
                    return Ok(Some(AnswerChunk::End(end)));
                }
                Some(Err(error)) => return Err(Some(error)),
                None => timeout_at(deadline, self.read_network())
                    .await
                    .map_err(|_| None)?,
            }
        }
    }

    /// Reads once from the network, within the time limit that applies now.
    async fn read_network(&mut self) {
        let max_silence = if self.reader.has_text() {
            self.between_tokens_timeout
        } else {
            self.first_token_timeout
        };
        let limit = match self.text_complete_since {
            Some(since) => since + USAGE_GRACE,
            None => self.last_activity + max_silence,
        };
        let outcome = match timeout_at(limit, self.body.next()).await {
            Err(_) => match self.reader.finish(BodyEnd::TimedOut) {
                Ok(end) => Some(Ok(end)),
                Err(error @ AnswerReadError::Empty(_)) => Some(Err(AnswerStreamError::Read(error))),
                Err(_) => Some(Err(AnswerStreamError::Silence(max_silence))),
            },
            Ok(None) => Some(self.finish(BodyEnd::Complete)),
            Ok(Some(Err(error))) if self.reader.is_text_complete() => {
                tracing::debug!(error = %NetError::from(error), "the stream broke after its end");
                Some(self.finish(BodyEnd::Disconnected))
            }
            Ok(Some(Err(error))) => Some(Err(AnswerStreamError::Net(error.into()))),
            Ok(Some(Ok(bytes))) => self.push_bytes(&bytes),
        };
        self.outcome = outcome;
        if self.reader.has_only_closing_tags() {
            self.adaptations.note_only_closing_tags();
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Option<Result<AnswerEnd, AnswerStreamError>> {
        self.last_activity = Instant::now();
        match self.reader.push(bytes) {
            Err(_) if self.reader.is_text_complete() => Some(self.finish(BodyEnd::Disconnected)),
            Err(error) => Some(Err(AnswerStreamError::Read(error))),
            Ok(()) if self.reader.is_finished() => Some(self.finish(BodyEnd::Complete)),
            Ok(()) => {
                let is_whole = self.reader.is_text_complete();
                self.text_complete_since =
                    is_whole.then(|| self.text_complete_since.unwrap_or(self.last_activity));
                None
            }
        }
    }

    fn finish(&mut self, how: BodyEnd) -> Result<AnswerEnd, AnswerStreamError> {
        self.reader.finish(how).map_err(AnswerStreamError::Read)
    }
}

/// Why reading stopped.
#[derive(Debug)]
enum AnswerStreamError {
    Net(NetError),
    Silence(Duration),
    Read(AnswerReadError),
}

impl AnswerStreamError {
    fn into_request_error(self, reader: &AnswerReader) -> RequestError {
        match self {
            Self::Net(error) | Self::Read(AnswerReadError::Server(error)) => {
                RequestError::Net(error)
            }
            Self::Silence(limit) => RequestError::Silence(limit),
            Self::Read(AnswerReadError::InvalidResponse(what)) => {
                RequestError::InvalidResponse(what)
            }
            Self::Read(AnswerReadError::Empty(reason)) => {
                RequestError::EmptyAnswer(reason, reader.usage())
            }
        }
    }

    fn into_chat_error(self, redaction: &Redaction) -> ChatError {
        let reason = match self {
            Self::Net(error) => Interruption::Connection(::net::ErrorCause::from_error(&error)),
            Self::Silence(limit) => Interruption::Silence(limit),
            Self::Read(AnswerReadError::Server(error)) => {
                Interruption::Server(redaction.redact_error(error))
            }
            Self::Read(AnswerReadError::InvalidResponse(what)) => {
                Interruption::InvalidResponse(redaction.redact_response(what))
            }
            // All text was reasoning, and was retracted.
            Self::Read(AnswerReadError::Empty(reason)) => return ChatError::EmptyAnswer(reason),
        };
        ChatError::StreamInterrupted { reason }
    }
}
