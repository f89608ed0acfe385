//! Faults in server-sent events.

use crate::gate::Gate;

/// What is different about a stream of events. Numbers count pieces of text from the beginning.
#[derive(Clone, Debug)]
pub(crate) enum StreamFault {
    OmitDone,
    EndAfter(usize),
    CloseAfter(usize),
    HangAfter(usize),
    GateAfter(Gate, usize),
    ErrorAfter(usize, String),
    GarbageAfter(usize),
    Comments,
    SplitUtf8,
    SplitEvents,
    SingleWrite,
    Crlf,
    HugeLine(usize),
    Endless,
    Reasoning(String),
    UnknownFields,
    ModelRefusal(String),
    FinishReason(String),
    OmitUsage,
    UnrequestedUsage,
    ByteOrderMark,
    NoBlankLines,
    Cr,
    NoFinalNewline,
    OmitDataField,
    JsonInsteadOfStream,
    FinishReasonInEveryChunk(String),
    FinishReasonOnReasoning(String),
    ToolCall(String),
    RepeatFullAnswer,
    MessageInsteadOfDelta,
}
