//! `talkback transcribe`: text, subtitles, JSON; to standard output or to files.

use sandbox::{AssemblyAiEndpoint, Fault};

use crate::support::{reference_transcript, sandbox_with_keys};

#[tokio::test]
async fn output_formats_match_snapshots() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox
        .assemblyai()
        .set_transcript("We meet on Thursday. Bring the release notes, please.");
    for format in ["text", "srt", "vtt", "json"] {
        let screen = talkback
            .run(&[
                "transcribe",
                &reference_transcript("question.ogg"),
                "--format",
                format,
            ])
            .await;
        assert_eq!(screen.exit_code, Some(0), "{screen:?}");
        assert_eq!(screen.stderr, "");
        insta::assert_snapshot!(format!("transcribe_{format}"), screen.stdout);
    }
}

#[tokio::test]
async fn several_recordings_become_several_files() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox
        .assemblyai()
        .queue_transcripts(["First.", "Second."]);

    let screen = talkback
        .run(&[
            "transcribe",
            &reference_transcript("question.ogg"),
            &reference_transcript("capital.ogg"),
            "--format",
            "vtt",
            "--output-dir",
            "subtitles",
        ])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert_eq!(screen.stdout, "");
    let read = |name: &str| {
        std::fs::read_to_string(talkback.folder().join("subtitles").join(name)).expect(name)
    };
    assert!(read("question.vtt").contains("First."));
    assert!(read("capital.vtt").contains("Second."));
}

#[tokio::test]
async fn what_can_be_refused_is_refused_before_the_work() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let question = reference_transcript("question.ogg");
    let mut told = Vec::new();
    for arguments in [
        &["transcribe", &question, &question, "--format", "srt"][..],
        &["transcribe", &question, &question, "--output-dir", "out"],
        &["transcribe", &question, "--output-dir", "/dev/null/out"],
    ] {
        let screen = talkback.run(arguments).await;
        assert_eq!(screen.exit_code, Some(2), "{screen:?}");
        told.push(screen.stderr);
    }
    insta::assert_snapshot!(told.concat());
    assert_eq!(sandbox.assemblyai().requests().len(), 0);
}

#[tokio::test]
async fn a_failed_recording_leaves_no_file_and_the_others_are_written() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Hello.");

    let screen = talkback
        .run(&[
            "transcribe",
            "missing.ogg",
            &reference_transcript("capital.ogg"),
            "--output-dir",
            ".",
        ])
        .await;

    assert_eq!(screen.exit_code, Some(3), "{screen:?}");
    assert!(!talkback.folder().join("missing.txt").exists());
    let text = std::fs::read_to_string(talkback.folder().join("capital.txt"));
    assert_eq!(text.expect("written").trim(), "Hello.");
}

#[tokio::test]
async fn a_job_that_fails_is_told_and_deleted() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("SPEECH_PROVIDERS", "prerecorded");
    sandbox.assemblyai().add_fault(
        AssemblyAiEndpoint::Poll,
        Fault::job_error("The file is corrupt."),
    );

    let screen = talkback
        .run(&["transcribe", &reference_transcript("capital.ogg")])
        .await;

    assert_eq!(screen.stdout, "");
    insta::assert_snapshot!(format!("{:?} {}", screen.exit_code, screen.stderr));
    assert_eq!(sandbox.assemblyai().stored_transcripts(), 0);
}
