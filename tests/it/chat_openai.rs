//! Answers from an OpenAI-compatible server: what is asked, how it streams, what goes wrong.

use std::time::Duration;

use futures_util::StreamExt;
use net::{self, RetryPolicy};
use sandbox::{Fault, Gate, ListedModel, OpenAi, OpenAiEndpoint, RecordedRequest, Sandbox};
use secrecy::SecretString;
use serde_json::json;
use talkback::chat::openai::{CompletionApi, OpenAiChatModel, OpenAiSettings};
use talkback::chat::{
    AnswerChunk, AnswerStream, ChatError, ChatModel, ChatRole, ChatTurn, Conversation,
    FinishReason, TokenUsage, UsageMeter,
};

/// A client of the sandbox with limits that a test can wait for.
fn settings(server: &OpenAi) -> OpenAiSettings {
    let base = server.url().parse().expect("a URL");
    OpenAiSettings {
        model: "sandbox-1".to_owned(),
        first_token_timeout: Duration::from_secs(2),
        between_tokens_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_secs(10),
        retry: RetryPolicy {
            first_delay: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..OpenAiSettings::compatible(base, Some(SecretString::from(server.key())))
    }
}

fn client(settings: OpenAiSettings) -> OpenAiChatModel {
    OpenAiChatModel::new(net::http_client().expect("a client"), settings)
}

fn question(text: &str) -> Conversation {
    Conversation {
        system: "Be brief.".to_owned(),
        turns: vec![ChatTurn {
            role: ChatRole::User,
            speaker_name: None,
            text: text.to_owned(),
        }],
    }
}

/// Reads to the end: the words, and how it ended.
async fn collect_stream(stream: AnswerStream) -> (String, Result<AnswerChunk, ChatError>) {
    let mut text = String::new();
    let mut stream = stream;
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(AnswerChunk::Text(more)) => text.push_str(&more),
            end => return (text, end),
        }
    }
    panic!("the stream stopped without an end");
}

async fn ask(
    model: &OpenAiChatModel,
) -> Result<(String, Result<AnswerChunk, ChatError>), ChatError> {
    let stream = model
        .answer(&question("What is the capital of France?"))
        .await?;
    Ok(collect_stream(stream).await)
}

fn chat_requests(server: &OpenAi) -> Vec<RecordedRequest> {
    server.requests()
}

#[tokio::test]
async fn the_request_is_what_openai_documents() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    let mut settings = settings(&server);
    settings.model = "gpt-6-luna".to_owned();
    settings.reasoning_effort = Some("none".to_owned());
    settings.token_field = talkback::chat::openai::TokenField::MaxCompletionTokens;
    settings.temperature = Some(0.5);

    let (text, end) = ask(&client(settings)).await.expect("an answer");

    assert_eq!(text, "Paris.");
    let Ok(AnswerChunk::End(end)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(end.reason, FinishReason::Complete);
    assert!(
        end.usage
            .is_some_and(|usage: TokenUsage| usage.answer_tokens > 0)
    );
    let requests = chat_requests(&server);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].path, "/v1/chat/completions");
    let key = format!("Bearer {}", server.key());
    assert_eq!(requests[0].header("authorization"), Some(key.as_str()));
    assert_eq!(
        requests[0].json(),
        json!({
            "model": "gpt-6-luna",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is the capital of France?"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_completion_tokens": 800,
            "reasoning_effort": "none",
            "temperature": 0.5,
        })
    );
}

#[tokio::test]
async fn the_older_api_gets_a_play_with_two_parts() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    let mut settings = settings(&server);
    settings.api = CompletionApi::Completions;

    let (text, end) = ask(&client(settings)).await.expect("an answer");

    assert_eq!(text, "Paris.");
    assert!(matches!(end, Ok(AnswerChunk::End(_))));
    let requests = chat_requests(&server);
    assert_eq!(requests[0].path, "/v1/completions");
    assert_eq!(
        requests[0].json(),
        json!({
            "model": "sandbox-1",
            "prompt": "Be brief.\n\nUser: What is the capital of France?\nAssistant:",
            "stop": ["\nUser:", "\nAssistant:"],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_tokens": 800,
        })
    );
}

#[tokio::test]
async fn words_come_as_soon_as_the_server_sends_them() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.set_answer_chunks(["Par", "is", "."]);
    let gate = Gate::new();
    server.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 1));

    let mut stream = client(settings(&server))
        .answer(&question("Capital?"))
        .await
        .expect("a stream");
    let first = stream.next().await;
    assert!(matches!(first, Some(Ok(AnswerChunk::Text(text))) if text == "Par"));
    gate.open();

    let (rest, _) = collect_stream(stream).await;
    assert_eq!(rest, "is.");
}

