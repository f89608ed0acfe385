//! Any bytes at all, cut anywhere, read as a streamed answer: the words are bounded, and where
//! the pieces are cut makes no difference.
//!
//! The first byte says how the rest is cut.

#![no_main]

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use libfuzzer_sys::fuzz_target;
use talkback::chat::Piece;
use talkback::chat::openai::{EventReader, event_data};

/// Reads a whole body that comes in `pieces`: the words, and whether it went well.
fn read(pieces: Vec<Bytes>) -> (String, bool) {
    let mut events = Box::pin(event_data(stream::iter(pieces.into_iter().map(Ok))));
    let mut reader = EventReader::new();
    let mut words = String::new();
    while let Some(event) = futures_util::FutureExt::now_or_never(events.next()).flatten() {
        let Ok(data) = event else {
            return (words, false);
        };
        match reader.read(&data) {
            Ok(Some(Piece::Text(text))) => words.push_str(&text),
            Ok(_) => {}
            Err(_) => return (words, false),
        }
        if reader.is_done() {
            break;
        }
    }
    let _ = reader.end();
    (words, true)
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, body)) = data.split_first() else {
        return;
    };
    // Bytes that are events by themselves, and the same in pieces of changing length.
    let mut pieces = Vec::new();
    let mut rest = body;
    let mut length = usize::from(cut);
    while !rest.is_empty() {
        length = length * 5 % 61 + 1;
        let (piece, later) = rest.split_at(length.min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = later;
    }
    let (whole, whole_is_fine) = read(vec![Bytes::copy_from_slice(body)]);
    let (parts, parts_are_fine) = read(pieces);
    assert!(whole.len() <= body.len() * 3);
    assert_eq!(whole_is_fine, parts_are_fine);
    if whole_is_fine {
        assert_eq!(whole, parts);
    }
});
