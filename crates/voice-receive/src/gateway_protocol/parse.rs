//! Parses the gateway's messages.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::server_event::{DaveEvent, ServerEvent};

/// Encryption modes that are read from Ready.
const MAX_MODES: usize = 64;

/// User ids that are read from one message.
const MAX_USERS: usize = 10_000;

/// Heartbeat intervals that are accepted, in milliseconds.
const HEARTBEAT_RANGE_MS: RangeInclusive<f64> = 50.0..=120_000.0;

/// The heartbeat interval if Hello has none that is accepted.
const DEFAULT_HEARTBEAT: Duration = Duration::from_millis(13_750);

/// A message that can't be parsed, with its opcode if that could be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid message (opcode {0:?})")]
pub struct ParseError(pub Option<u8>);

/// Parses a text message. Returns its sequence number, if it has one, and the event.
///
/// # Errors
///
/// [`ParseError`] if it is not JSON, or a field that its opcode requires is missing or invalid.
pub fn parse_text(text: &str) -> Result<(Option<u16>, ServerEvent), ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|_| ParseError(None))?;
    let op = value["op"].as_u64().and_then(|op| u8::try_from(op).ok());
    let op = op.ok_or(ParseError(None))?;
    let sequence = parse_u16(&value["seq"]);
    let event = parse_json_event(op, &value["d"]).ok_or(ParseError(Some(op)))?;
    Ok((sequence, event))
}

/// Parses a binary message. Returns its sequence number and the event.
///
/// # Errors
///
/// [`ParseError`] if it is too short, or has an invalid field.
pub fn parse_binary(bytes: &Bytes) -> Result<(u16, ServerEvent), ParseError> {
    let [s1, s2, op] = *bytes.first_chunk::<3>().ok_or(ParseError(None))?;
    let rest = bytes.slice(3..);
    let event = parse_binary_event(op, rest).ok_or(ParseError(Some(op)))?;
    Ok((u16::from_be_bytes([s1, s2]), event))
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
        // Not documented: the streams of a user, sent when an official client joins.
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
    Some(match op {
        25 => ServerEvent::Dave(DaveEvent::ExternalSender(rest)),
        27 => {
            let is_append = match rest.first()? {
                0 => true,
                1 => false,
                _ => return None,
            };
            ServerEvent::Dave(DaveEvent::Proposals {
                is_append,
                proposals: rest.slice(1..),
            })
        }
        29 => {
            let (transition_id, commit) = split_transition_id(&rest)?;
            ServerEvent::Dave(DaveEvent::Commit {
                transition_id,
                commit,
            })
        }
        30 => {
            let (transition_id, welcome) = split_transition_id(&rest)?;
            ServerEvent::Dave(DaveEvent::Welcome {
                transition_id,
                welcome,
            })
        }
        _ => ServerEvent::Other(op),
    })
}

fn split_transition_id(bytes: &Bytes) -> Option<(u16, Bytes)> {
    let transition_id = u16::from_be_bytes(*bytes.first_chunk::<2>()?);
    Some((transition_id, bytes.slice(2..)))
}

fn parse_u16(value: &Value) -> Option<u16> {
    value.as_u64()?.try_into().ok()
}

fn parse_ssrc(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// Ids are strings, since they exceed the integers that JavaScript can represent. Numbers are
/// accepted.
fn parse_id(value: &Value) -> Option<u64> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_u64())
}

fn parse_ids(value: &Value) -> Option<Vec<u64>> {
    let ids = value.as_array()?.iter();
    Some(ids.filter_map(parse_id).take(MAX_USERS).collect())
}

fn parse_modes(value: &Value) -> Vec<String> {
    let modes = value.as_array().into_iter().flatten();
    let names = modes.filter_map(Value::as_str).take(MAX_MODES);
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
    let millis = value.as_f64().filter(|it| HEARTBEAT_RANGE_MS.contains(it));
    millis.map_or(DEFAULT_HEARTBEAT, |millis| {
        Duration::from_secs_f64(millis / 1_000.0)
    })
}
