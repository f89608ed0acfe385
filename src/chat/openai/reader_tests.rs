//! Response bodies of many servers, and how they are read.

use proptest::prelude::*;
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
                AnswerChunk::End(end) => assert_eq!(Some(end), None, "no piece of a reader"),
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

#[test]
fn an_answer_is_read_in_every_shape() {
    let two = events(&[delta("Par"), delta("is."), finish("stop")]);
    let whole = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Paris."},"finish_reason":"stop"}]}"#;
    let no_end =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Paris.\"},\"finish_reason\":\"stop\"}]}";
    for body in [
        two.clone(),
        format!("\u{feff}{two}"),
        two.replace("\n\n", "\n"),
        two.replace('\n', "\r"),
        two.replace('\n', "\r\n"),
        two.replace("data: ", "data:"),
        two.replace("data: ", "data: data: "),
        two.replace("\n\n", "\n\n: keep-alive\n\nevent: x\nid: 1\n"),
        two.replace("\n\n", "\n\ndata: ping\n\ndata:\n\ndata\n\n"),
        two.trim_end().to_owned(),
        two.replace("data: [DONE]\n\n", ""),
        two.replace("data: [DONE]\n\n", "").trim_end().to_owned(),
        two.replace("data: ", "").replace("[DONE]", ""),
        two.replace("null", "\"\""),
        two.replace("null", "\"null\""),
        two.replace("null", "\"stop\""),
        two.replace("\"finish_reason\":null,", ""),
        whole.to_owned(),
        format!("\u{feff}\n{whole}\n"),
        whole.replace(",\"finish_reason\":\"stop\"", ""),
        whole.replace("\"stop\"", "null"),
        format!("data: {whole}\n\n"),
        format!("data: {whole}"),
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(whole).expect("JSON")).expect("text"),
        no_end.to_owned(),
        r#"{"choices":[{"text":"Paris.","index":0,"finish_reason":"stop"}]}"#.to_owned(),
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":"Par"},"is.",{"type":"x"}]}}]}{"choices":[{"finish_reason":"stop"}]}"#.to_owned(),
        r#"{"choices":[{"message":{"content":{"text":"Paris."}}}]}"#.to_owned(),
        r#"{"choices":{"message":{"content":"Paris."}}}"#.to_owned(),
        r#"{"choices":[{"index":0,"message":{"content":"Paris."}},{"index":1,"message":{"content":"Rome."}}]}"#.to_owned(),
        r#"{"choices":[{"index":1,"message":{"content":"Paris."}}]}"#.to_owned(),
        events(&[
            json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": null, "reasoning_content": "Hm"}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": null}),
            json!({"choices": null}),
            delta(" \n\u{200b}"),
            delta("Paris."),
            finish("something_new"),
        ]),
        events(&[
            json!({"choices": [{"delta": "Par"}]}),
            json!({"choices": [{"delta": {"content": 7}}, {"index": 1, "delta": {"content": "Rome"}}]}),
            json!({"choices": [{"delta": {"content": "is."}, "text": "is."}]}),
        ]),
        // The native formats of Ollama, llama.cpp, Anthropic, Gemini and Responses.
        "{\"message\":{\"role\":\"assistant\",\"content\":\"Par\"},\"done\":false}\n{\"message\":{\"content\":\"is.\"},\"done\":false}\n{\"done\":true,\"done_reason\":\"stop\",\"eval_count\":2}".to_owned(),
        "{\"response\":\"Par\",\"done\":false}\n{\"response\":\"is.\",\"done\":true}\n".to_owned(),
        "data: {\"content\":\"Par\",\"stop\":false}\n\ndata: {\"content\":\"is.\",\"stop\":true}\n\n".to_owned(),
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":3}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Paris.\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned(),
        r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"Paris."}],"stop_reason":"end_turn"}"#.to_owned(),
        r#"[{"candidates":[{"content":{"parts":[{"text":"Par"}],"role":"model"}}]},{"candidates":[{"content":{"parts":[{"thought":true,"text":"Hm"},{"text":"is."}]},"finishReason":"STOP"}]}]"#.to_owned(),
        "data: {\"type\":\"response.created\",\"response\":{\"output\":[]}}\n\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"delta\":\"Hm\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Par\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"is.\"}\n\ndata: {\"type\":\"response.output_text.done\",\"text\":\"Paris.\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Paris.\"}]}]}}\n\n".to_owned(),
        r#"{"result":{"response":"Paris."},"success":true,"errors":[]}"#.to_owned(),
        r#"[{"generated_text":"Paris."}]"#.to_owned(),
    ] {
        assert_eq!(complete(&body), "Paris.", "{body}");
    }
}

