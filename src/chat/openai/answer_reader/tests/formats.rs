//! Answers in the formats of many servers.

use serde_json::{Value, json};

use super::*;

#[test]
fn answers_are_read_in_every_format() {
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
fn usage_is_read() {
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
fn repeated_text_is_shown_once() {
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
