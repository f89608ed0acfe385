//! Faults in server-sent events.

use crate::gate::Gate;

/// What is different about a stream of events. Numbers count pieces of text from the beginning.
#[derive(Clone, Debug)]
pub(crate) enum StreamFault {
    NoDone,
    EndAfter(usize),
    CutAfter(usize),
    HangAfter(usize),
    GateAfter(Gate, usize),
    ErrorAfter(usize, String),
    GarbageAfter(usize),
    Comments,
    SplitUtf8,
    SplitEvents,
    OneWrite,
    Crlf,
    HugeLine(usize),
    Endless,
    Reasoning(String),
    UnknownFields,
    Refusal(String),
    Finish(String),
    NoUsage,
    UsageUnasked,
    ByteOrderMark,
    OneLineEnd,
    Cr,
    NoLastLineEnd,
    NoField,
    Unstreamed,
    FinishEverywhere(String),
    FinishOnThoughts(String),
    Call(String),
    RepeatsAll,
    Message,
}
