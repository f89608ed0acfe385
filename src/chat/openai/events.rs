//! The pure half of reading an answer: event data in, pieces out. No network, no clock.

use serde_json::Value;

use super::wire::{Choice, Chunk};
use crate::chat::{End, EndReason, Piece, Usage};
use crate::net::{Cause, Code, ForeignText, NetError};

/// Bytes of the longest answer that is read: 256 KiB.
const MAX_ANSWER: usize = 256 * 1024;

/// Reads the events of one answer, one after the other.
///
/// Tolerates what servers are known to send: unknown fields, empty or missing choices, role-only
/// and reasoning deltas, usage in a chunk of its own or not at all, no `[DONE]`.
#[derive(Debug, Default)]
pub struct EventReader {
    reason: Option<EndReason>,
    usage: Option<Usage>,
    bytes: usize,
    done: bool,
}

/// Why an event can't be read.
#[derive(Debug)]
pub enum EventError {
    /// The server says so itself: an error object in the middle of a stream.
    Server(NetError),
    /// The data is not what it should be. Holds no part of it.
    Malformed(Cause),
}

impl EventReader {
    /// A reader that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the data of one event. Text comes back trimmed at the very start of the answer only.
    pub fn read(&mut self, data: &str) -> Result<Option<Piece>, EventError> {
        let data = data.trim();
        if self.done || data.is_empty() {
            return Ok(None);
        }
        if data == "[DONE]" {
            self.done = true;
            return Ok(None);
        }
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|error| EventError::Malformed(Cause::of(&error)))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(EventError::Server(server_error(&error)));
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(Usage {
                prompt_tokens: usage.prompt_tokens,
                answer_tokens: usage.completion_tokens,
            });
        }
        // More than one choice is never asked for.
        let choice = chunk.choices.into_iter().find(|choice| choice.index == 0);
        Ok(choice.and_then(|choice| self.choice(choice)))
    }

    fn choice(&mut self, choice: Choice) -> Option<Piece> {
        if let Some(reason) = &choice.finish_reason {
            self.reason = Some(match reason.as_str() {
                "length" => EndReason::Length,
                "content_filter" => EndReason::Filtered,
                _ => EndReason::Complete,
            });
        }
        let mut text = choice.text.unwrap_or_default();
        if let Some(delta) = choice.delta.or(choice.message) {
            if let Some(content) = delta.content {
                text.push_str(&content.into_text());
            }
            text.push_str(&delta.refusal.unwrap_or_default());
        }
        if self.bytes == 0 {
            text = text.trim_start().to_owned();
        }
        if text.is_empty() {
            return None;
        }
        self.bytes += text.len();
        if self.bytes > MAX_ANSWER {
            self.reason = Some(EndReason::Length);
            self.done = true;
            return None;
        }
        Some(Piece::Text(text))
    }

    /// Whether nothing more can come.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the server has said why it ended, so that only the usage may still come.
    pub fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether a word has been read.
    pub fn has_words(&self) -> bool {
        self.bytes > 0
    }

    /// How the answer ended, or none if it broke off: the server neither gave a reason nor said
    /// `[DONE]`.
    pub fn end(&self) -> Option<End> {
        let reason = match self.reason {
            Some(reason) => reason,
            None if self.done => EndReason::Complete,
            None => return None,
        };
        Some(End {
            reason,
            usage: self.usage,
        })
    }
}

