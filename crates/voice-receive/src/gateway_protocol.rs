//! What is said on the voice gateway, version 8
//! (<https://discord.com/developers/docs/topics/voice-connections>), both ways.
//!
//! The server's binary frames begin with a sequence number of two bytes and an opcode; ours with the
//! opcode (<https://daveprotocol.com/#voice-gateway-opcodes>).

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

/// The version of the gateway.
pub const GATEWAY_VERSION: u8 = 8;

/// Names of ciphers that are read of an offer.
const MAX_MODES: usize = 64;

/// People that are read of one frame.
const MAX_USERS: usize = 10_000;

/// The shortest and the longest time between heartbeats that we keep to, in milliseconds. Others
/// can't be meant.
const HEARTBEAT_RANGE_MS: std::ops::RangeInclusive<f64> = 50.0..=120_000.0;

/// How often we send heartbeats where it is not said as it should be.
const DEFAULT_HEARTBEAT: Duration = Duration::from_millis(13_750);

/// What the gateway says.
#[derive(Clone, Debug)]
pub enum ServerEvent {
    /// The first word.
    Hello {
        /// Between two heartbeats.
        heartbeat_interval: Duration,
    },
    /// We are let in.
    Ready {
        /// The stream that is ours.
        ssrc: u32,
        /// Where packets go to.
        ip: IpAddr,
        /// And its port.
        port: u16,
        /// The ciphers that are offered.
        modes: Vec<String>,
    },
    /// How packets are encrypted.
    SessionDescription {
        /// The cipher.
        mode: String,
        /// Its key.
        secret_key: Box<[u8; 32]>,
        /// The version of end-to-end encryption that the call has; 0 is none.
        dave_version: u16,
    },
    /// Whose stream it is.
    Speaking {
        /// Whose.
        user_id: u64,
        /// Of their microphone; 0 is none.
        ssrc: u32,
        /// They speak, or may.
        is_speaking: bool,
    },
    /// The heartbeat with this number was heard.
    HeartbeatAck {
        /// Which.
        nonce: u64,
    },
    /// The session goes on.
    Resumed,
    /// These people are in the call, or have come into it.
    ClientsConnected(Vec<u64>),
    /// Somebody has left.
    ClientDisconnected(u64),
    /// About end-to-end encryption.
    Dave(DaveEvent),
    /// Something else.
    Other(u8),
}

/// What the gateway says about end-to-end encryption.
#[derive(Clone, Debug)]
pub enum DaveEvent {
    /// The call is about to change to another version.
    PrepareTransition {
        /// Which change.
        transition_id: u16,
        /// To this version.
        version: u16,
    },
    /// It changes now.
    ExecuteTransition {
        /// Which change.
        transition_id: u16,
    },
    /// A group is made, or changes its version.
    PrepareEpoch {
        /// Its version.
        version: u16,
        /// Its epoch: 1 is a new group.
        epoch: u64,
    },
    /// Who proposes the members of the group.
    ExternalSender(Bytes),
    /// Members are proposed, or no longer.
    Proposals {
        /// Whether these are added to what is proposed.
        is_append: bool,
        /// As MLS has it.
        proposals: Bytes,
    },
    /// The group has changed.
    Commit {
        /// Which change.
        transition_id: u16,
        /// As MLS has it.
        commit: Bytes,
    },
    /// We are let into the group.
    Welcome {
        /// Which change.
        transition_id: u16,
        /// As MLS has it.
        welcome: Bytes,
    },
}

/// What we say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientEvent {
    /// Let us in.
    Identify {
        /// The server.
        guild_id: u64,
        /// Who we are.
        user_id: u64,
        /// The id of our session.
        session_id: String,
        /// What proves it.
        token: String,
    },
    /// Go on with a session.
    Resume {
        /// The server.
        guild_id: u64,
        /// The id of our session.
        session_id: String,
        /// What proves it.
        token: String,
        /// The number of the last frame that we have seen.
        last_sequence: Option<u16>,
    },
    /// Where packets shall be sent to, and how encrypted.
    SelectProtocol {
        /// Our address, as Discord sees it.
        address: String,
        /// And its port.
        port: u16,
        /// The cipher.
        mode: &'static str,
    },
    /// We are there.
    Heartbeat {
        /// Comes back.
        nonce: u64,
        /// The number of the last frame that we have seen.
        last_sequence: Option<u16>,
    },
    /// Whether we speak.
    Speaking {
        /// We do.
        is_speaking: bool,
        /// Our stream.
        ssrc: u32,
    },
    /// We are ready for a transition.
    TransitionReady {
        /// Which.
        transition_id: u16,
    },
    /// What a group needs to let us in.
    KeyPackage(Vec<u8>),
    /// What the group becomes with what is proposed.
    Commit {
        /// For its members.
        commit: Vec<u8>,
        /// For who is new.
        welcome: Option<Vec<u8>>,
    },
    /// We could not follow the group.
    InvalidCommitWelcome {
        /// In this transition.
        transition_id: u16,
    },
}

