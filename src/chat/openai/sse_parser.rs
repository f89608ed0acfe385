//! Splits a response body into JSON values, whatever its format: server-sent events in any
//! spelling, one JSON object, several of them, or none.

use serde_json::Value;

use super::gunzip::Gunzip;
use super::lenient_json::parse_lenient;
use net::{ErrorCause, RedactedText};

/// The longest line, and the longest JSON value including its line breaks, in bytes.
const MAX_VALUE: usize = 1_536 * 1024;

/// The longest body, in bytes. A token takes about 200 bytes of JSON.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How much of a body without JSON is kept to describe it, in bytes.
const MAX_TEXT: usize = 600;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// An item found in a body.
pub(super) enum SseFrame {
    /// A JSON value.
    Json(Value),
    /// A JSON value from an event named `error`.
    Error(Value),
    /// `[DONE]`.
    Done,
}

/// Why a body can't be read any further.
#[derive(Debug)]
pub(super) enum SseError {
    /// A line, a value or the body exceeds its limit.
    TooLarge,
    /// A value is not valid JSON. Contains no part of it.
    Malformed(ErrorCause),
    /// The body ends in the middle of a value.
    Truncated,
}

/// Splits a body into frames. The result doesn't depend on how the bytes are split.
#[derive(Default)]
pub(super) struct SseParser {
    gunzip: Gunzip,
    bytes: usize,
    line: Vec<u8>,
    after_cr: bool,
    partial_json: PartialJson,
    is_error: bool,
    text: Vec<u8>,
    is_page: bool,
    seen: bool,
    has_events: bool,
    done: bool,
}

