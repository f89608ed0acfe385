//! Gateway payloads: parsing what arrives, building what is sent.

use std::io::Read;

use flate2::read::ZlibDecoder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;
use serenity::all::GatewayIntents;

use super::Shard;
use super::socket::MAX_FRAME_BYTES;
use crate::discord::decode::parse_lenient;

/// The `d` field of a dispatch, parsed only when a handler needs it.
pub(in crate::discord) struct RawEventData(Box<RawValue>);

impl RawEventData {
    /// Parses the JSON. `None` if it is malformed beyond repair.
    pub(in crate::discord) fn parse(&self) -> Option<Value> {
        parse_lenient(self.0.get()).ok()
    }
}

/// A payload from the gateway.
pub(super) enum GatewayEvent {
    /// Sequence number, event name and data.
    Dispatch(Option<u64>, String, RawEventData),
    /// The gateway wants a heartbeat at once.
    Heartbeat,
    /// The gateway asks us to reconnect and resume.
    Reconnect,
    /// The session is invalid, or may be resumed.
    InvalidSession {
        resumable: bool,
    },
    /// The first payload of a connection, with the heartbeat interval in milliseconds.
    Hello(Option<u64>),
    HeartbeatAck,
    /// An opcode that the bot does not use.
    Unknown,
}

#[derive(Default, Deserialize)]
struct PayloadEnvelope {
    #[serde(default)]
    op: Value,
    #[serde(default)]
    s: Value,
    #[serde(default)]
    t: Value,
    d: Option<Box<RawValue>>,
}

/// Parses a payload. `None` if it is not JSON or has no opcode.
pub(super) fn parse_payload(text: &str) -> Option<GatewayEvent> {
    // Fast path: a well-formed payload keeps its data unparsed until it is needed.
    let envelope = match serde_json::from_str::<PayloadEnvelope>(text) {
        Ok(envelope) => envelope,
        Err(_) => {
            let mut object = parse_lenient(text).ok()?;
            let object = object.as_object_mut()?;
            let mut take = |name: &str| object.remove(name).unwrap_or_default();
            PayloadEnvelope {
                op: take("op"),
                s: take("s"),
                t: take("t"),
                d: serde_json::value::to_raw_value(&take("d")).ok(),
            }
        }
    };
    let data = envelope.d.map(RawEventData);
    let parse_data = || {
        data.as_ref()
            .and_then(RawEventData::parse)
            .unwrap_or_default()
    };
    Some(match envelope.op.as_u64()? {
        0 => {
            let name = envelope.t.as_str().unwrap_or_default().to_owned();
            let empty = || {
                RawValue::from_string("null".to_owned())
                    .ok()
                    .map(RawEventData)
            };
            GatewayEvent::Dispatch(envelope.s.as_u64(), name, data.or_else(empty)?)
        }
        1 => GatewayEvent::Heartbeat,
        7 => GatewayEvent::Reconnect,
        9 => GatewayEvent::InvalidSession {
            resumable: parse_data().as_bool().unwrap_or(false),
        },
        10 => GatewayEvent::Hello(parse_data()["heartbeat_interval"].as_u64()),
        11 => GatewayEvent::HeartbeatAck,
        _ => GatewayEvent::Unknown,
    })
}

/// Decompresses a payload, up to [`MAX_FRAME_BYTES`].
pub(super) fn inflate(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let limit = u64::try_from(MAX_FRAME_BYTES).unwrap_or(u64::MAX);
    let result = ZlibDecoder::new(bytes)
        .take(limit)
        .read_to_string(&mut text);
    result.ok().filter(|length| *length < MAX_FRAME_BYTES)?;
    Some(text)
}

pub(super) fn heartbeat_payload(sequence: Option<u64>) -> String {
    json!({"op": 1, "d": sequence}).to_string()
}

pub(super) fn identify_payload(
    token: &SecretString,
    intents: GatewayIntents,
    shard: Shard,
) -> String {
    json!({"op": 2, "d": {
        "token": token.expose_secret(),
        "intents": intents.bits(),
        "properties": {"os": std::env::consts::OS, "browser": "talkback", "device": "talkback"},
        "compress": true,
        "shard": [shard.index, shard.count],
    }})
    .to_string()
}

pub(super) fn resume_payload(
    token: &SecretString,
    session_id: &str,
    sequence: Option<u64>,
) -> String {
    json!({"op": 6, "d": {
        "token": token.expose_secret(),
        "session_id": session_id,
        "seq": sequence.unwrap_or(0),
    }})
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    #[test]
    fn a_compressed_frame_is_inflated_up_to_the_size_limit() {
        let compress = |bytes: &[u8]| {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("writing to memory");
            encoder.finish().expect("writing to memory")
        };
        let text = r#"{"op":11}"#;
        assert_eq!(inflate(&compress(text.as_bytes())).as_deref(), Some(text));
        assert_eq!(inflate(b"no zlib"), None);
        assert_eq!(inflate(&compress(&[0xFF, 0xFE])), None);
        assert_eq!(inflate(&compress(&vec![b' '; MAX_FRAME_BYTES + 1])), None);
    }

    #[test]
    fn a_malformed_frame_still_yields_its_event() {
        let dispatch = |text: &str| match parse_payload(text) {
            Some(GatewayEvent::Dispatch(number, name, data)) => (number, name, data.parse()),
            _ => (None, "no event".to_owned(), None),
        };
        let name = "MESSAGE_CREATE".to_owned();
        let intact = r#"{"op":0,"s":7,"t":"MESSAGE_CREATE","d":{"id":"1"}}"#;
        assert_eq!(
            dispatch(intact),
            (Some(7), name.clone(), Some(json!({"id": "1"})))
        );
        // A duplicate key, an out-of-range number and a lone surrogate.
        let malformed =
            r#"{"op":0,"op":0,"s":-1,"t":"MESSAGE_CREATE","d":{"a":1e999,"b":"\ud800"}}"#;
        let data = json!({"a": null, "b": "\u{fffd}"});
        assert_eq!(dispatch(malformed), (None, name, Some(data)));
        assert!(parse_payload("{").is_none());
        assert!(parse_payload(r#"{"op":"0"}"#).is_none());
        assert!(matches!(
            parse_payload(r#"{"op":10,"d":null}"#),
            Some(GatewayEvent::Hello(None))
        ));
        let invalid = parse_payload(r#"{"op":9,"d":"maybe"}"#);
        assert!(matches!(
            invalid,
            Some(GatewayEvent::InvalidSession { resumable: false })
        ));
    }
}
