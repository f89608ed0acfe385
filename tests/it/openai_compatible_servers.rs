//! Servers that people run: whatever they send, `talkback ask` shows the answer that is in it, or says
//! why there is none.

use std::time::Duration;

use sandbox::{Dialect, Fault, ListedModel, OpenAiEndpoint, RecordedRequest, Sandbox};

use crate::support::{CommandOutput, TalkbackCommand, sandbox_with_keys};

async fn run_ask(talkback: &TalkbackCommand) -> CommandOutput {
    let question = "What is the capital of France?";
    talkback.run(&["ask", "--text", question]).await
}

fn chat_requests(sandbox: &Sandbox) -> Vec<RecordedRequest> {
    let mut requests = sandbox.openai().requests();
    requests.retain(|request| request.method == "POST");
    requests
}

#[tokio::test]
async fn an_answer_is_shown_whatever_its_frames_look_like() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let server = sandbox.openai();
    server.set_answer_chunks(["Par", "is."]);
    let kind = Fault::content_type;
    for (name, fault) in [
        ("byte-order mark", Fault::byte_order_mark()),
        ("one line end", Fault::no_blank_lines()),
        ("CR", Fault::cr_line_endings()),
        (
            "no last line end",
            Fault::no_final_newline().and(Fault::omit_done()),
        ),
        ("JSON lines", Fault::json_lines()),
        ("events as JSON", kind("application/json")),
        ("events as text", kind("text/plain")),
        ("events as nothing", kind("")),
        ("JSON", Fault::json_instead_of_stream()),
        (
            "JSON as events",
            Fault::json_instead_of_stream().and(kind("text/event-stream")),
        ),
        (
            "JSON as text",
            Fault::json_instead_of_stream().and(kind("text/plain")),
        ),
        (
            "JSON as nothing",
            Fault::json_instead_of_stream().and(kind("")),
        ),
        ("gzip", Fault::gzip()),
        (
            "an empty reason for the end",
            Fault::finish_reason_in_every_chunk(""),
        ),
        (
            "null as a word",
            Fault::finish_reason_in_every_chunk("null"),
        ),
        (
            "an end in every chunk",
            Fault::finish_reason_in_every_chunk("stop"),
        ),
        (
            "an end with the thoughts",
            Fault::reasoning("Let me see.").and(Fault::finish_reason_on_reasoning("stop")),
        ),
        ("all again", Fault::repeat_full_answer()),
        ("messages", Fault::message_instead_of_delta()),
        (
            "messages, all again",
            Fault::message_instead_of_delta().and(Fault::repeat_full_answer()),
        ),
    ] {
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let screen = run_ask(&talkback).await;
        assert_eq!(screen.stdout, "Paris.\n", "{name}: {screen:?}");
        assert_eq!(
            (screen.exit_code, screen.stderr.as_str()),
            (Some(0), ""),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_end_in_every_chunk_ends_no_slow_answer() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let server = sandbox.openai();
    server.set_answer_chunks(["Par", "is."]);
    server.set_chunk_delay(Duration::from_millis(2_300));
    for fault in [
        Fault::finish_reason_in_every_chunk("stop"),
        Fault::reasoning("Hm.").and(Fault::finish_reason_on_reasoning("stop")),
    ] {
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let screen = run_ask(&talkback).await;
        assert_eq!(screen.stdout, "Paris.\n", "{screen:?}");
    }
}

#[tokio::test]
async fn thoughts_in_an_answer_are_not_shown() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let server = sandbox.openai();
    for pieces in [
        &["<think>Hm.</think>Paris."][..],
        &["<th", "ink>H", "m.</th", "ink>\n\nParis."],
        &["<thinking>Hm.</thinking>", "Paris."],
        &["<reasoning>\nHm.\n</reasoning>", "\n\nParis."],
        &["Hm. Let me see.", "</think>", "Paris."],
        &["Hm. ", "Let me see.\n</", "think>\n\nPar", "is."],
    ] {
        server.set_answer_chunks(pieces.iter().copied());
        for fault in [
            Fault::default(),
            Fault::json_instead_of_stream(),
            Fault::repeat_full_answer(),
        ] {
            server.add_fault(OpenAiEndpoint::Chat, fault);
            let screen = run_ask(&talkback).await;
            assert_eq!(screen.stdout, "Paris.\n", "{pieces:?}: {screen:?}");
        }
    }
    for answer in [
        "It writes `<think>` first and `</think>` last.",
        "Like this:\n\n```\n<think>\nHm.\n</think>\nParis.\n```",
    ] {
        server.says(answer);
        let screen = run_ask(&talkback).await;
        assert_eq!(screen.stdout, format!("{answer}\n"));
    }
}