impl SseParser {
    /// Reads more of the body and appends what is found to `frames`, also before an error.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        frames: &mut Vec<SseFrame>,
    ) -> Result<(), SseError> {
        let mut plain = Vec::new();
        let unpacked = self.gunzip.push(bytes, &mut plain);
        for byte in plain {
            if self.done {
                return Ok(());
            }
            self.push_byte(byte, frames)?;
        }
        unpacked.map_err(|()| SseError::Malformed("it can't be decompressed".into()))
    }

    /// Ends the body. Also reads a last line without a line break.
    pub(super) fn finish(&mut self, frames: &mut Vec<SseFrame>) -> Result<(), SseError> {
        if self.done {
            return Ok(());
        }
        let mut rest = Vec::new();
        let unpacked = self.gunzip.finish(&mut rest);
        for byte in rest {
            self.push_byte(byte, frames)?;
        }
        self.end_line(frames)?;
        if unpacked.is_err() || !self.partial_json.is_empty() {
            return Err(SseError::Truncated);
        }
        Ok(())
    }

    /// Whether the body has only whitespace and comments so far.
    pub(super) fn is_empty(&self) -> bool {
        !self.seen
    }

    /// Whether the body is an event stream.
    pub(super) fn has_events(&self) -> bool {
        self.has_events
    }

    /// Whether the body is an HTML page.
    pub(super) fn is_page(&self) -> bool {
        self.is_page
    }

    /// The start of the text that is not JSON.
    pub(super) fn text(&self) -> RedactedText {
        RedactedText::new(String::from_utf8_lossy(&self.text).trim())
    }

    fn push_byte(&mut self, byte: u8, frames: &mut Vec<SseFrame>) -> Result<(), SseError> {
        self.bytes += 1;
        if self.bytes > MAX_BODY || self.line.len() + self.partial_json.bytes.len() > MAX_VALUE {
            return Err(SseError::TooLarge);
        }
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if after_cr => Ok(()),
            b'\n' | b'\r' => self.end_line(frames),
            _ => {
                self.line.push(byte);
                Ok(())
            }
        }
    }

    fn end_line(&mut self, frames: &mut Vec<SseFrame>) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        while let Some(rest) = line.strip_prefix(BYTE_ORDER_MARK) {
            line = rest;
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            self.is_error = false;
            // In a body that is one JSON value, empty lines have no meaning.
            if self.partial_json.in_event {
                return Err(SseError::Malformed("an event ends in the middle".into()));
            }
            return Ok(());
        }
        if self.is_page {
            return Ok(());
        }
        if line.starts_with(b":") {
            return Ok(());
        }
        self.seen = true;
        if !self.partial_json.is_empty() && !self.partial_json.in_event {
            return self.push_json(line, false, frames);
        }
        match parse_field(line) {
            Some((b"data", data)) => self.handle_data(data, frames),
            Some((b"event", name)) => {
                self.is_error = name.eq_ignore_ascii_case(b"error");
                Ok(())
            }
            Some(_) => Ok(()),
            None if !self.partial_json.is_empty() || looks_like_json(line) => {
                let of_event = self.partial_json.in_event;
                self.push_json(line, of_event, frames)
            }
            None => {
                self.is_page = self.text.is_empty() && line.starts_with(b"<");
                self.keep_text(line);
                Ok(())
            }
        }
    }

    fn handle_data(&mut self, data: &[u8], frames: &mut Vec<SseFrame>) -> Result<(), SseError> {
        self.has_events = true;
        if self.partial_json.is_empty() {
            // Some proxies wrap events in events.
            if let Some((b"data", inner)) = parse_field(data) {
                return self.handle_data(inner, frames);
            }
            if data.eq_ignore_ascii_case(b"[DONE]") {
                self.done = true;
                frames.push(SseFrame::Done);
                return Ok(());
            }
            if !looks_like_json(data) {
                // A keep-alive or stray text.
                self.keep_text(data);
                return Ok(());
            }
        }
        self.push_json(data, true, frames)
    }

    fn keep_text(&mut self, text: &[u8]) {
        let space = MAX_TEXT.saturating_sub(self.text.len());
        if space > 0 && !text.is_empty() {
            self.text.extend_from_slice(&text[..text.len().min(space)]);
            self.text.push(b' ');
        }
    }

    fn push_json(
        &mut self,
        part: &[u8],
        of_event: bool,
        frames: &mut Vec<SseFrame>,
    ) -> Result<(), SseError> {
        if !self.partial_json.push_line(part, of_event) {
            return Ok(());
        }
        let bytes = self.partial_json.take();
        let is_error = std::mem::take(&mut self.is_error);
        let values = parse_lenient(&bytes)
            .map_err(|error| SseError::Malformed(ErrorCause::from_error(&error)))?;
        let frame = if is_error {
            SseFrame::Error
        } else {
            SseFrame::Json
        };
        frames.extend(values.into_iter().map(frame));
        Ok(())
    }
}

/// Name and value of a field line; `None` if it is not a known field.
fn parse_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = match colon {
        Some(colon) => (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()),
        None => (line, &[][..]),
    };
    let is_known = [&b"data"[..], b"event", b"id", b"retry"].contains(&name);
    is_known.then_some((name, value))
}