/// How something of ours goes over the socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EncodedEvent {
    /// As text.
    Text(String),
    /// As bytes.
    Binary(Vec<u8>),
}

/// A frame that makes no sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a frame of opcode {0:?} makes no sense")]
pub struct ParseError(pub Option<u8>);

/// Reads a text frame: its number, if it has one, and what it says.
///
/// # Errors
///
/// If it is no JSON, or what its opcode needs is not in it.
pub fn text(text: &str) -> Result<(Option<u16>, ServerEvent), ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|_| ParseError(None))?;
    let op = value["op"].as_u64().and_then(|op| u8::try_from(op).ok());
    let op = op.ok_or(ParseError(None))?;
    let number = parse_u16(&value["seq"]);
    let frame = parse_json_event(op, &value["d"]).ok_or(ParseError(Some(op)))?;
    Ok((number, frame))
}

/// Reads a binary frame: its number, and what it says.
///
/// # Errors
///
/// If it is too short.
pub fn parse_binary(bytes: &Bytes) -> Result<(u16, ServerEvent), ParseError> {
    let [n1, n2, op] = *bytes.first_chunk::<3>().ok_or(ParseError(None))?;
    let rest = bytes.slice(3..);
    let frame = parse_binary_event(op, rest).ok_or(ParseError(Some(op)))?;
    Ok((u16::from_be_bytes([n1, n2]), frame))
}

fn parse_json_event(op: u8, data: &Value) -> Option<ServerEvent> {
    Some(match op {
        2 => ServerEvent::Ready {
            ssrc: parse_ssrc(&data["ssrc"])?,
            ip: data["ip"].as_str()?.parse().ok()?,
            port: parse_u16(&data["port"])?,
            modes: parse_modes(&data["modes"]),
        },
        4 => ServerEvent::SessionDescription {
            mode: data["mode"].as_str()?.to_owned(),
            secret_key: parse_key(&data["secret_key"])?,
            dave_version: parse_u16(&data["dave_protocol_version"]).unwrap_or(0),
        },
        5 => ServerEvent::Speaking {
            user_id: parse_id(&data["user_id"])?,
            ssrc: parse_ssrc(&data["ssrc"])?,
            is_speaking: data["speaking"].as_u64() != Some(0),
        },
        6 => ServerEvent::HeartbeatAck {
            nonce: data["t"].as_u64()?,
        },
        8 => ServerEvent::Hello {
            heartbeat_interval: parse_heartbeat_interval(&data["heartbeat_interval"]),
        },
        9 => ServerEvent::Resumed,
        11 => ServerEvent::ClientsConnected(parse_ids(&data["user_ids"])?),
        // What somebody sends; official clients say so when they come.
        12 => ServerEvent::Speaking {
            user_id: parse_id(&data["user_id"])?,
            ssrc: parse_ssrc(&data["audio_ssrc"])?,
            is_speaking: false,
        },
        13 => ServerEvent::ClientDisconnected(parse_id(&data["user_id"])?),
        21 => ServerEvent::Dave(DaveEvent::PrepareTransition {
            transition_id: parse_u16(&data["transition_id"])?,
            version: parse_u16(&data["protocol_version"])?,
        }),
        22 => ServerEvent::Dave(DaveEvent::ExecuteTransition {
            transition_id: parse_u16(&data["transition_id"])?,
        }),
        24 => ServerEvent::Dave(DaveEvent::PrepareEpoch {
            version: parse_u16(&data["protocol_version"])?,
            epoch: data["epoch"].as_u64()?,
        }),
        _ => ServerEvent::Other(op),
    })
}

