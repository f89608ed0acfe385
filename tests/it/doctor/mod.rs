//! `talkback doctor`: a line a check, the fix where something is wrong, exit code 1 if it matters.

mod bot;
mod ledger;
mod voice;

use std::net::TcpListener;

use sandbox::{AssemblyAiEndpoint, Fault, OpenAiEndpoint, StreamingSessionEnd};

use crate::support::{CommandOutput, TalkbackCommand, sandbox_with_keys};

/// Compares the report with its snapshot, without what differs from run to run.
macro_rules! assert_report {
    ($screen:expr, $code:expr) => {
        let screen = &$screen;
        assert_eq!(screen.exit_code, Some($code), "{screen:?}");
        insta::with_settings!({filters => crate::doctor::snapshot_filters()}, {
            insta::assert_snapshot!(screen.stdout);
        });
    };
}
use assert_report;

/// Times, sizes, addresses, folders and ids.
fn snapshot_filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"/\S*/\.tmp\w+", "FOLDER"),
        (r"127\.0\.0\.1:\d+", "HOST"),
        (r"ready \([^)]*\)", "ready (TIME)"),
        (r"[\d.]+ [KMGT]?i?B free", "ROOM free"),
        (r"(?m)^ok    talkback: .*$", "ok    talkback: VERSION"),
        (r"(?m)^ok    libraries: .*$", "ok    libraries: LIBRARIES"),
        (r"\b\d{17,20}\b", "ID"),
    ]
}

/// The lines that begin with this.
fn lines_starting_with<'a>(screen: &'a CommandOutput, beginning: &str) -> Vec<&'a str> {
    let lines = screen.stdout.lines();
    lines.filter(|line| line.starts_with(beginning)).collect()
}

async fn run_doctor(talkback: &TalkbackCommand) -> CommandOutput {
    talkback.run(&["doctor"]).await
}

#[tokio::test]
async fn all_well_with_keys() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback
        .set("SPEECH_PROVIDERS", "sync,prerecorded")
        .set("VOICE_TRANSCRIBER", "streaming");

    let screen = run_doctor(&talkback).await;

    assert_report!(screen, 0);
    // Sessions cost as long as they are open.
    let sessions = sandbox.assemblyai().streaming_sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].end, Some(StreamingSessionEnd::Terminated));
    let requests = sandbox.openai().requests();
    let asked = requests.iter().find(|it| it.path.ends_with("/completions"));
    let asked = asked.expect("a question").json();
    assert_eq!(asked["max_tokens"], 16, "{asked}");
}

#[tokio::test]
async fn wrong_keys_are_named() {
    let (_sandbox, mut talkback) = sandbox_with_keys().await;
    talkback
        .set("SPEECH_PROVIDERS", "sync,prerecorded")
        .set("ASSEMBLYAI_API_KEY", "wrong")
        .set("OPENAI_API_KEY", "wrong")
        .set("VOICE_TRANSCRIBER", "streaming");

    let screen = run_doctor(&talkback).await;

    assert_report!(screen, 1);
}

#[tokio::test]
async fn a_server_down_and_a_model_at_its_end() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "prerecorded");
    talkback.set("ASSEMBLYAI_API_URL", "http://127.0.0.1:9");
    sandbox
        .openai()
        .set_models([sandbox::ListedModel::retiring_on("sandbox-1", "2026-09-28")]);

    let screen = run_doctor(&talkback).await;

    assert_report!(screen, 1);
}

#[tokio::test]
async fn faulty_settings_are_part_of_the_report() {
    let (_sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("OPENAI_API", "soap").set("LOCAL_THREADS", "0");

    let screen = run_doctor(&talkback).await;

    assert_report!(screen, 1);
}

#[tokio::test]
async fn a_broken_list_of_models_is_no_reason_to_worry() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    sandbox
        .openai()
        .add_fault(OpenAiEndpoint::Models, Fault::status(404).always());

    let screen = run_doctor(&talkback).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
}

#[tokio::test]
async fn a_listed_model_may_have_no_credit() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    let fault = Fault::insufficient_quota().always();
    sandbox.openai().add_fault(OpenAiEndpoint::Chat, fault);

    let screen = run_doctor(&talkback).await;

    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    let broken = lines_starting_with(&screen, "FAIL");
    assert_eq!(broken.len(), 1, "{screen:?}");
    assert!(broken[0].contains("no credit left"), "{broken:?}");
}

#[tokio::test]
async fn a_live_session_may_be_refused() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback
        .set("SPEECH_PROVIDERS", "sync")
        .set("VOICE_TRANSCRIBER", "streaming");
    let fault = Fault::unauthorized().always();
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Streaming, fault);

    let screen = run_doctor(&talkback).await;

    assert_eq!(screen.exit_code, Some(1), "{screen:?}");
    let broken = lines_starting_with(&screen, "FAIL");
    assert_eq!(broken.len(), 1, "{screen:?}");
    assert!(
        broken[0].starts_with("FAIL  AssemblyAI streaming: AssemblyAI rejected the key."),
        "{broken:?}"
    );
}

#[tokio::test]
async fn a_wrong_clock_is_told() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    for (ahead, told) in [
        (10, "ok    clock: right, according to 127.0.0.1"),
        (120, "warn  clock: This machine's clock is "),
        // It may be the clock of that machine that is wrong.
        (7_200, "warn  clock: This machine's clock is "),
    ] {
        sandbox.set_clock_offset(ahead);

        let screen = run_doctor(&talkback).await;

        assert_eq!(screen.exit_code, Some(0), "{screen:?}");
        assert_eq!(
            lines_starting_with(&screen, told).len(),
            1,
            "{told}: {screen:?}"
        );
    }
}

#[tokio::test]
async fn an_address_that_is_taken_or_open_to_others() {
    let (_sandbox, mut talkback) = sandbox_with_keys().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    // Whoever asks is hung up on.
    std::thread::spawn(move || taken.incoming().for_each(drop));
    talkback
        .set("SPEECH_PROVIDERS", "sync")
        .set("TALKBACK_HTTP", &address)
        .set("WEB_ADDRESS", "0.0.0.0:0");

    let screen = run_doctor(&talkback).await;

    assert_report!(screen, 0);
}
