//! `talkback doctor`: a line a check, the fix where something is wrong, exit code 1 if it matters.

use sandbox::{Fault, OpenAiEndpoint};

use crate::support::{Talkback, with_keys};

/// The lines without times, sizes, addresses and folders, which differ from run to run.
fn lines(text: &str, talkback: &Talkback) -> String {
    let folder = talkback.folder().to_string_lossy().into_owned();
    let mut filtered = text.replace(&folder, "FOLDER");
    for (found, shown) in [
        ("libopus", "LIBRARIES"),
        ("talkback: ", "talkback: VERSION"),
    ] {
        let kept: Vec<String> = filtered
            .lines()
            .map(|line| match line.find(found) {
                Some(at) => format!("{}{shown}", &line[..at]),
                None => line.to_owned(),
            })
            .collect();
        filtered = kept.join("\n");
    }
    let mut settled = String::new();
    let mut rest = filtered.as_str();
    while let Some(at) = rest.find("127.0.0.1:") {
        settled.push_str(&rest[..at]);
        settled.push_str("HOST");
        rest = rest[at + 10..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    settled.push_str(rest);
    let times: Vec<String> = settled
        .lines()
        .map(|line| match (line.find("ready ("), line.find(" s)")) {
            (Some(from), Some(to)) => format!("{}ready (TIME{}", &line[..from], &line[to + 2..]),
            _ => line.to_owned(),
        })
        .collect();
    times.join("\n")
}

#[tokio::test]
async fn all_well_with_keys() {
    let (_sandbox, mut talkback) = with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync,prerecorded");

    let screen = talkback.run(&["doctor"]).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    insta::assert_snapshot!(lines(&screen.out, &talkback));
}

#[tokio::test]
async fn wrong_keys_are_named() {
    let (_sandbox, mut talkback) = with_keys().await;
    talkback
        .set("SPEECH_PROVIDERS", "sync,prerecorded")
        .set("ASSEMBLYAI_API_KEY", "wrong")
        .set("OPENAI_API_KEY", "wrong");

    let screen = talkback.run(&["doctor"]).await;

    assert_eq!(screen.code, Some(1), "{screen:?}");
    insta::assert_snapshot!(lines(&screen.out, &talkback));
}

#[tokio::test]
async fn a_server_down_and_a_model_at_its_end() {
    let (sandbox, mut talkback) = with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "prerecorded");
    talkback.set("ASSEMBLYAI_API_URL", "http://127.0.0.1:9");
    sandbox
        .openai()
        .models([sandbox::Model::until("sandbox-1", "2026-09-28")]);

    let screen = talkback.run(&["doctor"]).await;

    assert_eq!(screen.code, Some(1), "{screen:?}");
    insta::assert_snapshot!(lines(&screen.out, &talkback));
}

#[tokio::test]
async fn faulty_settings_are_part_of_the_report() {
    let (_sandbox, mut talkback) = with_keys().await;
    talkback.set("OPENAI_API", "soap").set("LOCAL_THREADS", "0");

    let screen = talkback.run(&["doctor"]).await;

    assert_eq!(screen.code, Some(1), "{screen:?}");
    insta::assert_snapshot!(lines(&screen.out, &talkback));
}

#[tokio::test]
async fn a_broken_list_of_models_is_no_reason_to_worry() {
    let (sandbox, mut talkback) = with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "sync");
    sandbox
        .openai()
        .fault(OpenAiEndpoint::Models, Fault::status(404).always());

    let screen = talkback.run(&["doctor"]).await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
}