fn parse_binary_event(op: u8, rest: Bytes) -> Option<ServerEvent> {
    let numbered = |rest: &Bytes| {
        let number = u16::from_be_bytes(*rest.first_chunk::<2>()?);
        Some((number, rest.slice(2..)))
    };
    Some(match op {
        25 => ServerEvent::Dave(DaveEvent::ExternalSender(rest)),
        27 => {
            let append = match rest.first()? {
                0 => true,
                1 => false,
                _ => return None,
            };
            let proposals = rest.slice(1..);
            ServerEvent::Dave(DaveEvent::Proposals {
                is_append: append,
                proposals,
            })
        }
        29 => {
            let (transition, commit) = numbered(&rest)?;
            ServerEvent::Dave(DaveEvent::Commit {
                transition_id: transition,
                commit,
            })
        }
        30 => {
            let (transition, welcome) = numbered(&rest)?;
            ServerEvent::Dave(DaveEvent::Welcome {
                transition_id: transition,
                welcome,
            })
        }
        _ => ServerEvent::Other(op),
    })
}

fn parse_u16(value: &Value) -> Option<u16> {
    value.as_u64()?.try_into().ok()
}

fn parse_ssrc(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// Ids are text, since JavaScript could not count so far.
fn parse_id(value: &Value) -> Option<u64> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_u64())
}

fn parse_ids(value: &Value) -> Option<Vec<u64>> {
    let all = value.as_array()?.iter();
    Some(all.filter_map(parse_id).take(MAX_USERS).collect())
}

fn parse_modes(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    let names = all.filter_map(Value::as_str).take(MAX_MODES);
    names.map(ToOwned::to_owned).collect()
}

fn parse_key(value: &Value) -> Option<Box<[u8; 32]>> {
    let bytes = value.as_array()?;
    let mut key = Box::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    for (byte, value) in key.iter_mut().zip(bytes) {
        *byte = u8::try_from(value.as_u64()?).ok()?;
    }
    Some(key)
}

fn parse_heartbeat_interval(value: &Value) -> Duration {
    let told = value.as_f64().filter(|it| HEARTBEAT_RANGE_MS.contains(it));
    told.map_or(DEFAULT_HEARTBEAT, |millis| {
        Duration::from_secs_f64(millis / 1_000.0)
    })
}

