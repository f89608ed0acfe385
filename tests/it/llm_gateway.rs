//! One key for everything: AssemblyAI's LLM Gateway answers.

use sandbox::{Fault, OpenAiEndpoint, Sandbox};

use crate::support::{TalkbackCommand, reference_transcript};

/// A user who has nothing but an AssemblyAI key.
async fn sandbox_with_one_key() -> (Sandbox, TalkbackCommand) {
    let sandbox = Sandbox::start().await;
    let mut talkback = TalkbackCommand::new();
    let stt = sandbox.assemblyai();
    talkback
        .set("ASSEMBLYAI_API_KEY", &stt.key())
        .set("ASSEMBLYAI_API_URL", &stt.api_url())
        .set("ASSEMBLYAI_SYNC_URL", &stt.sync_url())
        .set("ASSEMBLYAI_STREAMING_URL", &stt.streaming_url())
        .set("ASSEMBLYAI_LLM_GATEWAY_URL", &sandbox.llm_gateway().url());
    (sandbox, talkback)
}

#[tokio::test]
async fn one_key_listens_and_answers() {
    let (sandbox, talkback) = sandbox_with_one_key().await;
    sandbox
        .assemblyai()
        .set_transcript("What is the capital of Peru?");
    sandbox.llm_gateway().says("Lima.");

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(
        screen.stdout.contains("> What is the capital of Peru?"),
        "{screen:?}"
    );
    assert!(screen.stdout.contains("Lima."), "{screen:?}");
    assert!(sandbox.openai().requests().is_empty());
    let requests = sandbox.llm_gateway().requests();
    let asked = requests.iter().find(|it| it.path == "/v1/chat/completions");
    let asked = asked.expect("a question").json();
    assert_eq!(asked["model"], "claude-haiku-4-5-20251001");
    assert_eq!(asked["stream"], true);
    assert_eq!(asked["max_tokens"], 800);
    for message in asked["messages"].as_array().expect("messages") {
        assert!(message["content"].is_string(), "{message}");
    }
}

#[tokio::test]
async fn whoever_chooses_it_gets_it_beside_another_key() {
    let (sandbox, mut talkback) = sandbox_with_one_key().await;
    talkback
        .set("OPENAI_API_KEY", "sk-not-used")
        .set("CHAT_PROVIDER", "assemblyai")
        .set("ASSEMBLYAI_CHAT_MODEL", "claude-sonnet-4-6");
    sandbox.llm_gateway().says("Lima.");

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    let requests = sandbox.llm_gateway().requests();
    let asked = requests.iter().find(|it| it.path == "/v1/chat/completions");
    assert_eq!(
        asked.expect("a question").json()["model"],
        "claude-sonnet-4-6"
    );
}

#[tokio::test]
async fn what_the_gateway_refuses_names_its_own_settings() {
    let key = "rejected the key. Check ASSEMBLYAI_API_KEY";
    let plan =
        "The AssemblyAI account can't use the LLM Gateway (Your account does not have access";
    let model = "ASSEMBLYAI_CHAT_MODEL";
    for (setting, value, free, sentence) in [
        ("ASSEMBLYAI_API_KEY", "wrong", false, key),
        ("CHAT_TIMEOUT", "20", true, plan),
        ("ASSEMBLYAI_CHAT_MODEL", "claude-9", false, model),
    ] {
        let (sandbox, mut talkback) = sandbox_with_one_key().await;
        talkback.set(setting, value);
        if free {
            sandbox.llm_gateway().set_free_plan();
        }

        let screen = talkback.run(&["ask", "--text", "Hello?"]).await;

        assert_eq!(screen.exit_code, Some(5), "{screen:?}");
        assert!(screen.stderr.contains(sentence), "{sentence}: {screen:?}");
        assert!(!screen.stderr.contains("OPENAI_"), "{screen:?}");
    }
}

#[tokio::test]
async fn doctor_says_when_the_account_may_not() {
    let (sandbox, mut talkback) = sandbox_with_one_key().await;
    talkback.set("SPEECH_PROVIDERS", "sync,prerecorded");
    let healthy = talkback.run(&["doctor"]).await;
    assert_eq!(healthy.exit_code, Some(0), "{healthy:?}");

    sandbox.llm_gateway().set_free_plan();
    let screen = talkback.run(&["doctor"]).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    let broken: Vec<&str> = screen
        .stdout
        .lines()
        .filter(|it| it.starts_with("FAIL"))
        .collect();
    assert_eq!(broken.len(), 1, "{screen:?}");
    assert!(broken[0].contains("only paid accounts can"), "{broken:?}");
}

#[tokio::test]
async fn doctor_knows_the_models_and_their_ends() {
    let (sandbox, mut talkback) = sandbox_with_one_key().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    // The first second of 2026.
    sandbox.llm_gateway().set_retirement_time(1_767_225_600);
    let screen = talkback.run(&["doctor"]).await;
    assert!(
        screen
            .stdout
            .contains("switched off on 2026-01-01. Choose another ASSEMBLYAI_CHAT_MODEL."),
        "{screen:?}"
    );

    sandbox.llm_gateway().set_models(&["gemini-3-flash"]);
    let screen = talkback.run(&["doctor"]).await;
    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    assert!(
        screen.stdout.contains("Check ASSEMBLYAI_CHAT_MODEL."),
        "{screen:?}"
    );
}

#[tokio::test]
async fn numeric_codes_and_lists_of_errors_are_read() {
    let bodies = [
        r#"{"message":"Invalid request","code":400,"request_id":"r","metadata":{"errors":["temperature: too hot"]}}"#,
        r#"{"error":{"code":400,"message":"temperature: too hot"}}"#,
        r#"{"error":"temperature: too hot","status":400,"request_id":"r"}"#,
    ];
    for body in bodies {
        let (sandbox, talkback) = sandbox_with_one_key().await;
        let fault = Fault::status(400).body("application/json", body).always();
        sandbox.llm_gateway().add_fault(OpenAiEndpoint::Chat, fault);

        let screen = talkback.run(&["ask", "--text", "Hello?"]).await;

        assert_eq!(screen.exit_code, Some(5), "{screen:?}");
        assert!(
            screen.stderr.contains("temperature: too hot"),
            "{body}: {screen:?}"
        );
        assert!(
            screen.stderr.contains("ASSEMBLYAI_CHAT_MODEL"),
            "{screen:?}"
        );
    }
}
