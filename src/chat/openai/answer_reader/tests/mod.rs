//! Response bodies of many servers, and how they are read.

mod failures;
mod formats;
mod robustness;

use serde_json::{Value, json};

use super::*;

/// Reads a body in these pieces; returns its text and how it ended.
fn read_pieces(pieces: &[&[u8]]) -> (String, Result<AnswerEnd, AnswerReadError>) {
    let mut reader = AnswerReader::new();
    let mut text = String::new();
    let mut take = |reader: &mut AnswerReader| {
        while let Some(piece) = reader.next_chunk() {
            match piece {
                AnswerChunk::Text(more) => text.push_str(&more),
                AnswerChunk::Retract => text.clear(),
                AnswerChunk::End(end) => {
                    assert_eq!(Some(end), None, "the reader never returns End");
                }
            }
        }
    };
    let mut pushed = Ok(());
    for piece in pieces {
        pushed = reader.push(piece);
        take(&mut reader);
        if pushed.is_err() {
            break;
        }
    }
    let end = pushed.and_then(|()| reader.finish(BodyEnd::Complete));
    take(&mut reader);
    (text, end)
}

fn read(body: &str) -> (String, Result<AnswerEnd, AnswerReadError>) {
    read_pieces(&[body.as_bytes()])
}

fn complete(body: &str) -> String {
    let (text, end) = read(body);
    assert!(
        matches!(&end, Ok(end) if end.reason == FinishReason::Complete),
        "{end:?} of {body}"
    );
    text
}

fn events(chunks: &[Value]) -> String {
    let lines = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    lines.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn delta(content: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}
