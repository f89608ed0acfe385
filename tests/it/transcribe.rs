//! `talkback transcribe`: text, subtitles, JSON; to standard output or to files.

use sandbox::{Endpoint, Fault};

use crate::support::{typed, with_keys};

#[tokio::test]
async fn each_format_has_its_form() {
    let (sandbox, talkback) = with_keys().await;
    sandbox
        .assemblyai()
        .hears("We meet on Thursday. Bring the release notes, please.");
    for format in ["text", "srt", "vtt", "json"] {
        let screen = talkback
            .run(&["transcribe", &typed("question.ogg"), "--format", format])
            .await;
        assert_eq!(screen.code, Some(0), "{screen:?}");
        assert_eq!(screen.err, "");
        insta::assert_snapshot!(format!("transcribe_{format}"), screen.out);
    }
}

#[tokio::test]
async fn several_recordings_become_several_files() {
    let (sandbox, talkback) = with_keys().await;
    sandbox.assemblyai().hears_in_turn(["First.", "Second."]);

    let screen = talkback
        .run(&[
            "transcribe",
            &typed("question.ogg"),
            &typed("capital.ogg"),
            "--format",
            "vtt",
            "--output-dir",
            "subtitles",
        ])
        .await;

    assert_eq!(screen.code, Some(0), "{screen:?}");
    assert_eq!(screen.out, "");
    let read = |name: &str| {
        std::fs::read_to_string(talkback.folder().join("subtitles").join(name)).expect(name)
    };
    assert!(read("question.vtt").contains("First."));
    assert!(read("capital.vtt").contains("Second."));
}

#[tokio::test]
async fn what_can_be_refused_is_refused_before_the_work() {
    let (sandbox, talkback) = with_keys().await;
    let question = typed("question.ogg");
    let mut told = Vec::new();
    for arguments in [
        &["transcribe", &question, &question, "--format", "srt"][..],
        &["transcribe", &question, &question, "--output-dir", "out"],
        &["transcribe", &question, "--output-dir", "/dev/null/out"],
    ] {
        let screen = talkback.run(arguments).await;
        assert_eq!(screen.code, Some(2), "{screen:?}");
        told.push(screen.err);
    }
    insta::assert_snapshot!(told.concat());
    assert_eq!(sandbox.assemblyai().requests().len(), 0);
}

#[tokio::test]
async fn a_failed_recording_leaves_no_file_and_the_others_are_written() {
    let (sandbox, talkback) = with_keys().await;
    sandbox.assemblyai().hears("Hello.");

    let screen = talkback
        .run(&[
            "transcribe",
            "missing.ogg",
            &typed("capital.ogg"),
            "--output-dir",
            ".",
        ])
        .await;

    assert_eq!(screen.code, Some(3), "{screen:?}");
    assert!(!talkback.folder().join("missing.txt").exists());
    let text = std::fs::read_to_string(talkback.folder().join("capital.txt"));
    assert_eq!(text.expect("written").trim(), "Hello.");
}

#[tokio::test]
async fn a_job_that_fails_is_told_and_deleted() {
    let (sandbox, mut talkback) = with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "prerecorded");
    sandbox
        .assemblyai()
        .fault(Endpoint::Poll, Fault::job_error("The file is corrupt."));

    let screen = talkback.run(&["transcribe", &typed("capital.ogg")]).await;

    assert_eq!(screen.out, "");
    insta::assert_snapshot!(format!("{:?} {}", screen.code, screen.err));
    assert_eq!(sandbox.assemblyai().transcripts_kept(), 0);
}
