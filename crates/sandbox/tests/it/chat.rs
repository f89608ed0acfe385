//! Chat completions, completions, models, moderations.

use sandbox::{ListedModel, OpenAi};
use serde_json::{Value, json};

use crate::support::{chat_request, client, send_json, sse_payloads, start, stream_text};

async fn read_stream(llm: &OpenAi, more: Value) -> String {
    let response = chat_request(llm, &more).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().expect("text");
    assert!(content_type.starts_with("text/event-stream"));
    response.text().await.expect("a whole stream")
}

#[tokio::test]
async fn an_answer_comes_whole() {
    let (_sandbox, _, llm) = start().await;
    llm.says("Paris.");
    let (status, body) = send_json(chat_request(&llm, &json!({}))).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["content"], "Paris.");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["completion_tokens"], 2);
    let request = &llm.requests()[0];
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.json()["messages"][0]["content"], "Hello");
}

#[tokio::test]
async fn an_answer_comes_piece_by_piece() {
    let (_sandbox, _, llm) = start().await;
    llm.set_answer_chunks(["Pa", "ris."]);
    let stream = read_stream(
        &llm,
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    )
    .await;
    assert_eq!(stream_text(&stream), "Paris.");
    let payloads = sse_payloads(&stream);
    assert_eq!(payloads.last().map(String::as_str), Some("[DONE]"));
    let chunks: Vec<Value> = payloads[..payloads.len() - 1]
        .iter()
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[0]["usage"], Value::Null);
    let [.., finish, usage] = chunks.as_slice() else {
        unreachable!("there are at least the opening and the pieces");
    };
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 2);

    let stream = read_stream(&llm, json!({"stream": true})).await;
    assert!(!stream.contains("usage"));
}

#[tokio::test]
async fn the_limit_on_tokens_cuts_the_answer() {
    let (_sandbox, _, llm) = start().await;
    llm.says("This answer is longer than it may be.");
    let (_, body) = send_json(chat_request(&llm, &json!({"max_completion_tokens": 3}))).await;
    assert_eq!(body["choices"][0]["message"]["content"], "This answer");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn the_shape_of_gpt_3_is_served() {
    let (_sandbox, _, llm) = start().await;
    llm.says("Paris, in France.");
    let url = format!("{}/completions", llm.url());
    let complete = |more: Value| {
        let mut body = json!({"model": "sandbox-1", "prompt": "The capital of France is"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        client().post(&url).bearer_auth(llm.key()).json(&body)
    };
    let (status, body) = send_json(complete(json!({}))).await;
    assert_eq!((status, &body["object"]), (200, &json!("text_completion")));
    assert_eq!(body["choices"][0]["text"], "Paris, in France.");
    let (_, stream) = send_json(complete(json!({"stream": true}))).await;
    let stream = sse_payloads(stream.as_str().expect("events"));
    let text: String = stream
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|chunk| Some(chunk["choices"][0]["text"].as_str()?.to_owned()))
        .collect();
    assert_eq!(text, "Paris, in France.");
    assert_eq!(stream.last().map(String::as_str), Some("[DONE]"));
    let (status, _) = send_json(complete(json!({"prompt": null}))).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let (_sandbox, _, llm) = start().await;
    let table = [
        (
            404,
            json!({"model": "gpt-3.5-turbo-instruct"}),
            json!("model_not_found"),
        ),
        (400, json!({"model": null}), Value::Null),
        (400, json!({"messages": []}), json!("empty_array")),
        (
            400,
            json!({"messages": [{"role": "robot", "content": "x"}]}),
            json!("invalid_value"),
        ),
        (
            400,
            json!({"messages": [{"role": "user", "content": 5}]}),
            json!("invalid_type"),
        ),
        (
            400,
            json!({"stream_options": {"include_usage": true}}),
            Value::Null,
        ),
        (
            400,
            json!({"max_tokens": 5}),
            json!("unsupported_parameter"),
        ),
        (
            400,
            json!({"temperature": 0.5}),
            json!("unsupported_parameter"),
        ),
        (
            400,
            json!({"temperature": 3, "reasoning_effort": "none"}),
            json!("invalid_value"),
        ),
        (
            400,
            json!({"reasoning_effort": "a lot"}),
            json!("invalid_value"),
        ),
        (
            400,
            json!({"max_completion_tokens": 0}),
            json!("integer_below_min_value"),
        ),
        (400, json!({"made_up": true}), Value::Null),
    ];
    for (expected, more, code) in table {
        let (status, body) = send_json(chat_request(&llm, &more)).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (expected, &code),
            "{more}"
        );
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    let fine = [
        json!({"temperature": 0.5, "reasoning_effort": "none"}),
        json!({"model": "sandbox-1", "temperature": 0.5, "max_tokens": 50, "num_ctx": 2048}),
    ];
    for more in fine {
        assert_eq!(send_json(chat_request(&llm, &more)).await.0, 200, "{more}");
    }
    let not_json = client()
        .post(format!("{}/chat/completions", llm.url()))
        .bearer_auth(llm.key())
        .header("content-type", "application/json")
        .body("{");
    assert_eq!(send_json(not_json).await.0, 400);
}

#[tokio::test]
async fn the_key_is_checked() {
    let (_sandbox, _, llm) = start().await;
    let url = format!("{}/models", llm.url());
    let (status, body) = send_json(client().get(&url).bearer_auth("wrong")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (401, &json!("invalid_api_key"))
    );
    let (status, body) = send_json(client().get(&url)).await;
    assert_eq!((status, &body["error"]["code"]), (401, &Value::Null));
    llm.disable_auth();
    assert_eq!(send_json(client().get(&url)).await.0, 200);
}

#[tokio::test]
async fn models_list_shutdown_dates() {
    let (_sandbox, _, llm) = start().await;
    llm.set_models([
        ListedModel::new("llama"),
        ListedModel::retiring_on("gpt-old", "2027-01-06"),
    ]);
    let get = |path: &str| {
        client()
            .get(format!("{}{path}", llm.url()))
            .bearer_auth(llm.key())
    };
    let (_, body) = send_json(get("/models")).await;
    assert_eq!(body["object"], "list");
    assert_eq!(body["data"][0]["shutdown_date"], Value::Null);
    let (_, body) = send_json(get("/models/gpt-old")).await;
    assert_eq!(body["shutdown_date"], "2027-01-06");
    assert_eq!(send_json(get("/models/gpt-6-luna")).await.0, 404);
    assert_eq!(send_json(get("/nowhere")).await.0, 404);
}

#[tokio::test]
async fn moderation_flags_what_it_is_told_to() {
    let (_sandbox, _, llm) = start().await;
    llm.flags("scoundrel");
    let request = client()
        .post(format!("{}/moderations", llm.url()))
        .bearer_auth(llm.key())
        .json(&json!({"input": ["You Scoundrel!", "Good morning."]}));
    let (status, body) = send_json(request).await;
    assert_eq!(status, 200);
    assert_eq!(body["results"][0]["flagged"], true);
    assert_eq!(body["results"][0]["categories"]["harassment"], true);
    assert_eq!(body["results"][1]["flagged"], false);
}
