//! What we send to the voice gateway.

use serde_json::json;

use super::MAX_DAVE_VERSION;

/// A message to the voice gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientEvent {
    /// Opcode 0: begins a session.
    Identify {
        /// The guild's id.
        guild_id: u64,
        /// Our user id.
        user_id: u64,
        /// The session id of the main gateway.
        session_id: String,
        /// The token of the Voice Server Update.
        token: String,
    },
    /// Opcode 7: continues a session on a new connection.
    Resume {
        /// The guild's id.
        guild_id: u64,
        /// The session id of the main gateway.
        session_id: String,
        /// The token of the Voice Server Update.
        token: String,
        /// The sequence number of the last message received.
        last_sequence: Option<u16>,
    },
    /// Opcode 1: where to send datagrams, and how to encrypt them.
    SelectProtocol {
        /// Our address as found by IP discovery.
        address: String,
        /// Our port.
        port: u16,
        /// The encryption mode.
        mode: &'static str,
    },
    /// Opcode 3.
    Heartbeat {
        /// A number that the acknowledgement repeats.
        nonce: u64,
        /// The sequence number of the last message received.
        last_sequence: Option<u16>,
    },
    /// Opcode 5: the speaking indicator. Must be sent once before any packet.
    Speaking {
        /// Whether we speak with the microphone.
        is_speaking: bool,
        /// Our SSRC.
        ssrc: u32,
    },
    /// Opcode 23: we are ready for a transition.
    TransitionReady {
        /// The transition's id.
        transition_id: u16,
    },
    /// Opcode 26: the MLS key package with which the others can add us.
    KeyPackage(Vec<u8>),
    /// Opcode 28: a commit of the pending proposals.
    Commit {
        /// The MLS commit, for the members of the group.
        commit: Vec<u8>,
        /// The MLS Welcome, for those who are added.
        welcome: Option<Vec<u8>>,
    },
    /// Opcode 31: a commit or Welcome could not be processed.
    InvalidCommitWelcome {
        /// The id of its transition.
        transition_id: u16,
    },
}

/// A message as it is sent over the websocket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EncodedEvent {
    /// A text message (JSON).
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl ClientEvent {
    /// Encodes the message for the websocket.
    #[must_use]
    pub fn encode(&self) -> EncodedEvent {
        let (op, data) = match self {
            Self::KeyPackage(package) => return binary_message(26, &[package]),
            Self::Commit { commit, welcome } => {
                let welcome = welcome.as_deref().unwrap_or_default();
                return binary_message(28, &[commit, welcome]);
            }
            Self::Identify {
                guild_id,
                user_id,
                session_id,
                token,
            } => (
                0,
                json!({
                    "server_id": guild_id.to_string(), "user_id": user_id.to_string(),
                    "session_id": session_id, "token": token,
                    "max_dave_protocol_version": MAX_DAVE_VERSION,
                }),
            ),
            Self::SelectProtocol {
                address,
                port,
                mode,
            } => (
                1,
                json!({
                    "protocol": "udp",
                    "data": {"address": address, "port": port, "mode": mode},
                }),
            ),
            Self::Heartbeat {
                nonce,
                last_sequence,
            } => (3, json!({"t": nonce, "seq_ack": seq_ack(*last_sequence)})),
            Self::Speaking { is_speaking, ssrc } => (
                5,
                json!({"speaking": u8::from(*is_speaking), "delay": 0, "ssrc": ssrc}),
            ),
            Self::Resume {
                guild_id,
                session_id,
                token,
                last_sequence,
            } => (
                7,
                json!({
                    "server_id": guild_id.to_string(), "session_id": session_id, "token": token,
                    "seq_ack": seq_ack(*last_sequence),
                }),
            ),
            Self::TransitionReady { transition_id } => {
                (23, json!({"transition_id": transition_id}))
            }
            Self::InvalidCommitWelcome { transition_id } => {
                (31, json!({"transition_id": transition_id}))
            }
        };
        EncodedEvent::Text(json!({"op": op, "d": data}).to_string())
    }
}

/// `seq_ack` is -1 before the first numbered message.
fn seq_ack(last_sequence: Option<u16>) -> i32 {
    last_sequence.map_or(-1, i32::from)
}

fn binary_message(op: u8, parts: &[&[u8]]) -> EncodedEvent {
    let mut bytes = vec![op];
    for part in parts {
        bytes.extend_from_slice(part);
    }
    EncodedEvent::Binary(bytes)
}