/// An error object inside a stream, as the status it would have had by itself. OpenAI gives a
/// `code` word, OpenRouter an HTTP status as a number.
fn server_error(error: &Value) -> NetError {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let code = text("code").or_else(|| text("type"));
    let number = error.get("code").and_then(Value::as_u64);
    let status = number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| (400..600).contains(number))
        .unwrap_or(match code {
            Some("insufficient_quota" | "rate_limit_exceeded" | "slow_down") => 429,
            Some("invalid_request_error" | "context_length_exceeded") => 400,
            _ => 503,
        });
    NetError::Status {
        status: reqwest::StatusCode::from_u16(status)
            .unwrap_or(reqwest::StatusCode::SERVICE_UNAVAILABLE),
        code: code.map(Code::new),
        message: text("message")
            .or(error.as_str())
            .map(ForeignText::new)
            .unwrap_or_default(),
        retry_after: None,
        should_retry: None,
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(events: &[&str]) -> (String, Option<End>) {
        let mut reader = EventReader::new();
        let mut text = String::new();
        for event in events {
            if let Some(Piece::Text(more)) = reader.read(event).expect("readable") {
                text.push_str(&more);
            }
        }
        (text, reader.end())
    }

    fn complete(usage: Option<(u64, u64)>) -> Option<End> {
        Some(End {
            reason: EndReason::Complete,
            usage: usage.map(|(prompt_tokens, answer_tokens)| Usage {
                prompt_tokens,
                answer_tokens,
            }),
        })
    }

    #[test]
    fn answers_as_servers_send_them() {
        let cases: &[(&str, &[&str], &str, Option<End>)] = &[
            (
                "OpenAI",
                &[
                    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
                    r#"{"choices":[{"index":0,"delta":{"content":"Par"},"finish_reason":null}]}"#,
                    r#"{"choices":[{"index":0,"delta":{"content":"is."},"finish_reason":null}]}"#,
                    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                    r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
                    "[DONE]",
                ],
                "Paris.",
                complete(Some((9, 2))),
            ),
            (
                "reasoning first, null content",
                &[
                    r#"{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}"#,
                    r#"{"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}"#,
                ],
                "Yes.",
                complete(None),
            ),
            (
                "content as parts, surprise types",
                &[
                    r#"{"choices":[{"delta":{"content":[{"type":"text","text":"A"},{"type":"x"}]}}]}"#,
                    r#"{"choices":[{"delta":{"content":7}}]}"#,
                    r#"{"choices":null,"usage":{"prompt_tokens":null}}"#,
                    "[DONE]",
                ],
                "A",
                complete(Some((0, 0))),
            ),
            (
                "completions",
                &[
                    r#"{"choices":[{"text":" Pa","index":0,"finish_reason":null}]}"#,
                    r#"{"choices":[{"text":"ris.","index":0,"finish_reason":"stop"}]}"#,
                    "[DONE]",
                ],
                "Paris.",
                complete(None),
            ),
            (
                "not streamed at all",
                &[
                    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Paris."},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
                ],
                "Paris.",
                complete(Some((3, 1))),
            ),
            (
                "a refusal is an answer",
                &[r#"{"choices":[{"delta":{"refusal":"I can't."},"finish_reason":"stop"}]}"#],
                "I can't.",
                complete(None),
            ),
            (
                "broken off",
                &[r#"{"choices":[{"delta":{"content":"Par"}}]}"#],
                "Par",
                None,
            ),
            (
                "cut by the limit",
                &[r#"{"choices":[{"delta":{"content":"Par"},"finish_reason":"length"}]}"#],
                "Par",
                Some(End {
                    reason: EndReason::Length,
                    usage: None,
                }),
            ),
        ];
        for (name, events, text, end) in cases {
            assert_eq!(read_all(events), ((*text).to_owned(), *end), "{name}");
        }
    }

    #[test]
    fn an_error_in_the_stream_keeps_its_meaning() {
        let mut reader = EventReader::new();
        let error = reader
            .read(r#"{"error":{"message":"You exceeded your quota","type":"insufficient_quota","code":"insufficient_quota"}}"#)
            .expect_err("an error");
        let meaning = match &error {
            EventError::Server(error) => (error.code(), error.http_status()),
            EventError::Malformed(_) => (None, None),
        };
        let status = reqwest::StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(meaning, (Some("insufficient_quota"), Some(status)));
    }

    #[test]
    fn malformed_data_is_not_repeated() {
        let error = EventReader::new()
            .read("{\"choices\": secret words")
            .expect_err("an error");
        assert!(!format!("{error:?}").contains("secret"));
    }

    #[test]
    fn an_endless_answer_ends_at_the_limit() {
        let mut reader = EventReader::new();
        let event = format!(
            r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#,
            "x".repeat(100_000)
        );
        let mut bytes = 0;
        while !reader.is_done() {
            if let Some(Piece::Text(text)) = reader.read(&event).expect("readable") {
                bytes += text.len();
            }
        }
        assert!(bytes <= MAX_ANSWER);
        assert_eq!(reader.end().map(|end| end.reason), Some(EndReason::Length));
    }
}
