//! How a test words a fault.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;

use super::{BodyFault, Effect, Fault, Refusal, SocketEnd, SocketFault, StreamFault, Times};
use crate::gate::Gate;

/// How often and when a fault strikes.
impl Fault {
    /// It strikes this many requests in a row instead of one.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Times::Left(times);
        self
    }

    /// It strikes every request until the faults are cleared.
    pub fn always(mut self) -> Self {
        self.times = Times::Always;
        self
    }

    /// It strikes as soon as the headers are there, while the client still sends the body.
    pub fn before_body(mut self) -> Self {
        self.before_body = true;
        self
    }

    /// What is asked for is done, and only its answer is lost: a refusal, a closed or reset
    /// connection comes in its place.
    pub fn once_done(mut self) -> Self {
        self.done = true;
        self
    }

    /// It strikes once this much audio has come, while the client still sends. Only given to
    /// `Endpoint::SyncLive`.
    pub fn after_upload(mut self, audio: Duration) -> Self {
        self.after_upload = Some(audio);
        self
    }

    /// The other fault strikes the same requests.
    pub fn and(mut self, other: Self) -> Self {
        self.effects.extend(other.effects);
        self.before_body |= other.before_body;
        self.done |= other.done;
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
        Self::of(Effect::Refusal(Refusal {
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

    fn amend(mut self, amend: impl Fn(&mut Refusal)) -> Self {
        for effect in &mut self.effects {
            if let Effect::Refusal(refusal) = effect {
                amend(refusal);
            }
        }
        self
    }

    /// The machine-readable code of the error. Only together with [`status`](Self::status).
    pub fn code(self, code: &str) -> Self {
        self.amend(|refusal| refusal.code = Some(code.to_owned()))
    }

    /// The words of the error. Only together with [`status`](Self::status).
    pub fn message(self, message: &str) -> Self {
        self.amend(|refusal| refusal.message = Some(message.to_owned()))
    }

    /// A further header. Only together with [`status`](Self::status).
    pub fn header(self, name: &str, value: &str) -> Self {
        self.amend(|refusal| refusal.headers.push((name.to_owned(), value.to_owned())))
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
        self.amend(|refusal| refusal.body = Some((content_type.to_owned(), body.clone())))
    }
}

/// Time and connection.
impl Fault {
    /// The answer begins this much later.
    pub fn delay(delay: Duration) -> Self {
        Self::of(Effect::Delay(delay))
    }

    /// The answer begins when the gate is opened.
    pub fn gate(gate: &Gate) -> Self {
        Self::of(Effect::Gate(gate.clone()))
    }

    /// The request is taken and nothing ever comes back.
    pub fn hang() -> Self {
        Self::of(Effect::Hang)
    }

    /// The headers come, the body never does.
    pub fn hang_after_headers() -> Self {
        Self::hang_after(0)
    }

    /// The headers and this many bytes of the body come, and nothing more.
    pub fn hang_after(bytes: usize) -> Self {
        Self::of(Effect::Body(BodyFault::HangAfter(bytes)))
    }

    /// The connection closes before a byte of the answer.
    pub fn close() -> Self {
        Self::of(Effect::Close)
    }

    /// The connection is reset before a byte of the answer.
    pub fn reset() -> Self {
        Self::of(Effect::Reset)
    }

    /// The connection closes in the middle of the body, whose length was declared (or whose last
    /// chunk is missing).
    pub fn cut() -> Self {
        Self::of(Effect::Body(BodyFault::CutAfter(None)))
    }

    /// The same, after this many bytes.
    pub fn cut_after(bytes: usize) -> Self {
        Self::of(Effect::Body(BodyFault::CutAfter(Some(bytes))))
    }

    /// The connection is reset in the middle of the body.
    pub fn reset_in_body() -> Self {
        Self::of(Effect::Body(BodyFault::ResetAfter(None)))
    }
}

/// The body of the answer.
impl Fault {
    /// The body comes byte by byte, with this pause before each one.
    pub fn slow(pause: Duration) -> Self {
        Self::of(Effect::Body(BodyFault::Slow(pause)))
    }

    /// Only the first half of the JSON comes, as if it were all.
    pub fn malformed_json() -> Self {
        Self::of(Effect::Body(BodyFault::Malformed))
    }

    /// The body is compressed with gzip, though nobody asked for it.
    pub fn gzip() -> Self {
        Self::of(Effect::Body(BodyFault::Gzip))
    }

    /// The answer claims to be of this content type; empty: it claims nothing.
    pub fn content_type(content_type: &str) -> Self {
        Self::of(Effect::Body(BodyFault::ContentType(
            content_type.to_owned(),
        )))
    }

    /// 2xx and nothing.
    pub fn empty_body() -> Self {
        Self::of(Effect::Body(BodyFault::Empty))
    }

    /// After the answer, blanks without end. Its length is not declared.
    pub fn endless_body() -> Self {
        Self::of(Effect::Body(BodyFault::Endless))
    }

    /// Status and headers of the right answer, and these bytes.
    pub fn replace_body(body: impl Into<Bytes>) -> Self {
        Self::of(Effect::Body(BodyFault::Replace(body.into())))
    }
}

/// AssemblyAI's pre-recorded jobs.
impl Fault {
    /// The job fails with these words: HTTP 200, `status: "error"`. Given to
    /// `Endpoint::Transcript` it fails when it would have been done, given to `Endpoint::Poll`
    /// with the next look at it.
    pub fn job_error(message: &str) -> Self {
        Self::of(Effect::JobError(message.to_owned()))
    }
}

/// Server-sent events. What has no stream (`stream: false`) is not touched by most of these.
impl Fault {
    fn stream(fault: StreamFault) -> Self {
        Self::of(Effect::Stream(fault))
    }

    /// The stream ends properly, but without `data: [DONE]`.
    pub fn cut_before_done() -> Self {
        Self::stream(StreamFault::NoDone)
    }

    /// The stream ends properly after this many pieces of text, without `finish_reason` and
    /// `data: [DONE]`.
    pub fn end_after_pieces(pieces: usize) -> Self {
        Self::stream(StreamFault::EndAfter(pieces))
    }

    /// The connection breaks after this many pieces of text.
    pub fn cut_after_pieces(pieces: usize) -> Self {
        Self::stream(StreamFault::CutAfter(pieces))
    }

    /// The stream stands still for ever after this many pieces of text.
    pub fn hang_after_pieces(pieces: usize) -> Self {
        Self::stream(StreamFault::HangAfter(pieces))
    }

    /// The stream stands still after this many pieces of text until the gate is opened.
    pub fn gate_after_pieces(gate: &Gate, pieces: usize) -> Self {
        Self::stream(StreamFault::GateAfter(gate.clone(), pieces))
    }

    /// `data: {"error": …}` after this many pieces of text, and the end.
    pub fn error_in_stream(pieces: usize, message: &str) -> Self {
        Self::stream(StreamFault::ErrorAfter(pieces, message.to_owned()))
    }

    /// Comment lines before and between the events.
    pub fn comments() -> Self {
        Self::stream(StreamFault::Comments)
    }

    /// Every character of more than one byte is split over two writes (and two chunks).
    pub fn split_utf8() -> Self {
        Self::stream(StreamFault::SplitUtf8)
    }

    /// Every event is split over two writes (and two chunks) in the middle.
    pub fn split_events() -> Self {
        Self::stream(StreamFault::SplitEvents)
    }

    /// All events come in one write.
    pub fn one_write() -> Self {
        Self::stream(StreamFault::OneWrite)
    }

    /// `reasoning_content` deltas before the answer, as vLLM and others send them.
    pub fn reasoning(text: &str) -> Self {
        Self::stream(StreamFault::Reasoning(text.to_owned()))
    }

    /// Fields nobody has heard of, at every level.
    pub fn unknown_fields() -> Self {
        Self::stream(StreamFault::UnknownFields)
    }

    /// A refusal instead of an answer. Also without a stream.
    pub fn refusal_with(text: &str) -> Self {
        Self::stream(StreamFault::Refusal(text.to_owned()))
    }

    /// Another `finish_reason`: `length`, `content_filter`. Also without a stream.
    pub fn finish(reason: &str) -> Self {
        Self::stream(StreamFault::Finish(reason.to_owned()))
    }

    /// No usage, though it was asked for. Also without a stream.
    pub fn no_usage() -> Self {
        Self::stream(StreamFault::NoUsage)
    }

    /// A chunk with the usage, though it was not asked for.
    pub fn usage_unasked() -> Self {
        Self::stream(StreamFault::UsageUnasked)
    }

    /// Lines end with CR LF.
    pub fn crlf() -> Self {
        Self::stream(StreamFault::Crlf)
    }

    /// Lines end with CR alone.
    pub fn cr() -> Self {
        Self::stream(StreamFault::Cr)
    }

    /// A byte-order mark before everything.
    pub fn byte_order_mark() -> Self {
        Self::stream(StreamFault::ByteOrderMark)
    }

    /// One line end after each event, where there should be two.
    pub fn one_line_end() -> Self {
        Self::stream(StreamFault::OneLineEnd)
    }

    /// No line end after the last event.
    pub fn no_last_line_end() -> Self {
        Self::stream(StreamFault::NoLastLineEnd)
    }

    /// One JSON object a line without `data: ` before it, and no `[DONE]`.
    pub fn json_lines() -> Self {
        Self::stream(StreamFault::NoField).and(Self::cut_before_done())
    }

    /// One JSON object, though a stream was asked for.
    pub fn unstreamed() -> Self {
        Self::stream(StreamFault::Unstreamed)
    }

    /// This `finish_reason` in every chunk.
    pub fn finish_everywhere(reason: &str) -> Self {
        Self::stream(StreamFault::FinishEverywhere(reason.to_owned()))
    }

    /// This `finish_reason` with the thoughts already. Only together with
    /// [`reasoning`](Self::reasoning).
    pub fn finish_on_thoughts(reason: &str) -> Self {
        Self::stream(StreamFault::FinishOnThoughts(reason.to_owned()))
    }

    /// A call of this tool in place of an answer. Also without a stream.
    pub fn call_of(tool: &str) -> Self {
        Self::stream(StreamFault::Call(tool.to_owned()))
    }

    /// The last chunk says the whole answer again.
    pub fn repeats_all() -> Self {
        Self::stream(StreamFault::RepeatsAll)
    }

    /// Chunks have `message` where they should have `delta`.
    pub fn message_for_delta() -> Self {
        Self::stream(StreamFault::Message)
    }

    /// A comment line of this many bytes before the answer.
    pub fn huge_line(bytes: usize) -> Self {
        Self::stream(StreamFault::HugeLine(bytes))
    }

    /// A `data:` line that is not JSON after this many pieces of text.
    pub fn garbage_after_pieces(pieces: usize) -> Self {
        Self::stream(StreamFault::GarbageAfter(pieces))
    }

    /// Text without end.
    pub fn endless_stream() -> Self {
        Self::stream(StreamFault::Endless)
    }
}

/// WebSocket sessions.
impl Fault {
    fn socket(kind: SocketEnd) -> Self {
        Self::of(Effect::Socket(SocketFault {
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
        Self::close_with(code, reason)
    }

    /// An `Error` message and a close frame with this code and these words.
    pub fn close_with(code: u16, reason: &str) -> Self {
        Self::socket(SocketEnd::Close {
            code,
            reason: reason.to_owned(),
        })
    }

    /// The TCP connection ends without a close frame.
    pub fn drop_socket() -> Self {
        Self::socket(SocketEnd::Drop)
    }

    /// The session is silent from then on, and reads nothing.
    pub fn hang_socket() -> Self {
        Self::socket(SocketEnd::Hang)
    }

    /// One text message with this content; the session goes on.
    pub fn socket_text(text: &str) -> Self {
        Self::socket(SocketEnd::Text(text.to_owned()))
    }

    /// A fault of a WebSocket session strikes when this much audio has come.
    pub fn after_audio(mut self, audio: Duration) -> Self {
        for effect in &mut self.effects {
            if let Effect::Socket(fault) = effect {
                fault.after_audio = Some(audio);
            }
        }
        self
    }

    /// A fault of a WebSocket session strikes when this many turns have ended, not at its
    /// beginning (just after `Begin`).
    pub fn after_turns(mut self, turns: usize) -> Self {
        for effect in &mut self.effects {
            if let Effect::Socket(fault) = effect {
                fault.after_turns = Some(turns);
            }
        }
        self
    }
}
