//! How a test words a fault.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;

use super::{
    BodyFault, ErrorOverride, Fault, FaultEffect, FaultRepeat, SocketFault, SocketFaultKind,
    StreamFault,
};
use crate::gate::Gate;

/// How often and when a fault strikes.
impl Fault {
    /// It strikes this many requests in a row instead of one.
    pub fn times(mut self, times: u32) -> Self {
        self.repeat = FaultRepeat::Remaining(times);
        self
    }

    /// It strikes every request until the faults are cleared.
    pub fn always(mut self) -> Self {
        self.repeat = FaultRepeat::Always;
        self
    }

    /// It strikes as soon as the headers are there, while the client still sends the body.
    pub fn before_body(mut self) -> Self {
        self.before_body = true;
        self
    }

    /// What is asked for is done, and only its answer is lost: a refusal, a closed or reset
    /// connection comes in its place.
    pub fn after_processing(mut self) -> Self {
        self.after_processing = true;
        self
    }

    /// It strikes once this much audio has come, while the client still sends. Only given to
    /// `AssemblyAiEndpoint::SyncLive`.
    pub fn after_upload_audio(mut self, audio: Duration) -> Self {
        self.after_upload = Some(audio);
        self
    }

    /// The other fault strikes the same requests.
    pub fn and(mut self, other: Self) -> Self {
        self.effects.extend(other.effects);
        self.before_body |= other.before_body;
        self.after_processing |= other.after_processing;
        self.after_upload = self.after_upload.or(other.after_upload);
        self
    }
}

/// Another answer than the right one.
impl Fault {
    /// This status, with an error body in the provider's own shape.
    ///
    /// Codes and words are those the provider publishes for the status, unless
    /// [`code`](Self::code) and [`message`](Self::message) say otherwise. Numbers that are no
    /// status become 500.
    pub fn status(status: u16) -> Self {
        Self::from_effect(FaultEffect::ErrorResponse(ErrorOverride {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: None,
            message: None,
            headers: Vec::new(),
            body: None,
        }))
    }

    /// The key is refused: 401.
    pub fn unauthorized() -> Self {
        Self::status(401)
    }

    /// The account has no money left: 429 `insufficient_quota`, which no waiting mends.
    pub fn insufficient_quota() -> Self {
        Self::status(429)
            .code("insufficient_quota")
            .message("You exceeded your current quota, please check your plan and billing details.")
    }

    fn modify_error(mut self, amend: impl Fn(&mut ErrorOverride)) -> Self {
        for effect in &mut self.effects {
            if let FaultEffect::ErrorResponse(refusal) = effect {
                amend(refusal);
            }
        }
        self
    }

    /// The machine-readable code of the error. Only together with [`status`](Self::status).
    pub fn code(self, code: &str) -> Self {
        self.modify_error(|refusal| refusal.code = Some(code.to_owned()))
    }

    /// The words of the error. Only together with [`status`](Self::status).
    pub fn message(self, message: &str) -> Self {
        self.modify_error(|refusal| refusal.message = Some(message.to_owned()))
    }

    /// A further header. Only together with [`status`](Self::status).
    pub fn header(self, name: &str, value: &str) -> Self {
        self.modify_error(|refusal| refusal.headers.push((name.to_owned(), value.to_owned())))
    }

    /// `Retry-After` in seconds. Only together with [`status`](Self::status).
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("retry-after", &seconds.to_string())
    }

    /// `retry-after-ms`. Only together with [`status`](Self::status).
    pub fn retry_after_ms(self, milliseconds: u64) -> Self {
        self.header("retry-after-ms", &milliseconds.to_string())
    }

    /// Another body than the provider's own. Only together with [`status`](Self::status).
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.modify_error(|refusal| refusal.body = Some((content_type.to_owned(), body.clone())))
    }
}

/// Time and connection.
impl Fault {
    /// The answer begins this much later.
    pub fn delay(delay: Duration) -> Self {
        Self::from_effect(FaultEffect::Delay(delay))
    }

    /// The answer begins when the gate is opened.
    pub fn gate(gate: &Gate) -> Self {
        Self::from_effect(FaultEffect::Gate(gate.clone()))
    }

    /// The request is taken and nothing ever comes back.
    pub fn hang() -> Self {
        Self::from_effect(FaultEffect::Hang)
    }

    /// The headers come, the body never does.
    pub fn hang_after_headers() -> Self {
        Self::hang_after_bytes(0)
    }

    /// The headers and this many bytes of the body come, and nothing more.
    pub fn hang_after_bytes(bytes: usize) -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::HangAfter(bytes)))
    }

    /// The connection closes before a byte of the answer.
    pub fn close_connection() -> Self {
        Self::from_effect(FaultEffect::Close)
    }

    /// The connection is reset before a byte of the answer.
    pub fn reset_connection() -> Self {
        Self::from_effect(FaultEffect::Reset)
    }

    /// The connection closes in the middle of the body, whose length was declared (or whose last
    /// chunk is missing).
    pub fn close_mid_body() -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::CloseAfter(None)))
    }

    /// The same, after this many bytes.
    pub fn close_after_bytes(bytes: usize) -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::CloseAfter(Some(bytes))))
    }

    /// The connection is reset in the middle of the body.
    pub fn reset_mid_body() -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::ResetAfter(None)))
    }
}

