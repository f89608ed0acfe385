use super::*;

fn parse(body: &str) -> (Option<&'static str>, Option<u16>, String) {
    let parsed = ErrorBody::parse(body.as_bytes());
    let message = parsed.message.unwrap_or_default();
    let code = parsed.code.and_then(ErrorCode::known);
    (code, parsed.status, message.expose_to_user().to_owned())
}

#[test]
fn error_bodies_of_all_servers() {
    type BodyCase<'a> = (&'a str, &'a str, Option<&'a str>, Option<u16>, &'a str);
    let cases: &[BodyCase<'_>] = &[
        (
            "OpenAI",
            r#"{"error":{"message":"Unknown parameter: 'x'.","type":"invalid_request_error","param":"x","code":"unknown_parameter"}}"#,
            Some("unknown_parameter"),
            None,
            "Unknown parameter: 'x'.",
        ),
        (
            "OpenAI without a code",
            r#"{"error":{"message":"No.","type":"invalid_request_error","param":"temperature","code":null}}"#,
            Some("invalid_request_error"),
            None,
            "No. – temperature",
        ),
        (
            "Ollama",
            r#"{"error":"model 'x' not found"}"#,
            None,
            None,
            "model 'x' not found",
        ),
        (
            "Gemini, in a list",
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"stream_options\": Cannot find field.","status":"INVALID_ARGUMENT","details":[{"@type":"x","fieldViolations":[{"description":"Invalid JSON"}]}]}}]"#,
            Some("INVALID_ARGUMENT"),
            Some(400),
            "Invalid JSON payload received. Unknown name \"stream_options\": Cannot find field.",
        ),
        (
            "Mistral",
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]},"type":"invalid_request_error","param":null,"code":null}"#,
            Some("invalid_request_error"),
            None,
            "Extra inputs are not permitted – body.stream_options",
        ),
        (
            "FastAPI",
            r#"{"detail":[{"loc":["body","reasoning_effort"],"msg":"extra fields not permitted","type":"value_error.extra"}]}"#,
            None,
            None,
            "extra fields not permitted – body.reasoning_effort",
        ),
        (
            "FastAPI, a sentence",
            r#"{"detail":"Not Found"}"#,
            None,
            None,
            "Not Found",
        ),
        (
            "vLLM",
            r#"{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'reasoning_effort')}]","type":"BadRequestError","param":null,"code":400}"#,
            Some("BadRequestError"),
            Some(400),
            "[{'type': 'extra_forbidden', 'loc': ('body', 'reasoning_effort')}]",
        ),
        (
            "AssemblyAI's gateway",
            r#"{"message":"Invalid request","code":400,"request_id":"r","metadata":{"errors":["stream_options is not supported"]}}"#,
            None,
            Some(400),
            "Invalid request – stream_options is not supported",
        ),
        (
            "llama.cpp",
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":4096}}"#,
            Some("exceed_context_size_error"),
            Some(400),
            "the request exceeds the available context size",
        ),
        (
            "OpenRouter",
            r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"Unsupported parameter: temperature\"}}","provider_name":"x"}}}"#,
            None,
            Some(400),
            "Provider returned error – Unsupported parameter: temperature",
        ),
        (
            "RFC 9457",
            r#"{"status":400,"title":"Bad Request","detail":"reasoning_effort is odd"}"#,
            Some("bad_request"),
            Some(400),
            "reasoning_effort is odd",
        ),
        (
            "Cloudflare",
            r#"{"success":false,"errors":[{"code":7003,"message":"No route"}]}"#,
            None,
            None,
            "No route",
        ),
        (
            "Django",
            r#"{"reasoning_effort":["Unknown field."]}"#,
            None,
            None,
            "Unknown field. – reasoning_effort",
        ),
        (
            "a message that is a list",
            r#"{"message":["temperature should not exist"],"statusCode":400}"#,
            None,
            None,
            "temperature should not exist",
        ),
        (
            "plain",
            "404 page not found\n",
            None,
            None,
            "404 page not found",
        ),
        ("a page", "<html><body>502</body></html>", None, None, ""),
        ("nothing", "", None, None, ""),
    ];
    for (name, body, code, status, message) in cases {
        assert_eq!(
            parse(body),
            (*code, *status, (*message).to_owned()),
            "{name}"
        );
    }
}

#[test]
fn hostile_bodies_are_bounded() {
    let deep = format!("{}1{}", "{\"error\":".repeat(100), "}".repeat(100));
    assert_eq!(parse(&deep), (None, None, String::new()));
    let wide = format!("{{\"errors\":[{}\"x y\"]}}", "\"a b\",".repeat(100_000));
    assert!(parse(&wide).2.len() < 1_000);
}
