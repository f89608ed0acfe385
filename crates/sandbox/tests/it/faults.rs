//! What goes wrong, as a client sees it.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::multipart::Form;
use reqwest::{Body, Response};
use sandbox::{AssemblyAiEndpoint, Fault, Gate, MAX_BODY_BYTES, OpenAiEndpoint, ResponseOutcome};
use serde_json::json;

use crate::support::{
    chat_request, client, one_second_form, read_json, send_json, start, sync_request,
};

/// Long enough for a busy machine, and only waited out by what never comes.
const SHORT_TIMEOUT: Duration = Duration::from_millis(300);

fn io_error(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

async fn read_body(response: Response) -> (Vec<u8>, Option<reqwest::Error>) {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => body.extend_from_slice(&chunk),
            Err(error) => return (body, Some(error)),
        }
    }
    (body, None)
}

#[tokio::test]
async fn each_provider_has_its_own_shape_of_an_error() {
    let (_sandbox, stt, llm) = start().await;
    for status in [400, 401, 403, 404, 413, 415, 422, 429, 500, 503, 504] {
        stt.add_fault(AssemblyAiEndpoint::Sync, Fault::status(status));
        let (got, body) = send_json(sync_request(&stt, one_second_form())).await;
        assert_eq!(got, status);
        assert_eq!(body["status"], status, "{body}");
        assert!(
            body["title"].is_string() && body["detail"].is_string(),
            "{body}"
        );

        stt.add_fault(AssemblyAiEndpoint::Poll, Fault::status(status));
        let poll = client().get(format!("{}/v2/transcript/x", stt.api_url()));
        let (got, body) = send_json(poll).await;
        assert_eq!(got, status);
        assert!(body["error"].is_string(), "{status}: {body}");

        llm.add_fault(OpenAiEndpoint::Chat, Fault::status(status));
        let (got, body) = send_json(chat_request(&llm, &json!({}))).await;
        assert_eq!(got, status);
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
        assert!(body["error"].get("param").is_some() && body["error"].get("code").is_some());
    }
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::status(503));
    let (_, body) = send_json(sync_request(&stt, one_second_form())).await;
    assert_eq!(body["title"], "Capacity Exceeded");
    stt.use_legacy_errors();
    for status in [400, 401, 429, 503] {
        stt.add_fault(AssemblyAiEndpoint::Sync, Fault::status(status));
        let (_, body) = send_json(sync_request(&stt, one_second_form())).await;
        let coded = body["error_code"].is_string() && body["message"].is_string();
        assert!(coded != body["detail"].is_string(), "{status}: {body}");
    }
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let (_sandbox, stt, llm) = start().await;
    stt.add_fault(
        AssemblyAiEndpoint::Sync,
        Fault::status(429).retry_after(2).times(2),
    );
    for expected in [429, 429, 200] {
        let response = sync_request(&stt, one_second_form())
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), expected);
        let retry_after = response
            .headers()
            .get("retry-after")
            .map(|value| value.as_bytes().to_vec());
        assert_eq!(retry_after, (expected == 429).then(|| b"2".to_vec()));
    }
    llm.add_fault(
        OpenAiEndpoint::Chat,
        Fault::status(429)
            .retry_after_ms(250)
            .header("x-should-retry", "true"),
    );
    llm.add_fault(OpenAiEndpoint::Chat, Fault::insufficient_quota());
    let response = chat_request(&llm, &json!({}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["retry-after-ms"], "250");
    assert_eq!(response.headers()["x-should-retry"], "true");
    assert_eq!(
        read_json(response).await.1["error"]["code"],
        "rate_limit_exceeded"
    );
    let (status, body) = send_json(chat_request(&llm, &json!({}))).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (429, &json!("insufficient_quota"))
    );
    assert_eq!(body["error"]["type"], "insufficient_quota");
}

#[tokio::test]
async fn any_body_can_stand_in_for_the_providers_own() {
    let (_sandbox, stt, llm) = start().await;
    let page = "<html>Bad gateway</html>";
    stt.add_fault(
        AssemblyAiEndpoint::Sync,
        Fault::status(502).body("text/html", page),
    );
    let response = sync_request(&stt, one_second_form())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.text().await.expect("a body"), page);

    let key_refused = Fault::status(401)
        .code("account_deactivated")
        .message("Gone.");
    llm.add_fault(OpenAiEndpoint::Chat, key_refused.always());
    for _ in 0..3 {
        let (_, body) = send_json(chat_request(&llm, &json!({}))).await;
        assert_eq!(body["error"]["code"], "account_deactivated");
        assert_eq!(body["error"]["message"], "Gone.");
    }
    llm.clear_faults();
    assert_eq!(send_json(chat_request(&llm, &json!({}))).await.0, 200);
}