/// The body of the answer.
impl Fault {
    /// The body comes byte by byte, with this pause before each one.
    pub fn byte_by_byte(pause: Duration) -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::ByteByByte(pause)))
    }

    /// Only the first half of the JSON comes, as if it were all.
    pub fn malformed_json() -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::Malformed))
    }

    /// The body is compressed with gzip, though nobody asked for it.
    pub fn gzip() -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::Gzip))
    }

    /// The answer claims to be of this content type; empty: it claims nothing.
    pub fn content_type(content_type: &str) -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::ContentType(
            content_type.to_owned(),
        )))
    }

    /// 2xx and nothing.
    pub fn empty_body() -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::Empty))
    }

    /// After the answer, blanks without end. Its length is not declared.
    pub fn endless_body() -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::Endless))
    }

    /// Status and headers of the right answer, and these bytes.
    pub fn replace_body(body: impl Into<Bytes>) -> Self {
        Self::from_effect(FaultEffect::Body(BodyFault::Replace(body.into())))
    }
}

/// AssemblyAI's pre-recorded jobs.
impl Fault {
    /// The job fails with these words: HTTP 200, `status: "error"`. Given to
    /// `AssemblyAiEndpoint::Transcript` it fails when it would have been done, given to `AssemblyAiEndpoint::Poll`
    /// with the next look at it.
    pub fn job_error(message: &str) -> Self {
        Self::from_effect(FaultEffect::JobError(message.to_owned()))
    }
}

/// Server-sent events. What has no stream (`stream: false`) is not touched by most of these.
impl Fault {
    fn from_stream_fault(fault: StreamFault) -> Self {
        Self::from_effect(FaultEffect::Stream(fault))
    }

    /// The stream ends properly, but without `data: [DONE]`.
    pub fn omit_done() -> Self {
        Self::from_stream_fault(StreamFault::OmitDone)
    }

    /// The stream ends properly after this many pieces of text, without `finish_reason` and
    /// `data: [DONE]`.
    pub fn end_after_chunks(pieces: usize) -> Self {
        Self::from_stream_fault(StreamFault::EndAfter(pieces))
    }

    /// The connection breaks after this many pieces of text.
    pub fn close_after_chunks(pieces: usize) -> Self {
        Self::from_stream_fault(StreamFault::CloseAfter(pieces))
    }

    /// The stream stands still for ever after this many pieces of text.
    pub fn hang_after_chunks(pieces: usize) -> Self {
        Self::from_stream_fault(StreamFault::HangAfter(pieces))
    }

    /// The stream stands still after this many pieces of text until the gate is opened.
    pub fn gate_after_chunks(gate: &Gate, pieces: usize) -> Self {
        Self::from_stream_fault(StreamFault::GateAfter(gate.clone(), pieces))
    }

    /// `data: {"error": …}` after this many pieces of text, and the end.
    pub fn error_after_chunks(pieces: usize, message: &str) -> Self {
        Self::from_stream_fault(StreamFault::ErrorAfter(pieces, message.to_owned()))
    }

    /// Comment lines before and between the events.
    pub fn sse_comments() -> Self {
        Self::from_stream_fault(StreamFault::Comments)
    }

    /// Every character of more than one byte is split over two writes (and two chunks).
    pub fn split_utf8() -> Self {
        Self::from_stream_fault(StreamFault::SplitUtf8)
    }

    /// Every event is split over two writes (and two chunks) in the middle.
    pub fn split_events() -> Self {
        Self::from_stream_fault(StreamFault::SplitEvents)
    }

    /// All events come in one write.
    pub fn single_write() -> Self {
        Self::from_stream_fault(StreamFault::SingleWrite)
    }

    /// `reasoning_content` deltas before the answer, as vLLM and others send them.
    pub fn reasoning(text: &str) -> Self {
        Self::from_stream_fault(StreamFault::Reasoning(text.to_owned()))
    }

    /// Fields nobody has heard of, at every level.
    pub fn unknown_fields() -> Self {
        Self::from_stream_fault(StreamFault::UnknownFields)
    }

    /// A refusal instead of an answer. Also without a stream.
    pub fn model_refusal(text: &str) -> Self {
        Self::from_stream_fault(StreamFault::ModelRefusal(text.to_owned()))
    }

    /// Another `finish_reason`: `length`, `content_filter`. Also without a stream.
    pub fn finish_reason(reason: &str) -> Self {
        Self::from_stream_fault(StreamFault::FinishReason(reason.to_owned()))
    }

    /// No usage, though it was asked for. Also without a stream.
    pub fn omit_usage() -> Self {
        Self::from_stream_fault(StreamFault::OmitUsage)
    }

    /// A chunk with the usage, though it was not asked for.
    pub fn unrequested_usage() -> Self {
        Self::from_stream_fault(StreamFault::UnrequestedUsage)
    }

