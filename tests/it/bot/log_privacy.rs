//! What came from a person, a provider or Discord is never in the log, however it fails and however
//! much is logged.

use sandbox::{AssemblyAiEndpoint, DiscordEndpoint, Fault, OpenAiEndpoint};
use serde_json::json;

use super::harness::{BotFixture, RunningBot, question_recording};

/// A word that everybody else says and that no log may hold.
const SECRET_WORD: &str = "zebrafinch";

async fn verbose_scene(form: &str) -> BotFixture {
    let mut scene = BotFixture::new().await;
    // Everything of everybody: a bare level would be Talkback's own.
    scene
        .set("TALKBACK_LOG", "trace,talkback=trace")
        .set("TALKBACK_LOG_FORMAT", form)
        .set("SPEECH_PROVIDERS", "sync,prerecorded")
        .set(
            "CHAT_SYSTEM_PROMPT",
            &format!("You know all of the {SECRET_WORD}."),
        );
    scene.ana.set_nick(SECRET_WORD);
    scene.discord.disable_rate_limits();
    scene
        .sandbox
        .assemblyai()
        .set_transcript(&format!("What is a {SECRET_WORD}?"));
    scene
        .sandbox
        .openai()
        .says(&format!("A {SECRET_WORD} is a bird."));
    scene
}

/// Everything that a server may put words into.
fn error_with_secret(status: u16) -> Fault {
    Fault::status(status)
        .code(SECRET_WORD)
        .message(&format!("You asked: What is a {SECRET_WORD}?"))
        .header("x-request-id", SECRET_WORD)
        .header("x-notice", SECRET_WORD)
}

async fn send_all_inputs(scene: &BotFixture) {
    let channel = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
}

fn assert_log_is_clean(scene: &BotFixture, bot: &RunningBot) {
    let log = bot.stderr();
    assert!(log.lines().count() > 50, "nothing is logged:\n{log}");
    let secrets = [
        SECRET_WORD,
        "What is a",
        "sk-sandbox",
        "sandbox-assemblyai-key",
        &scene.discord.token(),
    ];
    for secret in secrets {
        let held = log.lines().find(|line| line.contains(secret));
        assert_eq!(held, None, "{secret} is in the log");
    }
    // Addresses of files are signed, and whoever has one can listen.
    let signed = log.lines().find(|line| line.contains("&hm="));
    assert_eq!(signed, None);
}

async fn assert_clean_on_provider_failure(form: &str) {
    let mut scene = verbose_scene(form).await;
    let bot = scene.start().await;
    send_all_inputs(&scene).await;
    let word = format!("\"{SECRET_WORD}\"");
    let chat = || {
        [
            error_with_secret(400),
            error_with_secret(404),
            error_with_secret(422),
            error_with_secret(429).retry_after(600),
            error_with_secret(503).times(3),
            Fault::status(418).body("text/plain", SECRET_WORD),
            Fault::error_after_chunks(0, SECRET_WORD).times(3),
            Fault::error_after_chunks(1, SECRET_WORD),
            Fault::garbage_after_chunks(1),
            Fault::replace_body(word.clone()).times(3),
            Fault::close_after_chunks(1),
            error_with_secret(403),
        ]
    };
    for fault in chat() {
        scene
            .sandbox
            .openai()
            .add_fault(OpenAiEndpoint::Chat, fault);
        send_all_inputs(&scene).await;
        scene.sandbox.openai().clear_faults();
    }
    let speech = || {
        [
            error_with_secret(400),
            error_with_secret(413),
            error_with_secret(429).retry_after(600),
            error_with_secret(500).times(3),
            Fault::replace_body(word.clone()).times(3),
            Fault::malformed_json().times(3),
        ]
    };
    for fault in speech() {
        scene
            .sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, fault);
        send_all_inputs(&scene).await;
        scene.sandbox.assemblyai().clear_faults();
    }
    for (endpoint, fault) in [
        (AssemblyAiEndpoint::Upload, error_with_secret(400)),
        (AssemblyAiEndpoint::Transcript, error_with_secret(400)),
        (
            AssemblyAiEndpoint::Transcript,
            Fault::job_error(&format!("about a {SECRET_WORD}")),
        ),
        (
            AssemblyAiEndpoint::Transcript,
            Fault::replace_body(format!("{{\"id\": {word}}}")),
        ),
    ] {
        let sync = error_with_secret(500).times(3);
        scene
            .sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, sync);
        scene.sandbox.assemblyai().add_fault(endpoint, fault);
        send_all_inputs(&scene).await;
        scene.sandbox.assemblyai().clear_faults();
    }
    assert_log_is_clean(&scene, &bot);
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_words_are_not_in_the_log() {
    assert_clean_on_provider_failure("text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_words_are_not_in_the_log_as_json() {
    assert_clean_on_provider_failure("json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discords_words_are_not_in_the_log() {
    let mut scene = verbose_scene("text").await;
    let bot = scene.start().await;
    scene.enable_notes().await;
    let said = json!({
        "code": 50_035,
        "message": format!("Invalid Form Body: {SECRET_WORD}"),
        "errors": {"content": {"_errors": [{"code": SECRET_WORD, "message": SECRET_WORD}]},
                   SECRET_WORD: {"_errors": [{"code": "BASE_TYPE_REQUIRED", "message": SECRET_WORD}]}},
    });
    let refused = |status| {
        let body = said.to_string();
        Fault::status(status).body("application/json", body)
    };
    for endpoint in [
        DiscordEndpoint::Typing,
        DiscordEndpoint::GetChannel,
        DiscordEndpoint::GetMessage,
        DiscordEndpoint::Cdn,
    ] {
        for fault in [
            refused(400),
            refused(500),
            Fault::replace_body(format!("\"{SECRET_WORD}\"")),
        ] {
            scene.discord.add_fault(endpoint, fault);
            send_all_inputs(&scene).await;
            scene.discord.clear_faults();
        }
    }
    scene
        .discord
        .add_fault(DiscordEndpoint::EditMessage, refused(500));
    send_all_inputs(&scene).await;
    let shown = scene
        .ana
        .run_command(&scene.channel, "/privacy", json!({}))
        .await;
    shown.wait_for_answer_containing("recording").await;
    let wrong = json!({"codes": SECRET_WORD});
    scene
        .ana
        .run_command(&scene.channel, "/settings language", wrong)
        .await;
    let called = scene.ana.mention_bot(&scene.channel, SECRET_WORD).await;
    let reply = scene.ana.wait_for_reply(&called).await;
    reply.wait_until_done().await;
    called.delete();
    let before = scene.discord.gateway_connections();
    scene.discord.drop_gateway_connections();
    scene.discord.wait_for_gateway_connections(before + 1).await;
    scene.discord.wait_until_connected(1).await;
    send_all_inputs(&scene).await;
    assert_log_is_clean(&scene, &bot);
    assert!(
        !bot.stderr().contains("BASE_TYPE_REQUIRED\": "),
        "{}",
        bot.stderr()
    );
}
