//! One frame of the gateway, both ways.

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

/// What an event carries, not yet read.
pub(in crate::discord) struct RawEventData(Box<RawValue>);

impl RawEventData {
    /// Reads it.
    pub(in crate::discord) fn parse(&self) -> Option<Value> {
        parse_lenient(self.0.get()).ok()
    }
}

/// What the gateway says.
pub(super) enum GatewayEvent {
    /// Number, name, content.
    Dispatch(Option<u64>, String, RawEventData),
    /// It wants a heartbeat now.
    Heartbeat,
    /// It asks for another connection.
    Reconnect,
    /// There is no such session, or it can be gone on with.
    InvalidSession { resumable: bool },
    /// Its greeting: how often it wants a heartbeat, in milliseconds.
    Hello(Option<u64>),
    /// It has heard our heartbeat.
    HeartbeatAck,
    /// Something that is not known here.
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

/// Reads a frame. None: it is none.
pub(super) fn parse_payload(text: &str) -> Option<GatewayEvent> {
    // In a well-formed frame, the content is looked at only by whoever wants it.
    let envelope = match serde_json::from_str::<PayloadEnvelope>(text) {
        Ok(envelope) => envelope,
        Err(_) => {
            let mut whole = parse_lenient(text).ok()?;
            let whole = whole.as_object_mut()?;
            let mut part = |name: &str| whole.remove(name).unwrap_or_default();
            PayloadEnvelope {
                op: part("op"),
                s: part("s"),
                t: part("t"),
                d: serde_json::value::to_raw_value(&part("d")).ok(),
            }
        }
    };
    let data = envelope.d.map(RawEventData);
    let content = || {
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
            resumable: content().as_bool().unwrap_or(false),
        },
        10 => GatewayEvent::Hello(content()["heartbeat_interval"].as_u64()),
        11 => GatewayEvent::HeartbeatAck,
        _ => GatewayEvent::Unknown,
    })
}

/// A compressed frame.
pub(super) fn inflate(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let most = u64::try_from(MAX_FRAME_BYTES).unwrap_or(u64::MAX);
    let read = ZlibDecoder::new(bytes).take(most).read_to_string(&mut text);
    read.ok().filter(|length| *length < MAX_FRAME_BYTES)?;
    Some(text)
}

pub(super) fn heartbeat_payload(last: Option<u64>) -> String {
    json!({"op": 1, "d": last}).to_string()
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

pub(super) fn resume_payload(token: &SecretString, session: &str, last: Option<u64>) -> String {
    json!({"op": 6, "d": {
        "token": token.expose_secret(),
        "session_id": session,
        "seq": last.unwrap_or(0),
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
        let packed = |bytes: &[u8]| {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("in memory");
            encoder.finish().expect("in memory")
        };
        let text = r#"{"op":11}"#;
        assert_eq!(inflate(&packed(text.as_bytes())).as_deref(), Some(text));
        assert_eq!(inflate(b"no zlib"), None);
        assert_eq!(inflate(&packed(&[0xFF, 0xFE])), None);
        assert_eq!(inflate(&packed(&vec![b' '; MAX_FRAME_BYTES + 1])), None);
    }

    #[test]
    fn a_malformed_frame_still_yields_its_event() {
        let heard = |text: &str| match parse_payload(text) {
            Some(GatewayEvent::Dispatch(number, name, data)) => (number, name, data.parse()),
            _ => (None, "no event".to_owned(), None),
        };
        let name = "MESSAGE_CREATE".to_owned();
        let whole = r#"{"op":0,"s":7,"t":"MESSAGE_CREATE","d":{"id":"1"}}"#;
        assert_eq!(
            heard(whole),
            (Some(7), name.clone(), Some(json!({"id": "1"})))
        );
        // Named twice, a number that is none, half a character.
        let odd = r#"{"op":0,"op":0,"s":-1,"t":"MESSAGE_CREATE","d":{"a":1e999,"b":"\ud800"}}"#;
        let data = json!({"a": null, "b": "\u{fffd}"});
        assert_eq!(heard(odd), (None, name, Some(data)));
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