#[tokio::test]
async fn a_hang_ends_when_the_client_leaves() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::hang());
    let request = sync_request(&stt, one_second_form())
        .timeout(SHORT_TIMEOUT)
        .send();
    let error = request.await.expect_err("nothing comes");
    assert!(error.is_timeout());
    let requests = stt
        .wait_until(|requests| {
            requests
                .iter()
                .all(|request| request.outcome != ResponseOutcome::Pending)
        })
        .await;
    assert_eq!(requests[0].outcome, ResponseOutcome::ClientDisconnected);
    assert_eq!(
        send_json(sync_request(&stt, one_second_form())).await.0,
        200
    );
    assert_eq!(stt.requests()[1].outcome, ResponseOutcome::Sent);
}

#[tokio::test]
async fn a_hang_ends_when_the_sandbox_is_dropped() {
    let (sandbox, stt, llm) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::hang());
    llm.add_fault(OpenAiEndpoint::Chat, Fault::hang_after_headers());
    let waiting = tokio::spawn(sync_request(&stt, one_second_form()).send());
    let response = chat_request(&llm, &json!({}))
        .send()
        .await
        .expect("headers");
    sandbox.wait_for_requests(2).await;
    let authority = stt.sync_url().replace("http://", "");
    drop(sandbox);
    assert!(
        TcpStream::connect(authority).is_err(),
        "nobody listens any more"
    );
    assert!(waiting.await.expect("no panic").is_err());
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn headers_may_come_without_a_body() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::hang_after_headers());
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::hang_after_bytes(5));
    for expected in [0, 5] {
        let response = sync_request(&stt, one_second_form())
            .send()
            .await
            .expect("headers");
        assert_eq!(response.status(), 200);
        assert!(response.content_length().is_some_and(|length| length > 5));
        let mut stream = response.bytes_stream();
        let mut got = 0;
        while got < expected {
            got += stream.next().await.expect("a chunk").expect("bytes").len();
        }
        assert_eq!(got, expected);
        let more = tokio::time::timeout(SHORT_TIMEOUT, stream.next()).await;
        assert!(more.is_err(), "nothing more comes");
    }
}

#[tokio::test]
async fn a_cut_leaves_half_of_the_declared_body() {
    let (_sandbox, stt, llm) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::close_mid_body());
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::close_after_bytes(7));
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::close_after_bytes(0));
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::reset_mid_body());
    for expected in [None, Some(7), Some(0), None] {
        let response = sync_request(&stt, one_second_form())
            .send()
            .await
            .expect("headers");
        let declared = response.content_length().expect("a length") as usize;
        let (body, error) = read_body(response).await;
        assert!(error.is_some(), "the body breaks off");
        // A reset may throw away what was on its way.
        assert!(body.len() <= expected.unwrap_or(declared / 2));
        if let Some(expected) = expected {
            assert_eq!(body.len(), expected);
        }
    }
    llm.add_fault(OpenAiEndpoint::Chat, Fault::close_mid_body());
    let response = chat_request(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    let (body, error) = read_body(response).await;
    assert!(error.is_some() && !body.is_empty());
    assert_eq!(llm.requests()[0].outcome, ResponseOutcome::Aborted);
}

#[tokio::test]
async fn a_connection_ends_before_the_answer() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::reset_connection());
    let error = sync_request(&stt, one_second_form())
        .send()
        .await
        .expect_err("no answer");
    assert_eq!(
        io_error(&error),
        Some(io::ErrorKind::ConnectionReset),
        "{error:?}"
    );
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::close_connection());
    let error = sync_request(&stt, one_second_form())
        .send()
        .await
        .expect_err("no answer");
    assert_ne!(
        io_error(&error),
        Some(io::ErrorKind::ConnectionReset),
        "{error:?}"
    );
    assert!(error.is_request(), "{error:?}");
}

#[tokio::test]
async fn a_slow_body_is_whole_in_the_end() {
    let (_sandbox, stt, llm) = start().await;
    stt.set_transcript("slow");
    stt.add_fault(
        AssemblyAiEndpoint::Sync,
        Fault::byte_by_byte(Duration::from_micros(100)),
    );
    assert_eq!(
        send_json(sync_request(&stt, one_second_form())).await.1["text"],
        "slow"
    );

    llm.add_fault(OpenAiEndpoint::Chat, Fault::byte_by_byte(Duration::ZERO));
    let response = chat_request(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    let chunks: Vec<_> = response.bytes_stream().collect().await;
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.as_ref().is_ok_and(|chunk| chunk.len() == 1))
    );
    assert!(chunks.len() > 100);
}

