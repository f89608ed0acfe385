//! `talkback ask`, as somebody types it: words and answer on standard output, everything else on
//! standard error.

use sandbox::{AssemblyAiEndpoint, Fault, OpenAiEndpoint, RecordedRequest, Sandbox};

use crate::support::{CommandOutput, reference_transcript, sample_path, sandbox_with_keys};

/// What the model was asked; not the look at its list of models.
fn chat_requests(sandbox: &Sandbox) -> Vec<RecordedRequest> {
    let mut requests = sandbox.openai().requests();
    requests.retain(|request| request.method == "POST");
    requests
}

fn assert_no_secret(sandbox: &Sandbox, screen: &CommandOutput) {
    for key in [sandbox.assemblyai().key(), sandbox.openai().key()] {
        assert!(!screen.stdout.contains(&key) && !screen.stderr.contains(&key));
    }
}

#[tokio::test]
async fn a_recording_gives_its_words_and_an_answer() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox
        .assemblyai()
        .set_transcript("What is the capital of France?");
    sandbox.openai().set_answer_chunks(["Par", "is."]);

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert_eq!(
        screen.stdout,
        "> What is the capital of France?\n\nParis.\n"
    );
    assert_eq!(screen.stderr, "");
    assert_no_secret(&sandbox, &screen);
}

#[tokio::test]
async fn sync_down_falls_to_uploads() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Hello there.");
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::status(503).always());

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(screen.stdout.starts_with("> Hello there.\n"), "{screen:?}");
    insta::assert_snapshot!(screen.stderr, @"talkback: AssemblyAI Sync: It has no capacity right now. AssemblyAI upload takes over.");
}

#[tokio::test]
async fn a_typed_question_goes_with_the_recording() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("We meet on Thursday.");
    sandbox.openai().says("Thursday.");

    let screen = talkback
        .run(&[
            "ask",
            &reference_transcript("question.ogg"),
            "--text",
            "When do they meet?",
        ])
        .await;

    assert_eq!(screen.stdout, "> We meet on Thursday.\n\nThursday.\n");
    let asked = chat_requests(&sandbox);
    let body = asked.last().expect("asked").json();
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .expect("a message");
    let content = last["content"].as_str().expect("text");
    assert!(content.contains("When do they meet?") && content.contains("We meet on Thursday."));
}

#[tokio::test]
async fn json_is_one_line_a_recording() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox
        .assemblyai()
        .queue_transcripts(["First.", "Second."]);
    sandbox.openai().says("An answer.");

    let screen = talkback
        .run(&[
            "ask",
            &reference_transcript("question.ogg"),
            &reference_transcript("capital.ogg"),
            "missing.ogg",
            "--json",
        ])
        .await;

    assert_eq!(screen.exit_code, Some(3), "{screen:?}");
    let lines: Vec<serde_json::Value> = screen
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["transcript"]["text"], "First.");
    assert_eq!(lines[1]["transcript"]["text"], "Second.");
    assert_eq!(lines[1]["answer"], "An answer.");
    assert_eq!(lines[2]["error"]["exit_code"], 3);
    assert_eq!(lines[2]["answer"], serde_json::Value::Null);
}

#[tokio::test]
async fn standard_input_is_a_recording_too() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("From a pipe.");
    sandbox.openai().says("Heard.");
    let bytes = std::fs::read(sample_path("question.ogg")).expect("the sample");

    let screen = talkback.run_with_input(&["ask", "-"], &bytes).await;

    assert_eq!(screen.stdout, "> From a pipe.\n\nHeard.\n", "{screen:?}");
    let left: Vec<_> = std::fs::read_dir(talkback.folder())
        .expect("the folder")
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[tokio::test]
async fn a_refused_key_says_which_one() {
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Hello.");
    talkback.set("OPENAI_API_KEY", "sk-wrong");

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(5), "{screen:?}");
    assert_eq!(screen.stdout, "> Hello.\n\n");
    insta::assert_snapshot!(screen.stderr, @"talkback: The chat server rejected the key. Check OPENAI_API_KEY, and that it belongs to OPENAI_BASE_URL.");
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_came() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("Tell me a story.");
    sandbox.openai().set_answer_chunks(["Once upon", " a time"]);
    sandbox
        .openai()
        .add_fault(OpenAiEndpoint::Chat, Fault::close_after_chunks(1));

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(5), "{screen:?}");
    assert_eq!(screen.stdout, "> Tell me a story.\n\nOnce upon\n");
    insta::assert_snapshot!(screen.stderr, @"talkback: The answer broke off in the middle. What arrived is above; try again.");
    assert_eq!(chat_requests(&sandbox).len(), 1, "no retry after a word");
}