#[test]
fn the_cost_is_read() {
    for (body, expected) in [
        (
            events(&[
                delta("Hi"),
                finish("stop"),
                json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}),
            ]),
            Some((9, 2)),
        ),
        (events(&[delta("Hi"), finish("stop")]), None),
        (
            events(&[
                delta("Hi"),
                json!({"choices": null, "usage": {"prompt_tokens": null}}),
            ]),
            Some((0, 0)),
        ),
        (
            events(&[
                delta("Hi"),
                json!({"choices": [], "usage": {"input_tokens": 3.0, "output_tokens": 4}}),
            ]),
            Some((3, 4)),
        ),
    ] {
        let usage = expected.map(|(prompt_tokens, answer_tokens)| TokenUsage {
            prompt_tokens,
            answer_tokens,
        });
        let (_, end) = read(&body);
        assert_eq!(end.expect("an answer").usage, usage, "{body}");
    }
}

#[test]
fn what_is_said_twice_is_shown_once() {
    let long = "Paris is the capital of France.";
    let message = |content: &str, reason: Value| json!({"choices": [{"message": {"content": content}, "finish_reason": reason}]});
    let with_end = |content: &str| json!({"choices": [{"delta": {"content": content}, "finish_reason": "stop"}]});
    for (chunks, expected) in [
        (
            vec![delta("Par"), delta("is."), with_end("Paris.")],
            "Paris.",
        ),
        (
            vec![delta("Par"), delta("is."), message("Paris.", json!("stop"))],
            "Paris.",
        ),
        (
            vec![delta("Par"), delta("is."), message("Paris.", Value::Null)],
            "Paris.",
        ),
        (vec![delta("Paris."), with_end("Paris.")], "Paris."),
        (vec![delta(long), delta(long), finish("stop")], long),
        (
            vec![delta("Paris is the capital"), delta(long), finish("stop")],
            long,
        ),
        (
            vec![
                message("Par", Value::Null),
                message("Paris", Value::Null),
                message("Paris.", json!("stop")),
            ],
            "Paris.",
        ),
        (
            vec![message("Par", Value::Null), message("is.", json!("stop"))],
            "Paris.",
        ),
        (
            vec![
                delta("<think>Hm</think>"),
                delta(long),
                message(long, json!("stop")),
            ],
            long,
        ),
        (
            vec![
                delta(long),
                message(&format!("<think>Hm</think>{long}"), json!("stop")),
            ],
            long,
        ),
        // Repetitions that belong to the answer.
        (vec![delta("ha"), delta("ha"), finish("stop")], "haha"),
        (vec![delta("ha"), with_end("ha")], "haha"),
        (vec![delta("20"), delta("20"), finish("stop")], "2020"),
    ] {
        assert_eq!(complete(&events(&chunks)), expected, "{chunks:?}");
    }
}

