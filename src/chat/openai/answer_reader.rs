//! Reads an answer from the bytes of a response body, whatever the format: bytes go in, chunks of
//! the answer come out. A pure state machine without network or clock; it never panics, and the
//! result doesn't depend on how the bytes are split.

use std::collections::VecDeque;

use super::delta_parser::{self, ResponseDelta, ServerFinishReason};
use super::reasoning_filter::{FilterOutput, ReasoningFilter};
use super::repeat_filter::RepeatFilter;
use super::sse_parser::{SseError, SseFrame, SseParser};
use crate::chat::{AnswerChunk, AnswerEnd, EmptyReason, FinishReason, InvalidResponse, TokenUsage};
use net::{ErrorCode, NetError};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Reads the body of one response.
#[derive(Default)]
pub struct AnswerReader {
    sse_parser: SseParser,
    choice_index: Option<u64>,
    reasoning_filter: ReasoningFilter,
    repeat_filter: RepeatFilter,
    ready_chunks: VecDeque<AnswerChunk>,
    /// The whole answer so far.
    answer: String,
    was_delivered: bool,
    finish_reason: Option<FinishReason>,
    finish_trust: FinishTrust,
    usage: Option<TokenUsage>,
    value_count: usize,
    is_answer: bool,
    has_reasoning: bool,
    has_tool_calls: bool,
    is_finished: bool,
}

/// How far a finish reason can be trusted: some servers send one with every chunk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum FinishTrust {
    /// No finish reason yet.
    #[default]
    None,
    /// It came together with text, or before any text.
    Doubtful,
    /// It came alone, after the text.
    Sure,
    /// More text came after it.
    Contradicted,
}

/// Why there is no answer, or only part of one.
#[derive(Debug)]
pub enum AnswerReadError {
    /// The server reports an error.
    Server(NetError),
    /// The body is not an answer, or can't be read any further.
    InvalidResponse(InvalidResponse),
    /// The body is an answer without any text.
    Empty(EmptyReason),
}

/// How the body ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEnd {
    /// Normally.
    Complete,
    /// The connection broke.
    Disconnected,
    /// Nothing was received for too long.
    TimedOut,
}

impl std::fmt::Debug for AnswerReader {
    /// Answers never reach a log, only their size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnswerReader({} bytes)", self.answer.len())
    }
}

impl AnswerReader {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader for a model that is known to mark its reasoning with only a closing tag: no text is
    /// returned before that tag.
    #[must_use]
    pub fn for_closing_tags_only() -> Self {
        Self {
            reasoning_filter: ReasoningFilter::for_closing_tags_only(),
            ..Self::default()
        }
    }

    /// Reads more of the body. What was read before an error remains available.
    ///
    /// # Errors
    ///
    /// If the server reports an error, or the body can't be read. Nothing is read after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), AnswerReadError> {
        if self.is_finished {
            return Ok(());
        }
        let mut frames = Vec::new();
        let parse_error = self.sse_parser.push(bytes, &mut frames).err();
        self.process_frames(frames, parse_error)
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// If the answer is missing or incomplete.
    pub fn finish(&mut self, body_end: BodyEnd) -> Result<AnswerEnd, AnswerReadError> {
        let mut frames = Vec::new();
        let mut truncated = None;
        if body_end == BodyEnd::Complete && !self.is_finished {
            let parse_error = self.sse_parser.finish(&mut frames).err();
            self.process_frames(frames, None)?;
            truncated = parse_error.filter(|_| !self.is_finished);
        }
        self.is_finished = true;
        let mut outputs = Vec::new();
        self.reasoning_filter.finish(&mut outputs);
        self.deliver_output(outputs);
        // A single JSON value outside an event stream is the complete answer.
        let is_one = self.value_count == 1 && !self.sse_parser.has_events();
        let ended = match body_end {
            BodyEnd::Complete => self.finish_trust != FinishTrust::None || is_one,
            BodyEnd::TimedOut => {
                matches!(self.finish_trust, FinishTrust::Sure | FinishTrust::Doubtful)
            }
            BodyEnd::Disconnected => self.finish_trust == FinishTrust::Sure,
        };
        if let Some(parse_error) = truncated.filter(|_| self.finish_trust != FinishTrust::Sure) {
            return Err(AnswerReadError::InvalidResponse(parse_error.into()));
        }
        if self.answer.is_empty() {
            return Err(self.empty_answer_error(
                ended || body_end == BodyEnd::Complete && !self.sse_parser.has_events(),
            ));
        }
        if !ended {
            return Err(AnswerReadError::InvalidResponse(InvalidResponse::Truncated));
        }
        Ok(AnswerEnd {
            reason: self.finish_reason.unwrap_or(FinishReason::Complete),
            usage: self.usage,
        })
    }

