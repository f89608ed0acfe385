//! Compressed, endless and damaged bodies, however they are split.

use proptest::prelude::*;

use super::*;

#[test]
fn a_compressed_body_is_read() {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let body = events(&[delta("Paris."), finish("stop")]);
    encoder.write_all(body.as_bytes()).expect("in memory");
    let packed = encoder.finish().expect("in memory");
    let (text, end) = read_pieces(&[&packed[..20], &packed[20..]]);
    assert_eq!((text.as_str(), end.is_ok()), ("Paris.", true));
    let (_, end) = read_pieces(&[&packed[..packed.len() / 2]]);
    assert!(end.is_err());
}

#[test]
fn debug_output_contains_no_text() {
    let mut reader = AnswerReader::new();
    let _ = reader.push(b"data: {\"choices\":[{\"delta\":{\"content\":\"zebrafinch\"}}]}\n\n");
    let cut = reader.push(b"data: {\"zebrafinch\": zebrafinch}\n\n");
    assert!(!format!("{reader:?} {cut:?}").contains("zebrafinch"));
}

#[test]
fn an_endless_answer_ends_at_the_limit() {
    let mut reader = AnswerReader::new();
    let mut bytes = 0;
    let mut number = 0;
    while !reader.is_finished() {
        let chunk = delta(&format!("{number}{}", "x".repeat(100_000)));
        number += 1;
        reader
            .push(format!("data: {chunk}\n\n").as_bytes())
            .expect("readable");
        while let Some(AnswerChunk::Text(text)) = reader.next_chunk() {
            bytes += text.len();
        }
    }
    assert!(bytes <= MAX_ANSWER);
    let end = reader.finish(BodyEnd::Complete).expect("an end");
    assert_eq!(end.reason, FinishReason::Length);
}

/// Fragments of bodies, valid and invalid.
fn fragments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let valid = prop::sample::select(vec![
        "data: ",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\u{feff}",
        "[DONE]",
        ": life\n",
        "event: error\n",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\\ud83d",
        "<html>",
        "\u{1f}\u{8b}",
        "{\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"<think>\"}}]}",
        "{\"choices\":[{\"delta\":{\"content\":\"é</think>`\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"Paris.\"},\"finish_reason\":\"stop\"}]}",
        "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}",
        "{\"choices\":[{\"delta\":{\"reasoning\":\"Hm\"},\"finish_reason\":\"length\"}]}",
        "{\"error\":{\"message\":\"x\",\"code\":429}}",
        "{\"error\":\"x\"}",
        "NaN",
    ]);
    let fragment = prop_oneof![
        4 => valid.prop_map(|it| it.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(fragment, 0..40)
}

proptest! {
    #[test]
    fn splits_make_no_difference(fragments in fragments(), cuts in prop::collection::vec(1_usize..40, 1..20)) {
        let body = fragments.concat();
        let (whole, whole_end) = read_pieces(&[&body]);
        let mut pieces = Vec::new();
        let mut rest = body.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        let (parts, parts_end) = read_pieces(&pieces);
        prop_assert_eq!(&parts, &whole);
        prop_assert_eq!(format!("{parts_end:?}"), format!("{whole_end:?}"));
        prop_assert!(whole.len() <= body.len() * 3);
        // A successful end implies that there is text.
        prop_assert!(whole_end.is_err() || !whole.trim().is_empty());
    }
}