impl ClientEvent {
    /// As it goes over the socket.
    #[must_use]
    pub fn encode(&self) -> EncodedEvent {
        let (op, data) = match self {
            Self::KeyPackage(package) => return binary_message(26, &[package]),
            Self::Commit { commit, welcome } => {
                let welcome = welcome.as_deref().unwrap_or_default();
                return binary_message(28, &[commit, welcome]);
            }
            Self::Identify {
                guild_id: guild,
                user_id: user,
                session_id: session,
                token,
            } => (
                0,
                json!({
                    "server_id": guild.to_string(), "user_id": user.to_string(),
                    "session_id": session, "token": token,
                    "max_dave_protocol_version": super::dave_state::MAX_DAVE_VERSION,
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
                last_sequence: seen,
            } => (3, json!({"t": nonce, "seq_ack": seq_ack(*seen)})),
            Self::Speaking {
                is_speaking: speaks,
                ssrc,
            } => (
                5,
                json!({"speaking": u8::from(*speaks), "delay": 0, "ssrc": ssrc}),
            ),
            Self::Resume {
                guild_id: guild,
                session_id: session,
                token,
                last_sequence: seen,
            } => (
                7,
                json!({
                    "server_id": guild.to_string(), "session_id": session, "token": token,
                    "seq_ack": seq_ack(*seen),
                }),
            ),
            Self::TransitionReady {
                transition_id: transition,
            } => (23, json!({"transition_id": transition})),
            Self::InvalidCommitWelcome {
                transition_id: transition,
            } => (31, json!({"transition_id": transition})),
        };
        EncodedEvent::Text(json!({"op": op, "d": data}).to_string())
    }
}

/// Nothing seen is -1.
fn seq_ack(seen: Option<u16>) -> i32 {
    seen.map_or(-1, i32::from)
}

fn binary_message(op: u8, parts: &[&[u8]]) -> EncodedEvent {
    let mut bytes = vec![op];
    for part in parts {
        bytes.extend_from_slice(part);
    }
    EncodedEvent::Binary(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &Value) -> Result<ServerEvent, ParseError> {
        text(&value.to_string()).map(|(_, frame)| frame)
    }

    #[test]
    fn a_heartbeat_that_cannot_be_meant_is_not_kept_to() {
        for (told, kept) in [
            (json!(41_250.0), 41_250),
            (json!(200), 200),
            (json!(-1), 13_750),
            (json!(0), 13_750),
            (json!(1e300), 13_750),
            (json!("soon"), 13_750),
            (Value::Null, 13_750),
        ] {
            let hello = json!({"op": 8, "d": {"v": 8, "heartbeat_interval": told}});
            let frame = read(&hello);
            let kept = Duration::from_millis(kept);
            assert!(
                matches!(frame, Ok(ServerEvent::Hello { heartbeat_interval }) if heartbeat_interval == kept),
                "{told}"
            );
        }
    }

    #[test]
    fn frames_are_numbered() {
        let said = json!({"op": 13, "d": {"user_id": "7"}, "seq": 10}).to_string();
        assert!(matches!(
            text(&said),
            Ok((Some(10), ServerEvent::ClientDisconnected(7)))
        ));
        let bytes = Bytes::from_static(&[1, 2, 30, 0, 5, 9, 9]);
        let welcome = match parse_binary(&bytes) {
            Ok((
                0x0102,
                ServerEvent::Dave(DaveEvent::Welcome {
                    transition_id: 5,
                    welcome,
                }),
            )) => Some(welcome),
            _ => None,
        };
        assert_eq!(welcome.as_deref(), Some(&[9, 9][..]));
    }

    #[test]
    fn streams_are_told_in_two_ways() {
        let speaking = json!({"op": 5, "d": {"user_id": "7", "ssrc": 9, "speaking": 1}});
        let streams = json!({"op": 12, "d": {"user_id": "7", "audio_ssrc": 9, "video_ssrc": 0}});
        for (value, speaks) in [(speaking, true), (streams, false)] {
            let frame = read(&value);
            assert!(
                matches!(frame, Ok(ServerEvent::Speaking { user_id: 7, ssrc: 9, is_speaking: it }) if it == speaks)
            );
        }
    }

    #[test]
    fn what_lacks_something_makes_no_sense() {
        for value in [
            json!({"op": 2, "d": {"ssrc": 1, "ip": "somewhere", "port": 1}}),
            json!({"op": 2, "d": {"ssrc": 1, "ip": "127.0.0.1", "port": 70_000}}),
            json!({"op": 4, "d": {"mode": "x", "secret_key": [1, 2]}}),
            json!({"op": 5, "d": null}),
            json!({"op": 21, "d": {"transition_id": -1, "protocol_version": 1}}),
            json!({"op": 300}),
            json!([]),
        ] {
            assert!(read(&value).is_err(), "{value}");
        }
        for bytes in [
            &[][..],
            &[0, 1],
            &[0, 1, 29, 0],
            &[0, 1, 27],
            &[0, 1, 27, 2],
        ] {
            assert!(parse_binary(&Bytes::copy_from_slice(bytes)).is_err());
        }
    }

    #[test]
    fn what_we_say_looks_as_published() {
        let seen = ClientEvent::Heartbeat {
            nonce: 5,
            last_sequence: None,
        };
        let text = r#"{"op":3,"d":{"seq_ack":-1,"t":5}}"#;
        let said = match seen.encode() {
            EncodedEvent::Text(said) => Some(said),
            _ => None,
        };
        let said = said.expect("text");
        let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(parsed(&said), parsed(text));
        let commit = ClientEvent::Commit {
            commit: vec![1],
            welcome: Some(vec![2]),
        };
        assert_eq!(commit.encode(), EncodedEvent::Binary(vec![28, 1, 2]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            let _ = parse_binary(&Bytes::from(bytes));
        }

        #[test]
        fn any_data_is_read(op: u8, data in "[\\[\\]{}\":,0-9a-z_]{0,60}") {
            let _ = text(&data);
            let _ = text(&format!("{{\"op\":{op},\"d\":{data}}}"));
        }
    }
}
