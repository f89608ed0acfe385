//! Streams of events that are cut, split or full of surprises.

use bytes::Bytes;
use futures_util::StreamExt;
use sandbox::{Fault, Gate, OpenAi, OpenAiEndpoint, ResponseOutcome};
use serde_json::{Value, json};

use crate::support::{chat_request, send_json, sse_payloads, start, stream_text};

/// Whether the stream ended properly, and its chunks.
async fn read_chunks(llm: &OpenAi, fault: Fault, more: Value) -> (bool, Vec<Bytes>) {
    llm.add_fault(OpenAiEndpoint::Chat, fault);
    let mut body = json!({"stream": true});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let response = chat_request(llm, &body).send().await.expect("headers");
    assert_eq!(response.status(), 200);
    let mut stream = response.bytes_stream();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => chunks.push(chunk),
            Err(_) => return (false, chunks),
        }
    }
    (true, chunks)
}

async fn read_stream(llm: &OpenAi, fault: Fault) -> (bool, String) {
    let (whole, chunks) = read_chunks(llm, fault, json!({})).await;
    let bytes = chunks.concat();
    (whole, String::from_utf8(bytes).expect("UTF-8 in the end"))
}

#[tokio::test]
async fn stream_without_done() {
    let (_sandbox, _, llm) = start().await;
    llm.says("one two three");
    let (whole, text) = read_stream(&llm, Fault::omit_done()).await;
    assert!(whole && !text.contains("[DONE]") && text.contains("\"finish_reason\":\"stop\""));
    assert_eq!(stream_text(&text), "one two three");

    let (whole, text) = read_stream(&llm, Fault::end_after_chunks(2)).await;
    assert!(whole && !text.contains("\"finish_reason\":\"stop\""));
    assert_eq!(stream_text(&text), "one two");

    let (whole, text) = read_stream(&llm, Fault::close_after_chunks(1)).await;
    assert!(!whole);
    assert_eq!(stream_text(&text), "one");

    let (whole, text) = read_stream(&llm, Fault::close_after_chunks(0)).await;
    assert!(!whole && text.contains("assistant"));
    assert_eq!(stream_text(&text), "");
}

#[tokio::test]
async fn an_error_may_stand_inside_the_stream() {
    let (_sandbox, _, llm) = start().await;
    llm.says("one two three");
    let (whole, text) = read_stream(&llm, Fault::error_after_chunks(1, "overloaded")).await;
    assert!(whole);
    assert_eq!(stream_text(&text), "one");
    let last = sse_payloads(&text).pop().expect("payloads");
    let error: Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(error["error"]["message"], "overloaded");

    let (_, text) = read_stream(&llm, Fault::garbage_after_chunks(1)).await;
    assert_eq!(stream_text(&text), "one two three");
    let broken = sse_payloads(&text)
        .iter()
        .filter(|data| serde_json::from_str::<Value>(data).is_err())
        .count();
    assert_eq!(broken, 2, "the garbage and [DONE]");
}

#[tokio::test]
async fn a_stream_may_look_different() {
    let (_sandbox, _, llm) = start().await;
    llm.says("one two");
    let (_, text) = read_stream(&llm, Fault::sse_comments()).await;
    assert!(text.starts_with(": OPENROUTER PROCESSING\n\n") && text.contains(": keep-alive"));
    assert_eq!(stream_text(&text), "one two");

    let (_, text) = read_stream(&llm, Fault::crlf_line_endings()).await;
    assert!(text.contains("\r\n\r\n") && !text.replace("\r\n", "").contains('\n'));

    let (_, text) = read_stream(&llm, Fault::huge_line(300_000)).await;
    assert_eq!(text.lines().next().map(str::len), Some(300_000));

    let (_, text) = read_stream(&llm, Fault::unknown_fields()).await;
    assert!(text.contains("x_future"));
    assert_eq!(stream_text(&text), "one two");

    let (_, text) = read_stream(&llm, Fault::reasoning("let me think")).await;
    assert!(text.contains("\"reasoning_content\":\" think\""));
    assert_eq!(stream_text(&text), "one two");

    let both = Fault::crlf_line_endings().and(Fault::sse_comments());
    let (_, text) = read_stream(&llm, both).await;
    assert!(text.starts_with(": OPENROUTER PROCESSING\r\n\r\n"));
}