#[tokio::test]
async fn oddities_of_servers_are_borne() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Grüße aus 東京 🗼!");
    for (name, fault) in [
        ("comments", Fault::sse_comments()),
        ("split characters", Fault::split_utf8()),
        ("split events", Fault::split_events()),
        ("one write", Fault::single_write()),
        ("reasoning", Fault::reasoning("Let me think about towers.")),
        ("unknown fields", Fault::unknown_fields()),
        ("no usage", Fault::omit_usage()),
        ("CRLF", Fault::crlf_line_endings()),
        ("no [DONE]", Fault::omit_done()),
    ] {
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let (text, end) = ask(&client(settings(&server))).await.expect(name);
        assert_eq!(text, "Grüße aus 東京 🗼!", "{name}");
        assert!(matches!(end, Ok(AnswerChunk::End(_))), "{name}: {end:?}");
    }
}

#[tokio::test]
async fn the_reason_for_the_end_is_told() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("So far.");
    for (reason, expected) in [
        ("stop", FinishReason::Complete),
        ("length", FinishReason::Length),
        ("content_filter", FinishReason::ContentFilter),
        ("something_new", FinishReason::Complete),
    ] {
        server.add_fault(OpenAiEndpoint::Chat, Fault::finish_reason(reason));
        let (_, end) = ask(&client(settings(&server))).await.expect("an answer");
        assert!(
            matches!(end, Ok(AnswerChunk::End(end)) if end.reason == expected),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn what_fails_before_the_first_word_is_tried_again() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    for (name, fault) in [
        ("500", Fault::status(500)),
        ("503", Fault::status(503)),
        ("429", Fault::status(429).retry_after_ms(1)),
        ("closed", Fault::close_connection()),
        ("reset", Fault::reset_connection()),
        (
            "an error object",
            Fault::error_after_chunks(0, "overloaded"),
        ),
    ] {
        let before = chat_requests(&server).len();
        server.add_fault(OpenAiEndpoint::Chat, fault.times(2));
        let (text, _) = ask(&client(settings(&server))).await.expect(name);
        assert_eq!(text, "Paris.", "{name}");
        assert_eq!(chat_requests(&server).len() - before, 3, "{name}");
    }
}

#[tokio::test]
async fn http_failures_map_to_chat_errors() {
    type ErrorCheck = fn(&ChatError) -> bool;
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    let cases: [(&str, Fault, ErrorCheck, usize); 12] = [
        (
            "401",
            Fault::status(401),
            |e| matches!(e, ChatError::KeyRefused(_)),
            1,
        ),
        (
            "403",
            Fault::status(403).message("You have no permission for this model."),
            |e| matches!(e, ChatError::KeyRefused(_)),
            1,
        ),
        (
            "403 for where one is",
            Fault::status(403),
            |e| matches!(e, ChatError::Refused { .. }),
            1,
        ),
        (
            "404",
            Fault::status(404),
            |e| matches!(e, ChatError::UnknownModel(_)),
            1,
        ),
        (
            "422",
            Fault::status(422),
            |e| matches!(e, ChatError::Refused { .. }),
            1,
        ),
        (
            "quota",
            Fault::insufficient_quota(),
            |e| matches!(e, ChatError::QuotaExceeded(_)),
            1,
        ),
        (
            "429",
            Fault::status(429).retry_after_ms(1),
            |e| matches!(e, ChatError::Overloaded(_)),
            3,
        ),
        (
            "429 for an hour",
            Fault::status(429).retry_after(3_600),
            |e| matches!(e, ChatError::Overloaded(_)),
            1,
        ),
        (
            "500",
            Fault::status(500),
            |e| matches!(e, ChatError::Unavailable(_)),
            3,
        ),
        (
            "503",
            Fault::status(503),
            |e| matches!(e, ChatError::Overloaded(_)),
            3,
        ),
        (
            "malformed",
            Fault::status(200).body("application/json", "{\"choices\": ["),
            |e| matches!(e, ChatError::InvalidResponse(_)),
            1,
        ),
        (
            "huge line",
            Fault::huge_line(2_000_000),
            |e| matches!(e, ChatError::InvalidResponse(_)),
            1,
        ),
    ];
    for (name, fault, is_right, tries) in cases {
        let before = chat_requests(&server).len();
        server.add_fault(OpenAiEndpoint::Chat, fault.always());
        let error = ask(&client(settings(&server))).await.expect_err(name);
        assert!(is_right(&error), "{name}: {error:?}");
        assert_eq!(chat_requests(&server).len() - before, tries, "{name}");
        let shown = format!("{error:?} {error}");
        assert!(
            !shown.contains(&server.key()),
            "{name}: the key is in {shown}"
        );
        server.clear_faults();
    }
}

#[tokio::test]
async fn idle_stream_times_out() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.set_answer_chunks(["Once", " upon", " a time"]);
    let mut limits = settings(&server);
    limits.first_token_timeout = Duration::from_millis(200);

    for fault in [Fault::hang_after_headers(), Fault::hang_after_chunks(0)] {
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let error = ask(&client(limits.clone())).await.expect_err("silence");
        assert!(matches!(error, ChatError::TimedOut(_)), "{error:?}");
    }

    server.add_fault(OpenAiEndpoint::Chat, Fault::hang_after_chunks(2));
    let (text, end) = ask(&client(limits.clone())).await.expect("a beginning");
    assert_eq!(text, "Once upon");
    assert!(
        matches!(end, Err(ChatError::StreamInterrupted { .. })),
        "{end:?}"
    );

    limits.total_timeout = Duration::from_millis(200);
    server.add_fault(OpenAiEndpoint::Chat, Fault::hang());
    let error = ask(&client(limits)).await.expect_err("silence");
    assert!(matches!(error, ChatError::TimedOut(_)), "{error:?}");
}

