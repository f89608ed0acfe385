//! Empty answers, bodies that are not answers, and errors that servers report.

use serde_json::{Value, json};

use super::*;

#[test]
fn empty_answers_have_a_reason() {
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
fn invalid_bodies_are_classified() {
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
fn errors_in_bodies_are_classified() {
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
fn finish_reasons_are_trusted_only_after_the_text() {
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