#[tokio::test]
async fn malformed_bodies() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::malformed_json());
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::empty_body());
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::content_type("text/html"));
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::replace_body("[]"));
    let (status, body) = send_json(sync_request(&stt, one_second_form())).await;
    assert_eq!(status, 200);
    assert!(
        body.as_str().is_some_and(|text| text.starts_with('{')),
        "not JSON: {body}"
    );
    assert_eq!(
        send_json(sync_request(&stt, one_second_form())).await,
        (200, json!(""))
    );
    let response = sync_request(&stt, one_second_form())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(read_json(response).await.1["text"].is_string());
    assert_eq!(
        send_json(sync_request(&stt, one_second_form())).await,
        (200, json!([]))
    );
}

#[tokio::test]
async fn an_endless_body_stops_with_the_client() {
    let (_sandbox, stt, llm) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::endless_body());
    llm.add_fault(OpenAiEndpoint::Chat, Fault::endless_stream());
    let sync = sync_request(&stt, one_second_form())
        .send()
        .await
        .expect("headers");
    let chat = chat_request(&llm, &json!({"stream": true}))
        .send()
        .await
        .expect("headers");
    for response in [sync, chat] {
        let mut stream = response.bytes_stream();
        let mut bytes = 0;
        while bytes < 1_000_000 {
            bytes += stream.next().await.expect("more").expect("bytes").len();
        }
    }
    let left = llm
        .wait_until(|requests| requests[0].outcome != ResponseOutcome::Pending)
        .await;
    assert_eq!(left[0].outcome, ResponseOutcome::ClientDisconnected);
}

#[tokio::test]
async fn a_gate_holds_the_answer_back() {
    let (_sandbox, stt, _) = start().await;
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let answer = tokio::spawn(sync_request(&stt, one_second_form()).send());
    gate.wait_until_reached().await;
    assert!(!answer.is_finished());
    assert_eq!(stt.requests()[0].outcome, ResponseOutcome::Pending);
    gate.open();
    assert_eq!(
        answer.await.expect("no panic").expect("an answer").status(),
        200
    );
}

#[tokio::test]
async fn a_refusal_may_come_before_the_body_has_gone_out() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Upload, Fault::status(413).before_body());
    let endless = stream::iter([Ok::<_, io::Error>("begin")]).chain(stream::pending());
    let upload = client()
        .post(format!("{}/v2/upload", stt.api_url()))
        .header("Authorization", stt.key())
        .body(Body::wrap_stream(endless))
        .timeout(Duration::from_secs(20));
    let response = upload
        .send()
        .await
        .expect("an answer in the middle of the request");
    assert_eq!(response.status(), 413);
    assert!(!stt.requests()[0].body_complete);
}

#[tokio::test]
async fn a_broken_upload_is_recorded_as_such() {
    let (_sandbox, stt, _) = start().await;
    let authority = stt.api_url().replace("http://", "");
    let mut socket = TcpStream::connect(authority).expect("a connection");
    socket
        .write_all(b"POST /v2/upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nbegin")
        .expect("a write");
    drop(socket);
    let requests = stt.wait_for_requests(1).await;
    assert!(!requests[0].body_complete);
    assert_eq!(requests[0].text(), "begin");
    assert_eq!(stt.stored_uploads(), 0);
}

#[tokio::test]
async fn a_huge_upload_is_counted_and_hashed_only() {
    let (_sandbox, stt, _) = start().await;
    let piece = vec![7_u8; 1024 * 1024];
    let pieces = MAX_BODY_BYTES / piece.len() + 1;
    let body = stream::iter(std::iter::repeat_n(piece, pieces).map(Ok::<_, io::Error>));
    let upload = client()
        .post(format!("{}/v2/upload", stt.api_url()))
        .header("Authorization", stt.key())
        .body(Body::wrap_stream(body));
    assert_eq!(send_json(upload).await.0, 200);
    let request = &stt.requests()[0];
    assert!(request.body.is_empty() && request.body_complete);
    assert_eq!(request.body_bytes, (MAX_BODY_BYTES + 1024 * 1024) as u64);
    // head -c 68157440 /dev/zero | tr '\0' '\7' | sha256sum
    assert_eq!(
        request.body_sha256(),
        "02e00bf1b58d38ff2011fd01d3e1c577e3846426b13cd19ae65a25a5956386be"
    );
}

#[tokio::test]
async fn faults_leave_other_endpoints_alone() {
    let (_sandbox, stt, llm) = start().await;
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::status(500).always());
    assert_eq!(send_json(chat_request(&llm, &json!({}))).await.0, 200);
    let form = Form::new();
    assert_eq!(send_json(sync_request(&stt, form)).await.0, 500);
    let warm = client().get(format!("{}/v1/warm", stt.sync_url()));
    assert_eq!(send_json(warm).await.0, 200);
}