#[tokio::test]
async fn nothing_is_retried_once_a_word_was_shown() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.set_answer_chunks(["Once", " upon", " a time"]);
    for (name, fault) in [
        ("cut", Fault::close_after_chunks(2)),
        ("an early end", Fault::end_after_chunks(2)),
        (
            "an error object",
            Fault::error_after_chunks(2, "overloaded"),
        ),
        ("garbage", Fault::garbage_after_chunks(2)),
    ] {
        let before = chat_requests(&server).len();
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let (text, end) = ask(&client(settings(&server))).await.expect(name);
        assert_eq!(text, "Once upon", "{name}");
        assert!(
            matches!(end, Err(ChatError::StreamInterrupted { .. })),
            "{name}: {end:?}"
        );
        assert_eq!(chat_requests(&server).len() - before, 1, "{name}");
    }
}

#[tokio::test]
async fn a_field_that_the_server_does_not_know_is_left_out_from_then_on() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    let refusal = Fault::status(400).message("Unknown parameter: 'stream_options'.");
    server.add_fault(OpenAiEndpoint::Chat, refusal);
    let model = client(settings(&server));

    for _ in 0..2 {
        let (text, _) = ask(&model).await.expect("an answer");
        assert_eq!(text, "Paris.");
    }

    let with_field: Vec<bool> = chat_requests(&server)
        .iter()
        .map(|request| request.json().get("stream_options").is_some())
        .collect();
    assert_eq!(with_field, [true, false, false]);
}

/// People and the model, not in turns.
fn long_conversation(turns: usize) -> Conversation {
    let turn = |number: usize| ChatTurn {
        role: if number % 3 == 2 {
            ChatRole::Assistant
        } else {
            ChatRole::User
        },
        speaker_name: None,
        text: format!("{number}: {}", "what was said ".repeat(20)),
    };
    Conversation {
        system: "Be brief.".to_owned(),
        turns: (0..turns).map(turn).collect(),
    }
}

#[tokio::test]
async fn thoughts_are_signs_of_life() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    server.set_chunk_delay(Duration::from_millis(100));
    let thoughts = "so many words that it takes much longer than the first one may take";
    server.add_fault(OpenAiEndpoint::Chat, Fault::reasoning(thoughts));
    let mut limits = settings(&server);
    limits.first_token_timeout = Duration::from_millis(600);

    let (text, end) = ask(&client(limits)).await.expect("an answer");

    assert_eq!(text, "Paris.");
    assert!(matches!(end, Ok(AnswerChunk::End(_))), "{end:?}");
}