fn looks_like_json(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{") || bytes.starts_with(b"[")
}

/// A JSON value that is not complete yet.
#[derive(Default)]
struct PartialJson {
    bytes: Vec<u8>,
    /// Whether it started in an event, whose end also ends the value.
    in_event: bool,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl PartialJson {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a line. Returns true if the value is complete, judging by its brackets.
    fn push_line(&mut self, line: &[u8], of_event: bool) -> bool {
        if line.is_empty() {
            return false;
        }
        if !self.bytes.is_empty() {
            self.bytes.push(b'\n');
        }
        self.in_event = of_event;
        self.bytes.extend_from_slice(line);
        for byte in line {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.depth == 0 && !self.in_string
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of a body, and whether it was read to its end.
    fn read(body: &[u8]) -> (Vec<String>, bool) {
        let (mut parser, mut frames) = (SseParser::default(), Vec::new());
        let fine = parser.push(body, &mut frames).is_ok() && parser.finish(&mut frames).is_ok();
        let shown = frames.iter().map(|frame| match frame {
            SseFrame::Json(value) => value.to_string(),
            SseFrame::Error(value) => format!("error {value}"),
            SseFrame::Done => "done".to_owned(),
        });
        (shown.collect(), fine)
    }

    #[test]
    fn bodies_of_every_format() {
        let two = ["{\"a\":1}", "{\"b\":2}"];
        for body in [
            "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n",
            "\u{feff}data: {\"a\":1}\n\ndata: {\"b\":2}\n\n",
            "\u{feff}\u{feff}\n\ndata:{\"a\":1}\n\n\u{feff}data:{\"b\":2}",
            "data: {\"a\":1}\ndata: {\"b\":2}\n",
            "data: {\"a\":1}\r\rdata: {\"b\":2}",
            "data: {\"a\":1}\r\n\r\ndata: {\"b\":2}\r\n",
            "id: 7\nevent: message\nretry: 1\n: life\ndata: {\"a\":1}\n\n: life\n\ndata\n\ndata: {\"b\":2}",
            "data: {\ndata: \"a\":1}\n\ndata: {\"b\":\n2}\n\n",
            "data: data: {\"a\":1}\n\ndata: {\"b\":2}\n\n",
            "data: ping\n\ndata: {\"a\":1}\n\ndata: {\"b\":2}\n\n",
            "{\"a\":1}\n{\"b\":2}\n",
            "{\"a\":1}{\"b\":2}",
            "{\r\n  \"a\": 1\r\n}\r\n\r\n{\n\n\"b\": 2}",
            "  \t data: {\"a\":1}\n\n data : {\"b\":2}",
        ] {
            let expected = two.map(str::to_owned).to_vec();
            assert_eq!(read(body.as_bytes()), (expected, true), "{body:?}");
        }
    }

    #[test]
    fn done_ends_the_body_and_error_events_are_marked() {
        let body = "event: error\ndata: {\"a\":1}\n\ndata: {\"a\":1}\n\ndata: [DONE]\n\ndata: {\"";
        let expected = ["error {\"a\":1}", "{\"a\":1}", "done"].map(str::to_owned);
        assert_eq!(read(body.as_bytes()), (expected.to_vec(), true));
    }

    #[test]
    fn incomplete_values_are_detected() {
        for body in [
            "{\"a\": [1, 2",
            "{\"a\": \"x",
            "data: {\"a\": 1",
            "data: {\"a\": 1\n\ndata: {\"a\": 1}\n\n",
            "data: {a: 1}\n\n",
        ] {
            assert_eq!(read(body.as_bytes()), (Vec::new(), false), "{body:?}");
        }
    }

    #[test]
    fn other_bodies_are_classified() {
        let of = |body: &str| {
            let (mut parser, mut frames) = (SseParser::default(), Vec::new());
            parser.push(body.as_bytes(), &mut frames).expect("bounded");
            parser.finish(&mut frames).expect("whole");
            assert!(frames.is_empty());
            let text = parser.text().expose_to_user().to_owned();
            (parser.is_empty(), parser.is_page(), text)
        };
        assert_eq!(of(" \n: life\n\n"), (true, false, String::new()));
        assert!(of("<!DOCTYPE html>\n<script>\n{\"a\":1}\n</script>").1);
        let text = "upstream connect error";
        assert_eq!(of(&format!("{text}\n")), (false, false, text.to_owned()));
        assert!(of(&"x".repeat(10_000)).2.len() < 700);
    }

    #[test]
    fn endless_bodies_are_rejected() {
        for body in [
            [b"data: \"".to_vec(), vec![b'x'; 2_000_000]].concat(),
            [b"{\"a\": \"".to_vec(), vec![b'x'; 2_000_000]].concat(),
            b"data: [\n".repeat(1_000_000),
            b"[\n".repeat(1_000_000),
        ] {
            let (mut parser, mut frames) = (SseParser::default(), Vec::new());
            let read = parser.push(&body, &mut frames);
            assert!(matches!(read, Err(SseError::TooLarge)), "{read:?}");
        }
        let comment = b": keep-alive\n\n".repeat(100_000);
        let (mut parser, mut frames) = (SseParser::default(), Vec::new());
        let end = (0..100).find_map(|_| parser.push(&comment, &mut frames).err());
        assert!(matches!(end, Some(SseError::TooLarge)));
    }
}