#[tokio::test]
async fn writes_are_split_where_it_hurts() {
    let (_sandbox, _, llm) = start().await;
    llm.set_answer_chunks(["Größe: ", "日本 🦀"]);
    let (_, pieces) = read_chunks(&llm, Fault::split_utf8(), json!({})).await;
    let broken = pieces
        .iter()
        .filter(|chunk| std::str::from_utf8(chunk).is_err());
    assert!(broken.count() >= 6, "{pieces:?}");
    let text = String::from_utf8(pieces.concat()).expect("UTF-8 in the end");
    assert_eq!(stream_text(&text), "Größe: 日本 🦀");

    let (_, pieces) = read_chunks(&llm, Fault::split_events(), json!({})).await;
    let halves = pieces.iter().filter(|chunk| !chunk.ends_with(b"\n\n"));
    assert_eq!(halves.count() * 2, pieces.len());

    let (_, pieces) = read_chunks(&llm, Fault::single_write(), json!({})).await;
    assert_eq!(pieces.len(), 1);
}

#[tokio::test]
async fn an_answer_may_end_otherwise() {
    let (_sandbox, _, llm) = start().await;
    for reason in ["length", "content_filter"] {
        let (_, text) = read_stream(&llm, Fault::finish_reason(reason)).await;
        assert!(text.contains(&format!("\"finish_reason\":\"{reason}\"")));
    }
    let (_, text) = read_stream(&llm, Fault::model_refusal("I can't say.")).await;
    assert_eq!(stream_text(&text), "");
    assert!(text.contains("\"refusal\":\" can't\""));
    llm.add_fault(OpenAiEndpoint::Chat, Fault::model_refusal("No."));
    let (_, body) = send_json(chat_request(&llm, &json!({}))).await;
    assert_eq!(body["choices"][0]["message"]["refusal"], "No.");
    assert_eq!(body["choices"][0]["message"]["content"], Value::Null);
}

#[tokio::test]
async fn usage_may_be_missing_or_unasked() {
    let (_sandbox, _, llm) = start().await;
    let asked = json!({"stream_options": {"include_usage": true}});
    let (_, pieces) = read_chunks(&llm, Fault::omit_usage(), asked).await;
    let text = String::from_utf8(pieces.concat()).expect("UTF-8");
    assert!(!text.contains("prompt_tokens"));
    let (_, text) = read_stream(&llm, Fault::unrequested_usage()).await;
    assert!(text.contains("prompt_tokens"));
}

#[tokio::test]
async fn a_gate_shows_the_half_answer() {
    let (_sandbox, _, llm) = start().await;
    llm.set_answer_chunks(["half", " whole"]);
    let gate = Gate::new();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 1));
    let response = chat_request(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while stream_text(&text) != "half" {
        let chunk = stream.next().await.expect("more").expect("bytes");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    gate.wait_until_reached().await;
    gate.open();
    while let Some(chunk) = stream.next().await {
        text.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("UTF-8"));
    }
    assert_eq!(stream_text(&text), "half whole");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_noticed() {
    let (_sandbox, _, llm) = start().await;
    llm.add_fault(OpenAiEndpoint::Chat, Fault::hang_after_chunks(1));
    let response = chat_request(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    let mut stream = response.bytes_stream();
    assert!(stream.next().await.is_some_and(|chunk| chunk.is_ok()));
    drop(stream);
    let requests = llm
        .wait_until(|requests| requests[0].outcome != ResponseOutcome::Pending)
        .await;
    assert_eq!(requests[0].outcome, ResponseOutcome::ClientDisconnected);
}
