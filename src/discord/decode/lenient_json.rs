//! Parses JSON that contains numbers or escapes that serde_json rejects.

use serde_json::Value;

/// Parses JSON. Numbers that don't fit an `f64` become `null`, and lone surrogates become U+FFFD;
/// either would otherwise fail the whole document.
///
/// # Errors
///
/// If the text is not JSON even so. serde_json's message may quote the text, so the error only has
/// the position.
pub(in crate::discord) fn parse_lenient(text: &str) -> Result<Value, JsonSyntaxError> {
    let first = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    serde_json::from_str(&repair_json(text)).map_err(|_| JsonSyntaxError {
        line: first.line(),
        column: first.column(),
    })
}

/// Where parsing failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no JSON at line {line}, column {column}")]
pub(in crate::discord) struct JsonSyntaxError {
    line: usize,
    column: usize,
}

/// Replaces what serde_json rejects: huge numbers, lone surrogates and control characters in
/// strings.
fn repair_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => copy_string(rest, &mut out),
            '-' | '0'..='9' => copy_number(rest, &mut out),
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// Copies the string literal at the start of `text`; returns its length in bytes.
fn copy_string(text: &str, out: &mut String) -> usize {
    out.push('"');
    let mut at = 1;
    while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match next {
            '"' => {
                out.push('"');
                return at + 1;
            }
            '\\' => at += copy_escape(text.get(at..).unwrap_or_default(), out),
            control if control < ' ' => {
                out.push(' ');
                at += 1;
            }
            other => {
                out.push(other);
                at += other.len_utf8();
            }
        }
    }
    at
}

/// Copies the escape sequence at the start of `text`; returns its length in bytes.
fn copy_escape(text: &str, out: &mut String) -> usize {
    let unit = |from: usize| {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        let whole = text.chars().take(2).map(char::len_utf8).sum();
        out.push_str(text.get(..whole).unwrap_or_default());
        return whole;
    };
    let paired = unit(6).is_some_and(|second| (0xDC00..0xE000).contains(&second));
    let (kept, length) = match first {
        0xD800..0xDC00 if paired => (true, 12),
        0xD800..0xE000 => (false, 6),
        _ => (true, 6),
    };
    out.push_str(match text.get(..length) {
        Some(escape) if kept => escape,
        _ => "\\ufffd",
    });
    length
}

/// Copies the number at the start of `text`; returns its length in bytes.
fn copy_number(text: &str, out: &mut String) -> usize {
    let is_part = |it: char| matches!(it, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
    let length = text.find(|it| !is_part(it)).unwrap_or(text.len());
    let number = text.get(..length).unwrap_or_default();
    let finite = number.parse::<f64>().is_ok_and(f64::is_finite);
    out.push_str(if finite { number } else { "null" });
    length
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn invalid_numbers_and_surrogates_are_replaced() {
        let malformed =
            r#"{"a":1e999,"b":"x\ud83dy\udc00\ud83d\ude00","c":[-2.5e3,"\"\\"],"d":"é"}"#;
        assert!(serde_json::from_str::<Value>(malformed).is_err());
        let expected = json!({
            "a": null, "b": "x\u{fffd}y\u{fffd}\u{1f600}", "c": [-2500.0, "\"\\"], "d": "é",
        });
        assert_eq!(parse_lenient(malformed), Ok(expected));
        assert!(parse_lenient("{\"a\":\"\u{1}\"}").is_ok());
        assert!(parse_lenient("{").is_err());
        assert!(parse_lenient("\"\\u").is_err());
        assert!(parse_lenient(&"[".repeat(1_000)).is_err());
    }
}
