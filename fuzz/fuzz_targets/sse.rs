//! Any bytes at all, cut anywhere, read as the body of an answer: events, JSON, or neither. The words
//! are bounded, what ends well has words, and where the bytes are cut makes no difference.
//!
//! The first byte says how the rest is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use talkback::chat::Piece;
use talkback::chat::openai::{AnswerReader, BodyEnd};

/// The most bytes of words that one byte of a compressed body can become, and of any other.
const GROWTH: usize = 2_048;

/// Reads a whole body that comes in `pieces`: the words, and how it ended.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, String) {
    let mut reader = AnswerReader::new();
    let mut words = String::new();
    let mut take = |reader: &mut AnswerReader| {
        while let Some(piece) = reader.next_piece() {
            match piece {
                Piece::Text(text) => words.push_str(&text),
                Piece::TakeBack => words.clear(),
                Piece::End(_) => panic!("the end is no piece of a reader"),
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
    let end = pushed.and_then(|()| reader.finish(BodyEnd::Whole));
    take(&mut reader);
    let is_blank = words.trim().is_empty();
    assert!(end.is_err() || !is_blank);
    (words, format!("{end:?}"))
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, body)) = data.split_first() else {
        return;
    };
    // Bytes that are bodies by themselves, and the same in pieces of changing length.
    let mut pieces = Vec::new();
    let mut rest = body;
    let mut length = usize::from(cut);
    while !rest.is_empty() {
        length = length * 5 % 61 + 1;
        let (piece, later) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    let whole = read([body]);
    assert!(whole.0.len() <= body.len().saturating_mul(GROWTH));
    assert_eq!(read(pieces), whole);
});
