use proptest::prelude::*;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;

fn parse(value: &Value) -> Result<ServerEvent, ParseError> {
    parse_text(&value.to_string()).map(|(_, event)| event)
}

#[test]
fn invalid_heartbeat_intervals_are_replaced() {
    for (sent, expected) in [
        (json!(41_250.0), 41_250),
        (json!(200), 200),
        (json!(-1), 13_750),
        (json!(0), 13_750),
        (json!(1e300), 13_750),
        (json!("soon"), 13_750),
        (Value::Null, 13_750),
    ] {
        let hello = json!({"op": 8, "d": {"v": 8, "heartbeat_interval": sent}});
        let event = parse(&hello);
        let expected = Duration::from_millis(expected);
        assert!(
            matches!(event, Ok(ServerEvent::Hello { heartbeat_interval }) if heartbeat_interval == expected),
            "{sent}"
        );
    }
}

#[test]
fn sequence_numbers_are_read() {
    let message = json!({"op": 13, "d": {"user_id": "7"}, "seq": 10}).to_string();
    assert!(matches!(
        parse_text(&message),
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
fn ssrcs_come_with_speaking_and_with_client_connect() {
    let speaking = json!({"op": 5, "d": {"user_id": "7", "ssrc": 9, "speaking": 1}});
    let streams = json!({"op": 12, "d": {"user_id": "7", "audio_ssrc": 9, "video_ssrc": 0}});
    for (value, expected) in [(speaking, true), (streams, false)] {
        let event = parse(&value);
        assert!(
            matches!(event, Ok(ServerEvent::Speaking { user_id: 7, ssrc: 9, is_speaking }) if is_speaking == expected)
        );
    }
}

#[test]
fn missing_or_invalid_fields_are_errors() {
    for value in [
        json!({"op": 2, "d": {"ssrc": 1, "ip": "somewhere", "port": 1}}),
        json!({"op": 2, "d": {"ssrc": 1, "ip": "127.0.0.1", "port": 70_000}}),
        json!({"op": 4, "d": {"mode": "x", "secret_key": [1, 2]}}),
        json!({"op": 5, "d": null}),
        json!({"op": 21, "d": {"transition_id": -1, "protocol_version": 1}}),
        json!({"op": 300}),
        json!([]),
    ] {
        assert!(parse(&value).is_err(), "{value}");
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
fn client_events_are_encoded_as_documented() {
    let heartbeat = ClientEvent::Heartbeat {
        nonce: 5,
        last_sequence: None,
    };
    let expected = r#"{"op":3,"d":{"seq_ack":-1,"t":5}}"#;
    let text = match heartbeat.encode() {
        EncodedEvent::Text(text) => Some(text),
        _ => None,
    };
    let text = text.expect("a text message");
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(parsed(&text), parsed(expected));
    let commit = ClientEvent::Commit {
        commit: vec![1],
        welcome: Some(vec![2]),
    };
    assert_eq!(commit.encode(), EncodedEvent::Binary(vec![28, 1, 2]));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = parse_binary(&Bytes::from(bytes));
    }

    #[test]
    fn arbitrary_text_does_not_panic(op: u8, data in "[\\[\\]{}\":,0-9a-z_]{0,60}") {
        let _ = parse_text(&data);
        let _ = parse_text(&format!("{{\"op\":{op},\"d\":{data}}}"));
    }
}
