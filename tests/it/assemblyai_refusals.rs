//! What AssemblyAI refuses, in every shape it has for that: each cause has its own sentence, with the
//! setting to change, and none of them is the recording's fault.

use sandbox::{AssemblyAiEndpoint, Fault};
use serde_json::json;

use crate::support::{CommandOutput, TalkbackCommand, reference_transcript, sandbox_with_keys};

async fn transcribe(talkback: &TalkbackCommand) -> CommandOutput {
    talkback
        .run(&["transcribe", &reference_transcript("question.ogg")])
        .await
}

#[tokio::test]
async fn a_refused_model_names_its_setting() {
    let cases = [
        ("sync", "ASSEMBLYAI_SYNC_MODEL", "universal-9"),
        (
            "prerecorded",
            "ASSEMBLYAI_PRERECORDED_MODELS",
            "universal-3-pro",
        ),
        (
            "prerecorded",
            "ASSEMBLYAI_PRERECORDED_MODELS",
            "universal-9,universal-2",
        ),
    ];
    for (provider, setting, model) in cases {
        let (_sandbox, mut talkback) = sandbox_with_keys().await;
        talkback
            .set("SPEECH_PROVIDERS", provider)
            .set(setting, model);

        let screen = transcribe(&talkback).await;

        assert_eq!(screen.exit_code, Some(5), "{screen:?}");
        assert!(
            screen
                .stderr
                .contains(&format!("Set {setting} to one that it offers.")),
            "{screen:?}"
        );
        assert!(!screen.stderr.contains("Try again"), "{screen:?}");
    }
}

#[tokio::test]
async fn where_a_model_is_refused_the_next_provider_takes_over() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Hello there.");
    talkback
        .set("SPEECH_PROVIDERS", "sync,prerecorded")
        .set("ASSEMBLYAI_SYNC_MODEL", "universal-9");

    let screen = transcribe(&talkback).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert_eq!(screen.stdout, "Hello there.\n");
    assert!(
        screen.stderr.contains(
            "AssemblyAI Sync: It doesn't accept the model that ASSEMBLYAI_SYNC_MODEL names. \
             AssemblyAI upload takes over."
        ),
        "{screen:?}"
    );
}

#[tokio::test]
async fn every_shape_of_a_refusal_is_understood() {
    let model = "Set ASSEMBLYAI_SYNC_MODEL to one that it offers.";
    let terms = "Change SPEECH_KEY_TERMS or the key terms under /settings.";
    let language = "Change SPEECH_LANGUAGES, or set ASSEMBLYAI_SYNC_MODEL to a model that does.";
    let request = "rejected the request itself, not the recording";
    let recording = "can't use this recording";
    let busy = "isn't taking more requests right now. Try again in 40 s.";
    let plan = "The AssemblyAI account isn't allowed to do this";
    let cases = [
        (
            400,
            json!({"status": 400, "title": "Unsupported Model", "detail": "Not here."}),
            model,
        ),
        (
            404,
            json!({"status": 404, "title": "Model Not Found", "detail": "Not here."}),
            model,
        ),
        (
            422,
            json!({"error_code": "invalid_model", "message": "no"}),
            model,
        ),
        (
            400,
            json!({"error": "unknown model: x", "error_code": "bad_request"}),
            model,
        ),
        (
            400,
            json!({"detail": "The \"x\" speech model(s) have been deprecated."}),
            model,
        ),
        (
            403,
            json!({"detail": "Model x is not enabled for this account"}),
            model,
        ),
        (
            400,
            json!({"status": 400, "title": "Invalid Keyterms Prompt", "detail": "Too many."}),
            terms,
        ),
        (
            422,
            json!({"detail": "config.keyterms_prompt: at most 100 terms"}),
            terms,
        ),
        (
            400,
            json!({"status": 400, "title": "Unsupported Language", "detail": "xx"}),
            language,
        ),
        (
            400,
            json!({"error": "unsupported language code: xx"}),
            language,
        ),
        (
            400,
            json!({"status": 400, "title": "Bad Request", "detail": "No such thing."}),
            request,
        ),
        (
            413,
            json!({"status": 413, "title": "Audio Too Large", "detail": "130 s"}),
            recording,
        ),
        (
            400,
            json!({"status": 400, "title": "Audio Too Short", "detail": "79 ms"}),
            recording,
        ),
        (
            415,
            json!({"status": 415, "title": "Unsupported Media Type", "detail": "ogg"}),
            recording,
        ),
        (
            429,
            json!({"status": 429, "title": "Rate Limit Exceeded", "detail": "slow"}),
            busy,
        ),
        (
            503,
            json!({"status": 503, "title": "Capacity Exceeded", "detail": "full"}),
            busy,
        ),
        (
            403,
            json!({"detail": "Upgrade your plan to use this feature."}),
            plan,
        ),
        (402, json!({"detail": "no money"}), "has no credit left"),
        (
            401,
            json!({"status": 401, "title": "Unauthorized", "detail": "no"}),
            "rejected the key",
        ),
    ];
    for (status, body, sentence) in cases {
        let (sandbox, mut talkback) = sandbox_with_keys().await;
        talkback.set("SPEECH_PROVIDERS", "sync");
        let mut fault = Fault::status(status).always();
        if matches!(status, 429 | 503) {
            // Longer than anything that is waited for.
            fault = fault.retry_after(40);
        }
        let fault = fault.body("application/problem+json", body.to_string());
        for endpoint in [AssemblyAiEndpoint::Sync, AssemblyAiEndpoint::Warm] {
            sandbox.assemblyai().add_fault(endpoint, fault.clone());
        }

        let screen = transcribe(&talkback).await;

        assert_ne!(screen.exit_code, Some(0), "{body}: {screen:?}");
        assert!(screen.stderr.contains(sentence), "{body}: {screen:?}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_asked_for_is_logged() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback
        .set("SPEECH_PROVIDERS", "prerecorded")
        .set("TALKBACK_LOG", "debug");
    let screen = transcribe(&talkback).await;
    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(screen.stderr.contains("assemblyai-stt-3-7"), "{screen:?}");

    sandbox.assemblyai().set_model_used("assemblyai-stt-4");
    let screen = transcribe(&talkback).await;
    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(
        screen
            .stderr
            .contains("none of the models in ASSEMBLYAI_PRERECORDED_MODELS"),
        "{screen:?}"
    );
    assert!(!screen.stderr.contains("assemblyai-stt-4"), "{screen:?}");
}
