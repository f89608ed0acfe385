//! What goes wrong, how often, and in which order.

mod body;
mod builders;
mod discord_errors;
mod queue;
mod stream;

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;

use crate::gate::Gate;

pub(crate) use body::apply_to_body;
pub(crate) use queue::FaultQueue;
pub(crate) use stream::StreamFault;

/// Something that goes wrong, or at least differently.
///
/// Faults are queued per endpoint and strike one request each, unless [`times`](Self::times) or
/// [`always`](Self::always) says otherwise. [`and`](Self::and) puts several into one request.
/// What has no published shape of its own (a hang, a cut) leaves everything else as it would be.
///
/// ```
/// use sandbox::Fault;
///
/// let busy = Fault::status(429).retry_after(1).times(2);
/// let broken_off = Fault::crlf_line_endings().and(Fault::omit_done());
/// # let _ = (busy, broken_off);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault strikes once it is given to a server"]
pub struct Fault {
    pub(crate) effects: Vec<FaultEffect>,
    pub(crate) repeat: FaultRepeat,
    pub(crate) before_body: bool,
    /// What is asked for is done before it goes wrong.
    pub(crate) after_processing: bool,
    /// How much audio of a live upload comes before it strikes.
    pub(crate) after_upload: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultRepeat {
    Remaining(u32),
    Always,
}

#[derive(Clone, Debug)]
pub(crate) enum FaultEffect {
    ErrorResponse(ErrorOverride),
    Delay(Duration),
    Gate(Gate),
    Hang,
    Close,
    Reset,
    Body(BodyFault),
    Stream(StreamFault),
    JobError(String),
    Socket(SocketFault),
}

/// An answer in place of the right one.
#[derive(Clone, Debug)]
pub(crate) struct ErrorOverride {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// Content type and bytes, in place of the provider's own shape.
    pub(crate) body: Option<(String, Bytes)>,
}

/// What happens to the bytes of an answer.
#[derive(Clone, Debug)]
pub(crate) enum BodyFault {
    /// `None`: in the middle.
    CloseAfter(Option<usize>),
    ResetAfter(Option<usize>),
    HangAfter(usize),
    ByteByByte(Duration),
    Malformed,
    ContentType(String),
    Gzip,
    Empty,
    Endless,
    Replace(Bytes),
}

/// What happens to a WebSocket session.
#[derive(Clone, Debug)]
pub(crate) struct SocketFault {
    pub(crate) kind: SocketFaultKind,
    /// The number of turns that end before it strikes; `None`: at the beginning.
    pub(crate) after_turns: Option<usize>,
    /// The audio that comes before it strikes.
    pub(crate) after_audio: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) enum SocketFaultKind {
    /// An `Error` message and a close frame with this code.
    Close { code: u16, reason: String },
    /// The TCP connection ends without a close frame.
    Drop,
    /// Nothing more is sent or read.
    Hang,
    /// A text message that is not what it should be.
    Text(String),
}

impl Default for Fault {
    /// Nothing goes wrong.
    fn default() -> Self {
        Self {
            effects: Vec::new(),
            repeat: FaultRepeat::Remaining(1),
            before_body: false,
            after_processing: false,
            after_upload: None,
        }
    }
}

impl Fault {
    pub(crate) fn from_effect(effect: FaultEffect) -> Self {
        Self {
            effects: vec![effect],
            ..Self::default()
        }
    }

    pub(crate) fn error_override(&self) -> Option<&ErrorOverride> {
        self.effects.iter().find_map(|effect| match effect {
            FaultEffect::ErrorResponse(refusal) => Some(refusal),
            _ => None,
        })
    }

    pub(crate) fn job_error_message(&self) -> Option<&str> {
        self.effects.iter().find_map(|effect| match effect {
            FaultEffect::JobError(message) => Some(message.as_str()),
            _ => None,
        })
    }

    pub(crate) fn stream_faults(&self) -> impl Iterator<Item = &StreamFault> {
        self.effects.iter().filter_map(|effect| match effect {
            FaultEffect::Stream(fault) => Some(fault),
            _ => None,
        })
    }

    pub(crate) fn socket_faults(&self) -> impl Iterator<Item = &SocketFault> {
        self.effects.iter().filter_map(|effect| match effect {
            FaultEffect::Socket(fault) => Some(fault),
            _ => None,
        })
    }
}
