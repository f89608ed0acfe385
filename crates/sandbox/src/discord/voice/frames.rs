//! Frames of the voice gateway.

use std::time::Instant;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The first version whose frames from the server are numbered.
const FIRST_NUMBERED_VERSION: u64 = 8;

pub(super) mod op {
    pub(in super::super) const READY: u8 = 2;
    pub(in super::super) const SESSION_DESCRIPTION: u8 = 4;
    pub(in super::super) const SPEAKING: u8 = 5;
    pub(in super::super) const HEARTBEAT_ACK: u8 = 6;
    pub(in super::super) const HELLO: u8 = 8;
    pub(in super::super) const RESUMED: u8 = 9;
    pub(in super::super) const CLIENTS_CONNECT: u8 = 11;
    pub(in super::super) const CLIENT_DISCONNECT: u8 = 13;
    pub(in super::super) const PREPARE_TRANSITION: u8 = 21;
    pub(in super::super) const EXECUTE_TRANSITION: u8 = 22;
    pub(in super::super) const PREPARE_EPOCH: u8 = 24;
    pub(in super::super) const EXTERNAL_SENDER: u8 = 25;
    pub(in super::super) const PROPOSALS: u8 = 27;
    pub(in super::super) const COMMIT: u8 = 29;
    pub(in super::super) const WELCOME: u8 = 30;
}

/// Something for a client.
#[derive(Clone, Debug)]
pub(super) enum VoiceFrame {
    Json(u8, Value),
    Binary(u8, Vec<u8>),
    /// Anything, as it is.
    Text(String),
}

/// What happens to a connection.
#[derive(Debug)]
pub(super) enum VoiceOutput {
    /// With its number, if it has one.
    Frame(VoiceFrame, Option<u16>),
    Close(u16),
    /// It ends with RST.
    Reset,
    /// It ends with FIN, without a word.
    Drop,
}

/// What happens to a connection, and when.
#[derive(Debug)]
pub(super) struct ScheduledOutput {
    pub(super) due: Instant,
    pub(super) output: VoiceOutput,
}

impl VoiceFrame {
    /// Whether it matters to encryption: who misses it falls behind the group.
    pub(super) fn is_dave(&self) -> bool {
        match self {
            Self::Json(op, _) | Self::Binary(op, _) => (21..=31).contains(op),
            Self::Text(_) => false,
        }
    }

    /// As it goes over the socket.
    pub(super) fn to_message(&self, version: u64, number: Option<u16>) -> Message {
        let number = number.filter(|_| version >= FIRST_NUMBERED_VERSION);
        match self {
            Self::Json(op, data) => {
                let mut value = json!({"op": op, "d": data});
                if let Some(number) = number {
                    value["seq"] = json!(number);
                }
                Message::text(value.to_string())
            }
            Self::Binary(op, data) => {
                let mut bytes = Vec::with_capacity(data.len() + 3);
                if let Some(number) = number {
                    bytes.extend_from_slice(&number.to_be_bytes());
                }
                bytes.push(*op);
                bytes.extend_from_slice(data);
                Message::binary(bytes)
            }
            Self::Text(text) => Message::text(text.as_str()),
        }
    }
}

/// Whether what a client of this version missed is sent again when it resumes.
pub(super) fn replays_on_resume(version: u64) -> bool {
    version >= FIRST_NUMBERED_VERSION
}

/// An id, whether written as a number or as text.
pub(super) fn parse_id(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_u64()).unwrap_or(0)
}