#[test]
fn an_answer_without_words_says_why() {
    let thought = json!({"choices": [{"delta": {"reasoning_content": "Hm"}}]});
    let call = json!({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f"}}]}}]});
    for (chunks, expected) in [
        (vec![finish("stop")], EmptyReason::Nothing),
        (vec![delta(" \n"), finish("stop")], EmptyReason::Nothing),
        (
            vec![thought.clone(), finish("stop")],
            EmptyReason::OnlyReasoning,
        ),
        (
            vec![thought.clone(), finish("length")],
            EmptyReason::OutOfTokens,
        ),
        (vec![finish("length")], EmptyReason::OutOfTokens),
        (
            vec![delta("<think>Hm"), finish("length")],
            EmptyReason::OutOfTokens,
        ),
        (
            vec![delta("<think>Hm</think>\n"), finish("stop")],
            EmptyReason::OnlyReasoning,
        ),
        (
            vec![delta("Hm</think>"), finish("stop")],
            EmptyReason::OnlyReasoning,
        ),
        (vec![call, finish("tool_calls")], EmptyReason::OnlyToolCalls),
        (vec![finish("content_filter")], EmptyReason::Filtered),
    ] {
        let (text, end) = read(&events(&chunks));
        assert_eq!(text, "");
        assert!(
            matches!(end, Err(AnswerReadError::Empty(why)) if why == expected),
            "{end:?}: {chunks:?}"
        );
    }
    for body in [
        r#"{"choices":[{"message":{"role":"assistant","content":null},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"content":""}}]}"#,
        r#"{"choices":[]}"#,
    ] {
        let (_, end) = read(body);
        assert!(
            matches!(end, Err(AnswerReadError::Empty(EmptyReason::Nothing))),
            "{end:?}: {body}"
        );
    }
}

#[test]
fn what_is_no_answer_is_told_apart() {
    type AnswerCheck = fn(&InvalidResponse) -> bool;
    let cases: [(&str, AnswerCheck); 12] = [
        ("", |it| *it == InvalidResponse::EmptyBody),
        ("\n: life\n\n", |it| *it == InvalidResponse::EmptyBody),
        ("<!doctype html>\n<title>502</title>", |it| {
            *it == InvalidResponse::WebPage
        }),
        (" <html><script>{\"choices\":[]}", |it| {
            *it == InvalidResponse::WebPage
        }),
        ("upstream connect error", |it| {
            matches!(it, InvalidResponse::Text(_))
        }),
        ("data: hello\n\ndata: [DONE]\n\n", |it| {
            matches!(it, InvalidResponse::Text(_))
        }),
        ("{\"choices\":[{\"message\":{\"content\":\"Par", |it| {
            *it == InvalidResponse::Truncated
        }),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n",
            |it| *it == InvalidResponse::Truncated,
        ),
        ("{\"ok\":true}", |it| {
            matches!(it, InvalidResponse::Malformed(_))
        }),
        ("data: [DONE]\n\n", |it| {
            matches!(it, InvalidResponse::Malformed(_))
        }),
        ("data: {a}\n\n", |it| {
            matches!(it, InvalidResponse::Malformed(_))
        }),
        ("{\"choices\": [x]}", |it| {
            matches!(it, InvalidResponse::Malformed(_))
        }),
    ];
    for (body, is_right) in cases {
        let (text, end) = read(body);
        assert_eq!(text, "");
        assert!(
            matches!(&end, Err(AnswerReadError::InvalidResponse(what)) if is_right(what)),
            "{end:?}: {body}"
        );
    }
    let (text, end) = read(&events(&[delta("Par")]).replace("data: [DONE]\n\n", ""));
    assert_eq!(text, "Par");
    assert!(matches!(
        end,
        Err(AnswerReadError::InvalidResponse(InvalidResponse::Truncated))
    ));
}

#[test]
fn a_failure_in_a_body_keeps_its_meaning() {
    let quota = r#"{"error":{"message":"You exceeded your quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    for (body, status) in [
        (quota.to_owned(), 429),
        (format!("data: {quota}\n\n"), 429),
        (r#"{"error":"model 'x' not found"}"#.to_owned(), 404),
        (r#"{"error":"Unexpected endpoint or method. (POST /chat/completions)"}"#.to_owned(), 404),
        (r#"{"error":"odd"}"#.to_owned(), 400),
        (r#"{"error":{"message":"overloaded","type":"server_error","code":null}}"#.to_owned(), 500),
        (r#"{"error":{"code":502,"message":"x"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#.to_owned(), 502),
        (r#"{"detail":"Not Found"}"#.to_owned(), 404),
        (r#"{"message":"No access","code":403}"#.to_owned(), 403),
        (r#"{"success":false,"errors":[{"code":1,"message":"No route"}]}"#.to_owned(), 400),
        (r#"{"object":"error","message":"x","code":422}"#.to_owned(), 422),
        ("event: error\ndata: {\"message\":\"rate limit\"}\n\n".to_owned(), 429),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#.to_owned(), 503),
        (events(&[finish("error")]), 500),
    ] {
        let (_, end) = read(&body);
        let found = match &end {
            Err(AnswerReadError::Server(error)) => error.http_status().map(|it| it.as_u16()),
            _ => None,
        };
        assert_eq!(found, Some(status), "{end:?}: {body}");
    }
    let body = events(&[
        delta("Par"),
        json!({"error": {"message": "x", "code": 500}}),
        delta("is."),
    ]);
    let (text, end) = read(&body);
    assert_eq!(text, "Par");
    assert!(matches!(end, Err(AnswerReadError::Server(_))));
    let fine = events(&[
        json!({"error": null, "choices": [{"delta": {"content": "Hi"}, "error": {}}]}),
        finish("stop"),
    ]);
    assert_eq!(complete(&fine), "Hi");
}

#[test]
fn a_reason_for_the_end_is_believed_when_it_can_be() {
    let sure = |chunks: &[Value]| {
        let mut reader = AnswerReader::new();
        let body = events(chunks).replace("data: [DONE]\n\n", "");
        reader.push(body.as_bytes()).expect("readable");
        (
            reader.is_text_complete(),
            reader.finish(BodyEnd::TimedOut).is_ok(),
        )
    };
    let stop = |content: &str| json!({"choices": [{"delta": {"content": content}, "finish_reason": "stop"}]});
    assert_eq!(sure(&[delta("Par"), finish("stop")]), (true, true));
    assert_eq!(sure(&[stop("Par")]), (false, true));
    assert_eq!(sure(&[stop("Par"), stop("is.")]), (false, false));
    assert_eq!(sure(&[delta("Par")]), (false, false));
    assert_eq!(sure(&[delta("Par"), finish("")]), (false, false));
    let thought =
        json!({"choices": [{"delta": {"reasoning_content": "Hm"}, "finish_reason": "stop"}]});
    assert_eq!(sure(&[thought.clone(), delta("Par")]), (false, false));
}

#[test]
fn a_packed_body_is_unpacked() {
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
fn nothing_read_is_printed() {
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
fn scraps() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let well_made = prop::sample::select(vec![
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
    let scrap = prop_oneof![
        4 => well_made.prop_map(|it| it.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(scrap, 0..40)
}

proptest! {
    #[test]
    fn cuts_make_no_difference(scraps in scraps(), cuts in prop::collection::vec(1_usize..40, 1..20)) {
        let body = scraps.concat();
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
