//! Arbitrary bytes, split anywhere, as the body of a chat answer: server-sent events, JSON, or
//! neither. The text is bounded, a successful end has text, and where the body is split makes no
//! difference.
//!
//! The first byte says how the rest is split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use talkback::chat::AnswerChunk;
use talkback::chat::openai::{AnswerReader, BodyEnd};

/// The most bytes of text per byte of the body, which may be compressed.
const MAX_EXPANSION: usize = 2_048;

/// Reads a body that arrives in `parts`. Returns the text and how it ended.
fn read_body<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (String, String) {
    let mut reader = AnswerReader::new();
    let mut text = String::new();
    let mut take_chunks = |reader: &mut AnswerReader| {
        while let Some(chunk) = reader.next_chunk() {
            match chunk {
                AnswerChunk::Text(more) => text.push_str(&more),
                AnswerChunk::Retract => text.clear(),
                AnswerChunk::End(_) => panic!("a reader returns its end from finish()"),
            }
        }
    };
    let mut pushed = Ok(());
    for part in parts {
        pushed = reader.push(part);
        take_chunks(&mut reader);
        if pushed.is_err() {
            break;
        }
    }
    let end = pushed.and_then(|()| reader.finish(BodyEnd::Complete));
    take_chunks(&mut reader);
    let is_blank = text.trim().is_empty();
    assert!(end.is_err() || !is_blank);
    (text, format!("{end:?}"))
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, body)) = data.split_first() else {
        return;
    };
    // The same body whole, and in parts of varying length.
    let mut parts = Vec::new();
    let mut rest = body;
    let mut length = usize::from(seed);
    while !rest.is_empty() {
        length = length * 5 % 61 + 1;
        let (part, later) = rest.split_at(length.min(rest.len()));
        parts.push(part);
        rest = later;
    }
    let whole = read_body([body]);
    assert!(whole.0.len() <= body.len().saturating_mul(MAX_EXPANSION));
    assert_eq!(read_body(parts), whole);
});
