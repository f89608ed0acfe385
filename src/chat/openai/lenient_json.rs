//! Parses JSON, including some mistakes that real servers make.

use serde_json::Value;

/// The values in `bytes`, one after the other. Repairs what can be repaired without guessing:
/// unpaired surrogates, raw control characters in strings, `NaN`, invalid UTF-8.
pub(super) fn parse_lenient(bytes: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    parse_strict(bytes).or_else(|error| parse_strict(&repair_json(bytes)).map_err(|_| error))
}

fn parse_strict(bytes: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_slice(bytes)
        .into_iter()
        .collect()
}

fn repair_json(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        if in_string {
            match c {
                '\\' => {
                    let (escape, length) = escape(rest);
                    repaired.push_str(escape);
                    taken = length;
                }
                c if c.is_control() && c.is_ascii() => {
                    repaired.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => {
                    in_string = c != '"';
                    repaired.push(c);
                }
            }
        } else if let Some(number) = ["NaN", "-Infinity", "Infinity"]
            .iter()
            .find(|number| rest.starts_with(**number))
        {
            repaired.push_str("null");
            taken = number.len();
        } else {
            in_string = c == '"';
            repaired.push(c);
        }
        rest = &rest[taken..];
    }
    repaired.into_bytes()
}

/// The corrected escape at the start of `text`, and the length of the original one.
fn escape(text: &str) -> (&str, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    match unit(text) {
        Some(0xd800..=0xdbff) => match text.get(6..).and_then(unit) {
            Some(0xdc00..=0xdfff) => (&text[..12], 12),
            _ => ("\\ufffd", 6),
        },
        Some(0xdc00..=0xdfff) => ("\\ufffd", 6),
        Some(_) => (&text[..6], 6),
        None => {
            let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
            (&text[..length], length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairable_json_is_parsed() {
        for (bytes, expected) in [
            (&br#"{"a":1}"#[..], r#"{"a":1}"#),
            (
                br#"{"a":"\ud83d\ude00 \ud83d!"}"#,
                "{\"a\":\"😀 \u{fffd}!\"}",
            ),
            (br#"{"a":"\ude00\n\\"}"#, "{\"a\":\"\u{fffd}\\n\\\\\"}"),
            (b"{\"a\":\"one\ttwo\"}", r#"{"a":"one\ttwo"}"#),
            (
                br#"{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN"}"#,
                r#"{"a":null,"b":[null,null],"c":"NaN"}"#,
            ),
            (b"{\"a\":\"caf\xe9\"}", "{\"a\":\"caf\u{fffd}\"}"),
        ] {
            let values = parse_lenient(bytes).expect("readable");
            assert_eq!(values.len(), 1);
            assert_eq!(values[0].to_string(), expected);
        }
        assert!(parse_lenient(br#"{"a":"#).is_err());
        assert!(parse_lenient(br#"{"a":"\"#).is_err());
        assert!(parse_lenient(br#"{"a":"\u12"}"#).is_err());
    }
}