#[tokio::test]
async fn nothing_from_outside_can_command_the_terminal() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.assemblyai().set_transcript("red \u{1b}[31mtext");
    sandbox.openai().says("bell \u{7} and \u{1b}]0;title\u{7}");

    let screen = talkback
        .run(&["ask", &reference_transcript("question.ogg")])
        .await;

    assert!(
        !screen.stdout.chars().any(|c| c.is_control() && c != '\n'),
        "{screen:?}"
    );
}

#[tokio::test]
async fn the_question_alone_can_be_typed() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.openai().says("Paris.");

    let screen = talkback
        .run(&["ask", "--text", "What is the capital of France?"])
        .await;

    assert_eq!(screen.stdout, "Paris.\n", "{screen:?}");
    assert_eq!(sandbox.assemblyai().requests().len(), 0);
}

#[cfg(feature = "local")]
#[tokio::test]
async fn with_assemblyai_down_the_local_engine_listens() {
    let Some(folder) = crate::support::installed_models() else {
        return;
    };
    let (sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("TALKBACK_MODELS", &folder.to_string_lossy());
    sandbox.openai().says("Paris.");
    for endpoint in [AssemblyAiEndpoint::Sync, AssemblyAiEndpoint::Upload] {
        sandbox
            .assemblyai()
            .add_fault(endpoint, Fault::unauthorized().always());
    }

    let screen = talkback
        .run(&["ask", &reference_transcript("capital.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert_eq!(
        screen.stdout,
        "> What is the capital of France?\n\nParis.\n"
    );
    insta::assert_snapshot!(screen.stderr);
}

#[cfg(feature = "local")]
#[tokio::test]
async fn without_any_key_everything_runs_here() {
    let Some(talkback) = crate::support::TalkbackCommand::with_models() else {
        return;
    };

    let screen = talkback
        .run(&["ask", &reference_transcript("capital.ogg")])
        .await;

    assert_eq!(screen.exit_code, Some(0), "{screen:?}");
    assert!(
        screen
            .stdout
            .starts_with("> What is the capital of France?\n\n")
    );
    assert!(
        screen.stdout.contains("small demonstration model"),
        "{screen:?}"
    );
    assert!(
        screen.stderr.contains("No ASSEMBLYAI_API_KEY"),
        "{screen:?}"
    );
    // ONNX Runtime would note the machine down for its makers.
    let notes = talkback.folder().join(".cache/Microsoft");
    assert!(!notes.exists(), "{}", notes.display());
}

#[tokio::test]
async fn a_model_about_to_be_switched_off_is_told_of() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox.openai().says("Paris.");
    sandbox
        .openai()
        .set_models([sandbox::ListedModel::retiring_on("sandbox-1", "2026-09-28")]);
    // The answer takes long enough for the look at the list.
    let gate = sandbox::Gate::new();
    sandbox
        .openai()
        .add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let command = talkback
        .command(&["ask", "--text", "Capital of France?"])
        .spawn();
    let child = command.expect("started");
    sandbox
        .openai()
        .wait_until(|requests| {
            requests.iter().any(|request| {
                request.path.ends_with("/models")
                    && request.outcome == sandbox::ResponseOutcome::Sent
            })
        })
        .await;
    gate.open();

    let screen = CommandOutput::from(child.wait_with_output().await.expect("it ends"));

    assert_eq!(screen.stdout, "Paris.\n");
    insta::assert_snapshot!(screen.stderr);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_at_once_and_leaves_nothing() {
    let (sandbox, talkback) = sandbox_with_keys().await;
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::hang().always());
    let mut command = talkback.command(&["ask", "-"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let bytes = std::fs::read(sample_path("question.ogg")).expect("the sample");
    let mut stdin = child.stdin.take().expect("piped");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, &bytes)
        .await
        .expect("read");
    drop(stdin);
    sandbox.assemblyai().wait_for_requests(1).await;

    let id = child.id().expect("running").to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(sent.expect("kill runs").success());

    let screen = CommandOutput::from(child.wait_with_output().await.expect("it ends"));
    assert_eq!(screen.exit_code, Some(130), "{screen:?}");
    assert_eq!(screen.stdout, "");
    let left: Vec<_> = std::fs::read_dir(talkback.folder())
        .expect("the folder")
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