#[tokio::test]
async fn whatever_is_no_answer_says_why() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let server = sandbox.openai();
    let mut told = Vec::new();
    let moved = |status, to: &str| Fault::status(status).header("location", to);
    let said = |body: &str| Fault::status(200).body("application/json", body.to_owned());
    let mut cases = vec![
        ("nothing", "", Fault::default()),
        ("blanks", " \n ", Fault::default()),
        ("only thoughts", "", Fault::reasoning("Hm.")),
        (
            "only thoughts between tags",
            "<think>Hm.</think>",
            Fault::default(),
        ),
        ("only a call of a tool", "", Fault::tool_call("search")),
        (
            "out of tokens",
            "",
            Fault::reasoning("Hm.").and(Fault::finish_reason("length")),
        ),
        (
            "out of tokens between tags",
            "<think>Hm.",
            Fault::finish_reason("length"),
        ),
        ("filtered", "", Fault::finish_reason("content_filter")),
        (
            "moved",
            "x",
            moved(308, "https://answers.example/v1/chat/completions"),
        ),
        (
            "a page to sign in",
            "x",
            moved(302, "https://sso.example/in?back=secret"),
        ),
        ("moved nowhere", "x", Fault::status(301)),
        (
            "an error as a sentence",
            "x",
            said(r#"{"error":"model 'x' not found"}"#),
        ),
        (
            "another",
            "x",
            said(r#"{"error":"this is not how it works"}"#),
        ),
        (
            "a web page",
            "x",
            Fault::status(200).body("text/html", "<html>Welcome</html>"),
        ),
        (
            "a text",
            "x",
            Fault::status(200).body("text/plain", "Ollama is running"),
        ),
        ("an empty body", "x", Fault::empty_body()),
        (
            "half a JSON",
            "x",
            Fault::json_instead_of_stream().and(Fault::malformed_json()),
        ),
        ("another JSON", "x", said(r#"{"ok":true}"#)),
        ("a stream cut at once", "x", Fault::end_after_chunks(0)),
        ("an endless line", "x", Fault::huge_line(2_000_000)),
        (
            "a detail",
            "x",
            Fault::status(422).body(
                "application/json",
                r#"{"detail":[{"loc":["body","top"],"msg":"not a number"}]}"#,
            ),
        ),
        (
            "a page of a proxy",
            "x",
            Fault::status(502)
                .body("text/html", "<h1>502</h1>")
                .times(3),
        ),
        (
            "a proxy that did not wait",
            "x",
            Fault::status(504)
                .body("text/html", "<h1>504</h1>")
                .times(3),
        ),
        (
            "the proxy's own words",
            "x",
            Fault::status(403).body("text/plain", "Blocked by the firewall"),
        ),
    ];
    // After the first word.
    cases.extend([
        (
            "a failure in the middle",
            "Par is.",
            Fault::error_after_chunks(1, "out of memory"),
        ),
        (
            "an end in the middle",
            "Par is.",
            Fault::end_after_chunks(1),
        ),
        (
            "garbage in the middle",
            "Par is.",
            Fault::garbage_after_chunks(1),
        ),
    ]);
    for (name, answer, fault) in cases {
        server.says(answer);
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let screen = run_ask(&talkback).await;
        server.clear_faults();
        assert_ne!(screen.exit_code, Some(0), "{name}: {screen:?}");
        assert!(!screen.stderr.contains("secret"), "{name}");
        let shown = screen.stdout.trim_end();
        told.push(format!("{name} [{shown}]: {}", screen.stderr.trim_end()));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_field_that_a_server_does_not_know_costs_no_answer() {
    for dialect in [
        Dialect::OpenAi,
        Dialect::Mistral,
        Dialect::Gemini,
        Dialect::FastApi,
        Dialect::AssemblyAi,
        Dialect::Ollama,
        Dialect::OpenRouter,
        Dialect::LlamaCpp,
        Dialect::LmStudio,
    ] {
        let (sandbox, mut talkback) = sandbox_with_keys().await;
        talkback
            .set("OPENAI_REASONING_EFFORT", "low")
            .set("CHAT_TEMPERATURE", "0.5");
        let server = sandbox.openai();
        server.says("Paris.");
        for field in [
            "stream_options",
            "reasoning_effort",
            "temperature",
            "max_tokens",
        ] {
            server.reject_field(field, dialect);
        }
        let screen = run_ask(&talkback).await;
        assert_eq!(screen.stdout, "Paris.\n", "{dialect:?}: {screen:?}");
        // One field after the other, and nothing twice.
        assert_eq!(chat_requests(&sandbox).len(), 5, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_model_that_always_thinks_is_asked_to_think_little() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("OPENAI_MODEL", "gpt-6.2-sol");
    let server = sandbox.openai();
    server.set_models([ListedModel::new("gpt-6.2-sol")]);
    server.says("Paris.");

    let screen = run_ask(&talkback).await;

    assert_eq!(screen.stdout, "Paris.\n", "{screen:?}");
    let asked = chat_requests(&sandbox);
    let efforts: Vec<_> = asked
        .iter()
        .map(|request| request.json()["reasoning_effort"].clone())
        .collect();
    assert_eq!(efforts, ["none", "low"]);
    assert_eq!(asked[0].json()["max_completion_tokens"], 800);
}

#[tokio::test]
async fn a_template_without_a_system_prompt_gets_it_in_the_question() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("CHAT_SYSTEM_PROMPT", "Be brief.");
    let server = sandbox.openai();
    server.set_models([ListedModel::new("sandbox-1")
        .without_system_prompt()
        .with_alternating_roles()]);
    server.says("Paris.");

    let screen = run_ask(&talkback).await;

    assert_eq!(screen.stdout, "Paris.\n", "{screen:?}");
    let asked = chat_requests(&sandbox);
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[1].json()["messages"],
        serde_json::json!([
            {"role": "user", "content": "Be brief.\n\nWhat is the capital of France?"},
        ])
    );
}
