//! Streams of events that are cut, split or full of surprises.

use bytes::Bytes;
use futures_util::StreamExt;
use sandbox::{Fault, Gate, OpenAi, OpenAiEndpoint, Outcome};
use serde_json::{Value, json};

use crate::support::{ask, payloads, send, start, text_of};

/// Whether the stream ended properly, and its chunks.
async fn chunks(llm: &OpenAi, fault: Fault, more: Value) -> (bool, Vec<Bytes>) {
    llm.fault(OpenAiEndpoint::Chat, fault);
    let mut body = json!({"stream": true});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let response = ask(llm, &body).send().await.expect("headers");
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

async fn stream(llm: &OpenAi, fault: Fault) -> (bool, String) {
    let (whole, chunks) = chunks(llm, fault, json!({})).await;
    let bytes = chunks.concat();
    (whole, String::from_utf8(bytes).expect("UTF-8 in the end"))
}

#[tokio::test]
async fn a_stream_may_lack_its_end() {
    let (_sandbox, _, llm) = start().await;
    llm.says("one two three");
    let (whole, text) = stream(&llm, Fault::cut_before_done()).await;
    assert!(whole && !text.contains("[DONE]") && text.contains("\"finish_reason\":\"stop\""));
    assert_eq!(text_of(&text), "one two three");

    let (whole, text) = stream(&llm, Fault::end_after_pieces(2)).await;
    assert!(whole && !text.contains("\"finish_reason\":\"stop\""));
    assert_eq!(text_of(&text), "one two");

    let (whole, text) = stream(&llm, Fault::cut_after_pieces(1)).await;
    assert!(!whole);
    assert_eq!(text_of(&text), "one");

    let (whole, text) = stream(&llm, Fault::cut_after_pieces(0)).await;
    assert!(!whole && text.contains("assistant"));
    assert_eq!(text_of(&text), "");
}

#[tokio::test]
async fn an_error_may_stand_inside_the_stream() {
    let (_sandbox, _, llm) = start().await;
    llm.says("one two three");
    let (whole, text) = stream(&llm, Fault::error_in_stream(1, "overloaded")).await;
    assert!(whole);
    assert_eq!(text_of(&text), "one");
    let last = payloads(&text).pop().expect("payloads");
    let error: Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(error["error"]["message"], "overloaded");

    let (_, text) = stream(&llm, Fault::garbage_after_pieces(1)).await;
    assert_eq!(text_of(&text), "one two three");
    let broken = payloads(&text)
        .iter()
        .filter(|data| serde_json::from_str::<Value>(data).is_err())
        .count();
    assert_eq!(broken, 2, "the garbage and [DONE]");
}

#[tokio::test]
async fn a_stream_may_look_different() {
    let (_sandbox, _, llm) = start().await;
    llm.says("one two");
    let (_, text) = stream(&llm, Fault::comments()).await;
    assert!(text.starts_with(": OPENROUTER PROCESSING\n\n") && text.contains(": keep-alive"));
    assert_eq!(text_of(&text), "one two");

    let (_, text) = stream(&llm, Fault::crlf()).await;
    assert!(text.contains("\r\n\r\n") && !text.replace("\r\n", "").contains('\n'));

    let (_, text) = stream(&llm, Fault::huge_line(300_000)).await;
    assert_eq!(text.lines().next().map(str::len), Some(300_000));

    let (_, text) = stream(&llm, Fault::unknown_fields()).await;
    assert!(text.contains("x_future"));
    assert_eq!(text_of(&text), "one two");

    let (_, text) = stream(&llm, Fault::reasoning("let me think")).await;
    assert!(text.contains("\"reasoning_content\":\" think\""));
    assert_eq!(text_of(&text), "one two");

    let both = Fault::crlf().and(Fault::comments());
    let (_, text) = stream(&llm, both).await;
    assert!(text.starts_with(": OPENROUTER PROCESSING\r\n\r\n"));
}

#[tokio::test]
async fn writes_are_split_where_it_hurts() {
    let (_sandbox, _, llm) = start().await;
    llm.says_pieces(["Größe: ", "日本 🦀"]);
    let (_, pieces) = chunks(&llm, Fault::split_utf8(), json!({})).await;
    let broken = pieces
        .iter()
        .filter(|chunk| std::str::from_utf8(chunk).is_err());
    assert!(broken.count() >= 6, "{pieces:?}");
    let text = String::from_utf8(pieces.concat()).expect("UTF-8 in the end");
    assert_eq!(text_of(&text), "Größe: 日本 🦀");

    let (_, pieces) = chunks(&llm, Fault::split_events(), json!({})).await;
    let halves = pieces.iter().filter(|chunk| !chunk.ends_with(b"\n\n"));
    assert_eq!(halves.count() * 2, pieces.len());

    let (_, pieces) = chunks(&llm, Fault::one_write(), json!({})).await;
    assert_eq!(pieces.len(), 1);
}

#[tokio::test]
async fn an_answer_may_end_otherwise() {
    let (_sandbox, _, llm) = start().await;
    for reason in ["length", "content_filter"] {
        let (_, text) = stream(&llm, Fault::finish(reason)).await;
        assert!(text.contains(&format!("\"finish_reason\":\"{reason}\"")));
    }
    let (_, text) = stream(&llm, Fault::refusal_with("I can't say.")).await;
    assert_eq!(text_of(&text), "");
    assert!(text.contains("\"refusal\":\" can't\""));
    llm.fault(OpenAiEndpoint::Chat, Fault::refusal_with("No."));
    let (_, body) = send(ask(&llm, &json!({}))).await;
    assert_eq!(body["choices"][0]["message"]["refusal"], "No.");
    assert_eq!(body["choices"][0]["message"]["content"], Value::Null);
}

#[tokio::test]
async fn usage_may_be_missing_or_unasked() {
    let (_sandbox, _, llm) = start().await;
    let asked = json!({"stream_options": {"include_usage": true}});
    let (_, pieces) = chunks(&llm, Fault::no_usage(), asked).await;
    let text = String::from_utf8(pieces.concat()).expect("UTF-8");
    assert!(!text.contains("prompt_tokens"));
    let (_, text) = stream(&llm, Fault::usage_unasked()).await;
    assert!(text.contains("prompt_tokens"));
}

#[tokio::test]
async fn a_gate_shows_the_half_answer() {
    let (_sandbox, _, llm) = start().await;
    llm.says_pieces(["half", " whole"]);
    let gate = Gate::new();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate_after_pieces(&gate, 1));
    let response = ask(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while text_of(&text) != "half" {
        let chunk = stream.next().await.expect("more").expect("bytes");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    gate.reached().await;
    gate.open();
    while let Some(chunk) = stream.next().await {
        text.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("UTF-8"));
    }
    assert_eq!(text_of(&text), "half whole");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_noticed() {
    let (_sandbox, _, llm) = start().await;
    llm.fault(OpenAiEndpoint::Chat, Fault::hang_after_pieces(1));
    let response = ask(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    let mut stream = response.bytes_stream();
    assert!(stream.next().await.is_some_and(|chunk| chunk.is_ok()));
    drop(stream);
    let requests = llm
        .wait_until(|requests| requests[0].outcome != Outcome::Answering)
        .await;
    assert_eq!(requests[0].outcome, Outcome::ClientLeft);
}