#[tokio::test]
async fn a_template_that_wants_turns_gets_them() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    let strict = [
        (ListedModel::new("sandbox-1").with_alternating_roles(), true),
        (
            ListedModel::new("sandbox-1")
                .with_alternating_roles()
                .without_system_prompt(),
            false,
        ),
    ];
    for (strict, has_system) in strict {
        server.set_models([strict]);
        let model = client(settings(&server));
        // The second time nothing has to be learned.
        let before = chat_requests(&server).len();
        for _ in 0..2 {
            let stream = model
                .answer(&long_conversation(6))
                .await
                .expect("an answer");
            assert_eq!(collect_stream(stream).await.0, "Paris.");
        }
        let requests = chat_requests(&server);
        assert_eq!(requests.len() - before, 3, "{has_system}");
        let body = requests.last().expect("asked").json();
        let roles: Vec<_> = body["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|message| message["role"].as_str().expect("a role"))
            .collect();
        let turns = ["user", "assistant", "user", "assistant"];
        let system = has_system.then_some("system");
        let expected: Vec<_> = system.into_iter().chain(turns).collect();
        assert_eq!(roles, expected);
        let all = body.to_string();
        for number in 0..6 {
            assert!(all.contains(&format!("{number}: what")), "{all}");
        }
    }
}

#[tokio::test]
async fn what_the_server_cannot_read_is_shortened() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("Paris.");
    server.set_models([ListedModel::new("sandbox-1").with_context_tokens(400)]);
    let model = client(settings(&server));

    for tries in [3, 1] {
        let before = chat_requests(&server).len();
        let stream = model
            .answer(&long_conversation(13))
            .await
            .expect("an answer");
        assert_eq!(collect_stream(stream).await.0, "Paris.");
        let requests = chat_requests(&server);
        assert_eq!(requests.len() - before, tries);
        let last = requests.last().expect("asked").json().to_string();
        assert!(
            last.contains("12: what") && !last.contains("\"0: what"),
            "{last}"
        );
    }

    server.set_models([ListedModel::new("sandbox-1").with_context_tokens(20)]);
    let error = client(settings(&server))
        .answer(&long_conversation(13))
        .await;
    assert!(matches!(error, Err(ChatError::PromptTooLong)));
}

#[tokio::test]
async fn what_an_empty_answer_cost_is_told() {
    struct UsageRecorder(std::sync::Mutex<Vec<TokenUsage>>);
    impl UsageMeter for UsageRecorder {
        fn on_unanswered_usage(&self, usage: TokenUsage) {
            self.0.lock().expect("sound").push(usage);
        }
    }
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.says("");
    server.add_fault(OpenAiEndpoint::Chat, Fault::reasoning("Hm."));
    let costs = UsageRecorder(std::sync::Mutex::default());

    let model = client(settings(&server));
    let answer = model.answer_metered(&question("Hm?"), &costs).await;

    assert!(matches!(answer, Err(ChatError::EmptyAnswer(_))));
    assert_eq!(costs.0.lock().expect("sound").len(), 1);
}

#[tokio::test]
async fn a_dropped_answer_hangs_up() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.set_answer_chunks(["Once", " upon", " a time"]);
    server.add_fault(OpenAiEndpoint::Chat, Fault::hang_after_chunks(1));
    let mut stream = client(settings(&server))
        .answer(&question("Tell me a story."))
        .await
        .expect("a stream");
    assert!(matches!(
        stream.next().await,
        Some(Ok(AnswerChunk::Text(_)))
    ));

    drop(stream);

    server
        .wait_until(|requests| {
            requests
                .iter()
                .all(|request| request.outcome == sandbox::ResponseOutcome::ClientDisconnected)
        })
        .await;
}

#[tokio::test]
async fn a_reason_that_repeats_the_question_is_not_kept() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    let echo = "invalid input: What is the capital of France?";
    server.add_fault(OpenAiEndpoint::Chat, Fault::status(400).message(echo));

    let error = ask(&client(settings(&server))).await.expect_err("refused");

    assert!(matches!(error, ChatError::Refused { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("capital"));
}

#[tokio::test]
async fn a_probe_finds_the_model_and_its_end() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.openai();
    server.set_models([
        ListedModel::retiring_on("gpt-6-luna", "2027-01-06"),
        ListedModel::new("other"),
    ]);
    let mut settings = settings(&server);
    settings.model = "gpt-6-luna".to_owned();
    let probe = client(settings.clone()).probe().await.expect("reachable");
    assert_eq!(probe.shutdown_date.as_deref(), Some("2027-01-06"));
    assert_eq!(probe.is_listed, Some(true));

    settings.model = "unheard-of".to_owned();
    let probe = client(settings.clone()).probe().await.expect("reachable");
    assert_eq!(probe.is_listed, Some(false));

    server.add_fault(OpenAiEndpoint::Models, Fault::status(404));
    let probe = client(settings.clone()).probe().await.expect("reachable");
    assert_eq!(probe.is_listed, None);

    settings.key = Some("sk-wrong".into());
    let error = client(settings).probe().await.expect_err("refused");
    assert!(matches!(error, ChatError::KeyRefused(_)), "{error:?}");
}