    /// Lines end with CR LF.
    pub fn crlf_line_endings() -> Self {
        Self::from_stream_fault(StreamFault::Crlf)
    }

    /// Lines end with CR alone.
    pub fn cr_line_endings() -> Self {
        Self::from_stream_fault(StreamFault::Cr)
    }

    /// A byte-order mark before everything.
    pub fn byte_order_mark() -> Self {
        Self::from_stream_fault(StreamFault::ByteOrderMark)
    }

    /// One line end after each event, where there should be two.
    pub fn no_blank_lines() -> Self {
        Self::from_stream_fault(StreamFault::NoBlankLines)
    }

    /// No line end after the last event.
    pub fn no_final_newline() -> Self {
        Self::from_stream_fault(StreamFault::NoFinalNewline)
    }

    /// One JSON object a line without `data: ` before it, and no `[DONE]`.
    pub fn json_lines() -> Self {
        Self::from_stream_fault(StreamFault::OmitDataField).and(Self::omit_done())
    }

    /// One JSON object, though a stream was asked for.
    pub fn json_instead_of_stream() -> Self {
        Self::from_stream_fault(StreamFault::JsonInsteadOfStream)
    }

    /// This `finish_reason` in every chunk.
    pub fn finish_reason_in_every_chunk(reason: &str) -> Self {
        Self::from_stream_fault(StreamFault::FinishReasonInEveryChunk(reason.to_owned()))
    }

    /// This `finish_reason` with the thoughts already. Only together with
    /// [`reasoning`](Self::reasoning).
    pub fn finish_reason_on_reasoning(reason: &str) -> Self {
        Self::from_stream_fault(StreamFault::FinishReasonOnReasoning(reason.to_owned()))
    }

    /// A call of this tool in place of an answer. Also without a stream.
    pub fn tool_call(tool: &str) -> Self {
        Self::from_stream_fault(StreamFault::ToolCall(tool.to_owned()))
    }

    /// The last chunk says the whole answer again.
    pub fn repeat_full_answer() -> Self {
        Self::from_stream_fault(StreamFault::RepeatFullAnswer)
    }

    /// Chunks have `message` where they should have `delta`.
    pub fn message_instead_of_delta() -> Self {
        Self::from_stream_fault(StreamFault::MessageInsteadOfDelta)
    }

    /// A comment line of this many bytes before the answer.
    pub fn huge_line(bytes: usize) -> Self {
        Self::from_stream_fault(StreamFault::HugeLine(bytes))
    }

    /// A `data:` line that is not JSON after this many pieces of text.
    pub fn garbage_after_chunks(pieces: usize) -> Self {
        Self::from_stream_fault(StreamFault::GarbageAfter(pieces))
    }

    /// Text without end.
    pub fn endless_stream() -> Self {
        Self::from_stream_fault(StreamFault::Endless)
    }
}

/// WebSocket sessions.
impl Fault {
    fn from_socket_fault(kind: SocketFaultKind) -> Self {
        Self::from_effect(FaultEffect::Socket(SocketFault {
            kind,
            after_turns: None,
            after_audio: None,
        }))
    }

    /// An `Error` message and a close frame with this code, in the published words for it.
    pub fn close_code(code: u16) -> Self {
        let reason = match code {
            1008 => "Unauthorized Connection: Insufficient account balance",
            3005 => "Session Cancelled: An error occurred",
            3006 => "Invalid Message: []",
            3007 => "Audio Transmission Rate Exceeded: Received 12.0 sec. audio in 10.0 sec",
            3008 => "Session Expired: Maximum session duration exceeded",
            3009 => "Unauthorized Connection: Too many concurrent sessions",
            _ => "closed",
        };
        Self::close_with_reason(code, reason)
    }

    /// An `Error` message and a close frame with this code and these words.
    pub fn close_with_reason(code: u16, reason: &str) -> Self {
        Self::from_socket_fault(SocketFaultKind::Close {
            code,
            reason: reason.to_owned(),
        })
    }

    /// The TCP connection ends without a close frame.
    pub fn drop_socket() -> Self {
        Self::from_socket_fault(SocketFaultKind::Drop)
    }

    /// The session is silent from then on, and reads nothing.
    pub fn hang_socket() -> Self {
        Self::from_socket_fault(SocketFaultKind::Hang)
    }

    /// One text message with this content; the session goes on.
    pub fn socket_text(text: &str) -> Self {
        Self::from_socket_fault(SocketFaultKind::Text(text.to_owned()))
    }

    /// A fault of a WebSocket session strikes when this much audio has come.
    pub fn after_audio(mut self, audio: Duration) -> Self {
        for effect in &mut self.effects {
            if let FaultEffect::Socket(fault) = effect {
                fault.after_audio = Some(audio);
            }
        }
        self
    }

    /// A fault of a WebSocket session strikes when this many turns have ended, not at its
    /// beginning (just after `Begin`).
    pub fn after_turns(mut self, turns: usize) -> Self {
        for effect in &mut self.effects {
            if let FaultEffect::Socket(fault) = effect {
                fault.after_turns = Some(turns);
            }
        }
        self
    }
}
