//! What came from a person, a provider or Discord is never in the log, however it fails and however
//! much is logged.

use sandbox::{DiscordEndpoint, Endpoint, Fault, OpenAiEndpoint};
use serde_json::json;

use super::running::{Bot, Scene, question};

/// A word that everybody else says and that no log may hold.
const WORD: &str = "zebrafinch";

async fn loud_scene(form: &str) -> Scene {
    let mut scene = Scene::new().await;
    // Everything of everybody: a bare level would be Talkback's own.
    scene
        .set("TALKBACK_LOG", "trace,talkback=trace")
        .set("TALKBACK_LOG_FORMAT", form)
        .set("SPEECH_PROVIDERS", "sync,prerecorded")
        .set(
            "CHAT_SYSTEM_PROMPT",
            &format!("You know all of the {WORD}."),
        );
    scene.ana.is_called(WORD);
    scene.discord.without_rate_limits();
    scene
        .sandbox
        .assemblyai()
        .hears(&format!("What is a {WORD}?"));
    scene.sandbox.openai().says(&format!("A {WORD} is a bird."));
    scene
}

/// Everything that a server may put words into.
fn wordy(status: u16) -> Fault {
    Fault::status(status)
        .code(WORD)
        .message(&format!("You asked: What is a {WORD}?"))
        .header("x-request-id", WORD)
        .header("x-notice", WORD)
}

async fn asks(scene: &Scene) {
    let channel = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&channel, question()).await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
}

fn knows_no_words(scene: &Scene, bot: &Bot) {
    let log = bot.log();
    assert!(log.lines().count() > 50, "nothing is logged:\n{log}");
    let secrets = [
        WORD,
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

async fn providers_fail(form: &str) {
    let mut scene = loud_scene(form).await;
    let bot = scene.start().await;
    asks(&scene).await;
    let word = format!("\"{WORD}\"");
    let chat = || {
        [
            wordy(400),
            wordy(404),
            wordy(422),
            wordy(429).retry_after(600),
            wordy(503).times(3),
            Fault::status(418).body("text/plain", WORD),
            Fault::error_in_stream(0, WORD).times(3),
            Fault::error_in_stream(1, WORD),
            Fault::garbage_after_pieces(1),
            Fault::replace_body(word.clone()).times(3),
            Fault::cut_after_pieces(1),
            wordy(403),
        ]
    };
    for fault in chat() {
        scene.sandbox.openai().fault(OpenAiEndpoint::Chat, fault);
        asks(&scene).await;
        scene.sandbox.openai().clear_faults();
    }
    let speech = || {
        [
            wordy(400),
            wordy(413),
            wordy(429).retry_after(600),
            wordy(500).times(3),
            Fault::replace_body(word.clone()).times(3),
            Fault::malformed_json().times(3),
        ]
    };
    for fault in speech() {
        scene.sandbox.assemblyai().fault(Endpoint::Sync, fault);
        asks(&scene).await;
        scene.sandbox.assemblyai().clear_faults();
    }
    for (endpoint, fault) in [
        (Endpoint::Upload, wordy(400)),
        (Endpoint::Transcript, wordy(400)),
        (
            Endpoint::Transcript,
            Fault::job_error(&format!("about a {WORD}")),
        ),
        (
            Endpoint::Transcript,
            Fault::replace_body(format!("{{\"id\": {word}}}")),
        ),
    ] {
        let sync = wordy(500).times(3);
        scene.sandbox.assemblyai().fault(Endpoint::Sync, sync);
        scene.sandbox.assemblyai().fault(endpoint, fault);
        asks(&scene).await;
        scene.sandbox.assemblyai().clear_faults();
    }
    knows_no_words(&scene, &bot);
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_words_are_not_in_the_log() {
    providers_fail("text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_words_are_not_in_the_log_as_json() {
    providers_fail("json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discords_words_are_not_in_the_log() {
    let mut scene = loud_scene("text").await;
    let bot = scene.start().await;
    scene.notes_on().await;
    let said = json!({
        "code": 50_035,
        "message": format!("Invalid Form Body: {WORD}"),
        "errors": {"content": {"_errors": [{"code": WORD, "message": WORD}]},
                   WORD: {"_errors": [{"code": "BASE_TYPE_REQUIRED", "message": WORD}]}},
    });
    let refused = |status| {
        let body = said.to_string();
        Fault::status(status).body("application/json", body)
    };
    for endpoint in [
        DiscordEndpoint::Typing,
        DiscordEndpoint::Channel,
        DiscordEndpoint::Message,
        DiscordEndpoint::Cdn,
    ] {
        for fault in [
            refused(400),
            refused(500),
            Fault::replace_body(format!("\"{WORD}\"")),
        ] {
            scene.discord.fault(endpoint, fault);
            asks(&scene).await;
            scene.discord.clear_faults();
        }
    }
    scene
        .discord
        .fault(DiscordEndpoint::EditMessage, refused(500));
    asks(&scene).await;
    let shown = scene.ana.runs(&scene.channel, "/privacy", json!({})).await;
    shown.answer_with("recording").await;
    let wrong = json!({"codes": WORD});
    scene
        .ana
        .runs(&scene.channel, "/settings language", wrong)
        .await;
    let called = scene.ana.calls_bot(&scene.channel, WORD).await;
    let reply = scene.ana.sees_reply_to(&called).await;
    reply.until_done().await;
    called.delete();
    let before = scene.discord.connections();
    scene.discord.drops_gateway();
    scene.discord.until_connections(before + 1).await;
    scene.discord.until_connected(1).await;
    asks(&scene).await;
    knows_no_words(&scene, &bot);
    assert!(
        !bot.log().contains("BASE_TYPE_REQUIRED\": "),
        "{}",
        bot.log()
    );
}