    /// The next chunk. Never [`AnswerChunk::End`].
    pub fn next_chunk(&mut self) -> Option<AnswerChunk> {
        let chunk = self.ready_chunks.pop_front()?;
        self.was_delivered = chunk != AnswerChunk::Retract;
        Some(chunk)
    }

    /// Whether a chunk is available.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.ready_chunks.is_empty()
    }

    /// Whether reading has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether the text is certainly complete, so that only the usage may follow.
    #[must_use]
    pub fn is_text_complete(&self) -> bool {
        self.finish_trust == FinishTrust::Sure
    }

    /// Whether any text has been read.
    #[must_use]
    pub fn has_text(&self) -> bool {
        !self.answer.is_empty()
    }

    /// Tokens used, as far as the server has reported them.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Whether the model marked its reasoning with only a closing tag.
    #[must_use]
    pub fn has_only_closing_tags(&self) -> bool {
        self.reasoning_filter.has_only_closing_tags()
    }

    fn process_frames(
        &mut self,
        frames: Vec<SseFrame>,
        parse_error: Option<SseError>,
    ) -> Result<(), AnswerReadError> {
        for frame in frames {
            if self.is_finished {
                return Ok(());
            }
            if let Err(error) = self.process_frame(frame) {
                self.is_finished = true;
                return Err(AnswerReadError::Server(error));
            }
        }
        match parse_error {
            Some(parse_error) if !self.is_finished => {
                self.is_finished = true;
                Err(AnswerReadError::InvalidResponse(parse_error.into()))
            }
            _ => Ok(()),
        }
    }

    fn process_frame(&mut self, frame: SseFrame) -> Result<(), NetError> {
        let value = match frame {
            SseFrame::Done => {
                self.is_finished = true;
                if self.finish_trust == FinishTrust::None {
                    self.finish_trust = FinishTrust::Doubtful;
                }
                return Ok(());
            }
            SseFrame::Error(value) => return Err(delta_parser::error_event_failure(&value)),
            SseFrame::Json(value) => value,
        };
        self.value_count += 1;
        let delta = delta_parser::parse_delta(&value, &mut self.choice_index)?;
        self.process_delta(&delta)
    }

    fn process_delta(&mut self, delta: &ResponseDelta) -> Result<(), NetError> {
        self.is_answer |= delta.is_answer;
        self.has_reasoning |= delta.has_reasoning;
        self.has_tool_calls |= delta.has_tool_calls;
        if let Some(usage) = delta.usage {
            let known = self.usage.unwrap_or(usage);
            let newer = |new: u64, old: u64| if new == 0 { old } else { new };
            self.usage = Some(TokenUsage {
                prompt_tokens: newer(usage.prompt_tokens, known.prompt_tokens),
                answer_tokens: newer(usage.answer_tokens, known.answer_tokens),
            });
        }
        if delta.finish_reason == Some(ServerFinishReason::Failed) {
            return Err(NetError::Status {
                status: reqwest::StatusCode::INTERNAL_SERVER_ERROR,
                code: Some(ErrorCode::new("server_error")),
                message: "the server gave up".into(),
                retry_after: None,
                should_retry: None,
                request_id: None,
            });
        }
        let text = self.repeat_filter.strip_repeated(delta, &self.answer);
        let has_more = !text.is_empty() || delta.has_reasoning;
        if has_more
            && matches!(self.finish_trust, FinishTrust::Sure | FinishTrust::Doubtful)
            && self.finish_reason.is_some()
        {
            self.finish_trust = FinishTrust::Contradicted;
        }
        let mut outputs = Vec::new();
        self.reasoning_filter.push(&text, &mut outputs);
        self.deliver_output(outputs);
        self.update_finish(delta, has_more);
        Ok(())
    }

    fn update_finish(&mut self, delta: &ResponseDelta, had_more: bool) {
        if let Some(finish) = delta.finish_reason {
            self.finish_reason = Some(match finish {
                ServerFinishReason::Length => FinishReason::Length,
                ServerFinishReason::ContentFilter => FinishReason::ContentFilter,
                ServerFinishReason::Complete | ServerFinishReason::Failed => FinishReason::Complete,
            });
        }
        let is_end = delta.finish_reason.is_some() || delta.is_last || delta.is_full_answer;
        if !is_end {
            return;
        }
        self.finish_trust = match self.finish_trust {
            FinishTrust::Contradicted if !delta.is_last => FinishTrust::Contradicted,
            _ if had_more && !delta.is_last => FinishTrust::Doubtful,
            _ if !self.answer.is_empty() || self.has_tool_calls => FinishTrust::Sure,
            _ => FinishTrust::Doubtful,
        };
        self.is_finished |= delta.is_last;
    }

    fn deliver_output(&mut self, outputs: Vec<FilterOutput>) {
        for output in outputs {
            match output {
                FilterOutput::Text(text) => self.push_text(text),
                FilterOutput::Retract => {
                    self.answer.clear();
                    self.ready_chunks
                        .retain(|chunk| *chunk == AnswerChunk::Retract);
                    if self.was_delivered {
                        self.ready_chunks.push_back(AnswerChunk::Retract);
                    }
                }
            }
        }
    }

    fn push_text(&mut self, text: String) {
        let text = if self.answer.is_empty() {
            text.trim_start_matches(is_blank).to_owned()
        } else {
            text
        };
        if text.is_empty() {
            return;
        }
        if self.answer.len() + text.len() > MAX_ANSWER {
            self.finish_reason = Some(FinishReason::Length);
            self.finish_trust = FinishTrust::Sure;
            self.is_finished = true;
            return;
        }
        self.answer.push_str(&text);
        self.ready_chunks.push_back(AnswerChunk::Text(text));
    }

    /// Why there is no text.
    fn empty_answer_error(&self, ended: bool) -> AnswerReadError {
        let has_reasoning = self.has_reasoning || self.reasoning_filter.has_reasoning();
        if self.is_answer && ended {
            return AnswerReadError::Empty(match self.finish_reason {
                Some(FinishReason::Length) => EmptyReason::OutOfTokens,
                Some(FinishReason::ContentFilter) => EmptyReason::Filtered,
                _ if self.has_tool_calls => EmptyReason::OnlyToolCalls,
                _ if has_reasoning => EmptyReason::OnlyReasoning,
                _ => EmptyReason::Nothing,
            });
        }
        let text = self.sse_parser.text();
        AnswerReadError::InvalidResponse(if self.is_answer {
            InvalidResponse::Truncated
        } else if self.sse_parser.is_page() {
            InvalidResponse::WebPage
        } else if self.sse_parser.is_empty() {
            InvalidResponse::EmptyBody
        } else if text.is_empty() {
            InvalidResponse::Malformed("it contains no answer".into())
        } else {
            InvalidResponse::Text(text)
        })
    }
}

/// Whether the character is invisible.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

impl From<SseError> for InvalidResponse {
    fn from(parse_error: SseError) -> Self {
        match parse_error {
            SseError::TooLarge => Self::TooLarge,
            SseError::Malformed(cause) => Self::Malformed(cause),
            SseError::Truncated => Self::Truncated,
        }
    }
}

#[cfg(test)]
mod tests;
