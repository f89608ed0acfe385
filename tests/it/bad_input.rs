//! Recordings that can't be used: one sentence each, and the right exit code.

use std::path::Path;

use crate::support::{
    CommandOutput, reference_transcript, repository, sample_path, sandbox_with_keys,
};

/// What is left of the screen once the folder's name is taken out.
fn error_message(screen: &CommandOutput, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    let text = screen.stderr.replace(&*folder, "FOLDER");
    format!("{:?}: {}", screen.exit_code, text.trim_end())
}

/// A WAV file of mono samples at 16 kHz.
fn wav(samples: impl IntoIterator<Item = f32>) -> Vec<u8> {
    audio::Pcm::from(samples.into_iter().collect::<Vec<_>>())
        .to_wav()
        .to_vec()
}

#[tokio::test]
async fn every_unusable_recording_gets_its_sentence() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    let folder = talkback.folder().to_owned();
    let question = std::fs::read(sample_path("question.ogg")).expect("the sample");
    let hum = (0..32_000).map(|n| 0.3 * (n as f32 * 50.0 * std::f32::consts::TAU / 16_000.0).sin());
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("empty.ogg", Vec::new()),
        ("notes.txt", b"This is no recording.".repeat(100)),
        ("cut-to-its-head.ogg", question[..60].to_vec()),
        ("silence.wav", wav(std::iter::repeat_n(0.0, 32_000))),
        ("hum.wav", wav(hum)),
        ("click.wav", wav(std::iter::repeat_n(0.5, 500))),
        ("nothing.wav", wav([])),
    ];
    let mut told = Vec::new();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("written");
        let screen = talkback.run(&["ask", name]).await;
        told.push(error_message(&screen, &folder));
        assert_eq!(screen.stdout, "", "{name}");
    }
    for name in [".", "missing.ogg"] {
        let screen = talkback.run(&["ask", name]).await;
        told.push(error_message(&screen, &folder));
    }
    let screen = talkback.run_with_input(&["ask", "-"], b"").await;
    told.push(error_message(&screen, &folder));
    let screen = talkback.run(&["ask", "-", "-"]).await;
    told.push(error_message(&screen, &folder));

    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(sandbox.assemblyai().requests().len(), 0, "nobody was paid");
}

#[tokio::test]
async fn the_limits_are_the_operators() {
    let (_sandbox, mut talkback) = sandbox_with_keys().await;
    let folder = talkback.folder().to_owned();
    let mut told = Vec::new();
    for (variable, value) in [("MAX_AUDIO_SECONDS", "2"), ("MAX_AUDIO_BYTES", "5000")] {
        talkback.set(variable, value);
        std::fs::copy(sample_path("question.ogg"), folder.join("question.ogg")).expect("copied");
        let screen = talkback.run(&["ask", "question.ogg"]).await;
        told.push(error_message(&screen, &folder));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_cut_recording_is_used_as_far_as_it_goes() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Imagine if there was");
    sandbox.openai().says("Go on.");
    let question = std::fs::read(sample_path("question.ogg")).expect("the sample");
    std::fs::write(talkback.folder().join("cut.ogg"), &question[..9_000]).expect("written");

    let screen = talkback.run(&["ask", "cut.ogg"]).await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert_eq!(screen.stdout, "> Imagine if there was\n\nGo on.\n");
    assert!(
        screen.stderr.contains("is cut off at the end"),
        "{screen:?}"
    );
}

#[tokio::test]
async fn the_name_of_a_file_means_nothing() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Hello.");
    sandbox.openai().says("Hi.");
    std::fs::copy(
        sample_path("question.ogg"),
        talkback.folder().join("song.mp3"),
    )
    .expect("copied");

    let screen = talkback.run(&["ask", "song.mp3"]).await;

    assert_eq!(screen.stdout, "> Hello.\n\nHi.\n", "{screen:?}");
}

#[tokio::test]
async fn every_faulty_setting_is_named_before_anything_happens() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("CHAT_TIMEOUT", "soon");

    let screen = talkback
        .run(&[
            "ask",
            &reference_transcript("question.ogg"),
            "--openai-base-url",
            "nonsense",
        ])
        .await;

    assert_eq!(screen.exit_code, Some(2), "{screen:?}");
    insta::assert_snapshot!(screen.stderr);
    assert_eq!(sandbox.assemblyai().requests().len(), 0);
}

#[tokio::test]
async fn a_faulty_dotenv_file_is_told_without_its_contents() {
    let (_sandbox, talkback) = sandbox_with_keys().await;
    let content = "OPENAI_MODEL=sandbox-1\nsk-a-key-on-a-line-of-its-own \"\n";
    std::fs::write(talkback.folder().join(".env"), content).expect("written");

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(2), "{screen:?}");
    insta::assert_snapshot!(screen.stderr);
}

#[tokio::test]
async fn settings_may_stand_in_a_dotenv_file() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    sandbox.openai().says("Paris.");
    talkback.set("OPENAI_MODEL", "");
    std::fs::write(talkback.folder().join(".env"), "CHAT_MAX_TOKENS=33\n").expect("written");

    let screen = talkback
        .run(&["ask", "--text", "Capital?", "--openai-model", "sandbox-1"])
        .await;

    assert_eq!(screen.stdout, "Paris.\n", "{screen:?}");
    let asked = sandbox.openai().requests();
    let question = asked.iter().find(|request| request.method == "POST");
    assert_eq!(question.expect("asked").json()["max_tokens"], 33);
}

#[tokio::test]
async fn missing_models_say_how_to_get_them() {
    if !cfg!(feature = "local") {
        return;
    }
    let talkback = crate::support::TalkbackCommand::new();

    let screen = talkback
        .run(&["ask", &reference_transcript("capital.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(6), "{screen:?}");
    assert!(
        screen.stderr.contains("Run `talkback models fetch`."),
        "{screen:?}"
    );
    assert!(repository().join("samples/capital.ogg").exists());
}
