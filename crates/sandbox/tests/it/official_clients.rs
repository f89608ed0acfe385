//! The providers' own packages, in Python and JavaScript, take the sandbox for the real thing: what
//! they send is accepted, and what comes is what they expect.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sandbox::requirements::or_skip;
use sandbox::{Sandbox, Server};
use serde_json::{Value, json};
use tokio::process::Command;

/// Where `script/bootstrap` puts the Python packages.
const PACKAGES: &str = "target/tools/python";

/// How long one step may take.
const STEP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum ClientLanguage {
    Python,
    JavaScript,
}

const LANGUAGES: [ClientLanguage; 2] = [ClientLanguage::Python, ClientLanguage::JavaScript];

fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn clients_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

impl ClientLanguage {
    /// The command that runs a step, if its packages are here.
    fn command(self) -> Option<Command> {
        match self {
            Self::Python => {
                let packages = repository_root().join(PACKAGES);
                let here = packages.join("assemblyai").is_dir().then_some(packages);
                let brings = "`script/bootstrap --with-python` brings it";
                let packages = or_skip(here, "AssemblyAI's Python package", brings)?;
                let mut command = Command::new("python3");
                command
                    .arg(clients_folder().join("python/providers.py"))
                    .env("PYTHONPATH", packages)
                    .env("PYTHONDONTWRITEBYTECODE", "1");
                Some(command)
            }
            Self::JavaScript => {
                let folder = clients_folder().join("javascript");
                let packages = folder.join("node_modules/assemblyai");
                let here = packages.is_dir().then_some(folder);
                let brings = "`script/bootstrap --with-browser` brings it";
                let folder = or_skip(here, "AssemblyAI's JavaScript package", brings)?;
                let mut command = Command::new("node");
                command.arg(folder.join("providers.mjs"));
                Some(command)
            }
        }
    }

    /// Runs one step against the sandbox, and what came of it.
    async fn run_step(self, sandbox: &Sandbox, step: &str) -> Option<Value> {
        let mut command = self.command()?;
        let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
        command
            .arg(step)
            .env("ASSEMBLYAI_API_KEY", stt.key())
            .env("ASSEMBLYAI_API_URL", stt.api_url())
            .env("ASSEMBLYAI_SYNC_URL", stt.sync_url())
            .env("ASSEMBLYAI_STREAMING_URL", stt.streaming_url())
            .env("ASSEMBLYAI_LLM_GATEWAY_URL", sandbox.llm_gateway().url())
            .env("OPENAI_API_KEY", llm.key())
            .env("OPENAI_BASE_URL", llm.url())
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if matches!(step, "prerecorded" | "refused") {
            command.arg(repository_root().join("samples/question.ogg"));
        }
        let ran = tokio::time::timeout(STEP_TIMEOUT, command.output()).await;
        let ran = ran.expect("it ends").expect("it starts");
        let told = String::from_utf8_lossy(&ran.stdout);
        let last = told.lines().last().unwrap_or_default();
        let value = serde_json::from_str(last).ok();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(value.is_some(), "{self:?} {step}: {told}{errors}");
        value
    }
}

fn paths(sandbox: &Sandbox, server: Server) -> Vec<String> {
    let all = sandbox.requests();
    let of_it = all.iter().filter(|request| request.server == server);
    let mut paths: Vec<String> = of_it
        .map(|request| format!("{} {}", request.method, request.path))
        .collect();
    // How often a job is asked for is a matter of time.
    paths.dedup();
    paths
}

#[tokio::test]
async fn a_recording_is_uploaded_written_down_and_deleted() {
    for language in LANGUAGES {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.set_transcript("We meet on Thursday.");
        stt.set_polls_before_done(2);
        let Some(came) = language.run_step(&sandbox, "prerecorded").await else {
            continue;
        };
        let expected = json!({
            "status": "completed",
            "text": "We meet on Thursday.",
            "words": 4,
            "model": "assemblyai-stt-3-7",
            "deleted": "Deleted by user.",
        });
        assert_eq!(came, expected, "{language:?}");
        let paths = paths(&sandbox, Server::AssemblyAi);
        let kinds: Vec<&str> = paths
            .iter()
            .map(|it| it.split(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(
            kinds,
            ["POST", "POST", "GET", "DELETE"],
            "{language:?}: {paths:?}"
        );
        assert_eq!((stt.stored_uploads(), stt.stored_transcripts()), (0, 0));
    }
}

#[tokio::test]
async fn models_that_are_no_more_are_refused_in_words_that_they_show() {
    let sandbox = Sandbox::start().await;
    let Some(came) = ClientLanguage::Python.run_step(&sandbox, "refused").await else {
        return;
    };
    let told = came["told"].to_string();
    assert!(
        told.contains("speech model(s) have been deprecated"),
        "{told}"
    );
    assert!(told.contains("speech_model is deprecated"), "{told}");
}

#[tokio::test]
async fn the_gateway_answers_their_client_and_openais() {
    for language in LANGUAGES {
        let sandbox = Sandbox::start().await;
        sandbox.llm_gateway().says("It is Paris.");
        let Some(came) = language.run_step(&sandbox, "gateway").await else {
            continue;
        };
        for field in ["text", "openai"] {
            assert_eq!(came[field], "It is Paris.", "{language:?} {field}");
        }
        assert_eq!(came["models"][0], "claude-haiku-4-5-20251001");
        if matches!(language, ClientLanguage::Python) {
            assert_eq!(came["streamed"], "It is Paris.");
            assert_eq!(came["tokens"], true);
            assert_eq!(came["errors"], json!(["model: unknown model none"]));
        }
        let asked = sandbox.llm_gateway().requests();
        let keys: Vec<Option<&str>> = asked
            .iter()
            .filter(|it| it.path == "/v1/chat/completions")
            .map(|it| it.header("authorization"))
            .collect();
        let key = sandbox.assemblyai().key();
        let bearer = format!("Bearer {key}");
        assert!(keys.contains(&Some(key.as_str())), "{language:?}");
        assert!(keys.contains(&Some(bearer.as_str())), "{language:?}");
    }
}

#[tokio::test]
async fn openais_client_chats_streams_and_completes() {
    for language in LANGUAGES {
        let sandbox = Sandbox::start().await;
        sandbox.openai().says("Good day to you.");
        let Some(came) = language.run_step(&sandbox, "chat").await else {
            continue;
        };
        for field in ["text", "streamed", "completion"] {
            assert_eq!(came[field], "Good day to you.", "{language:?} {field}");
        }
        assert_eq!(came["usage"], true, "{language:?}");
    }
}

#[tokio::test]
async fn sync_hears_what_is_whole_and_what_is_still_being_said() {
    for language in LANGUAGES {
        let sandbox = Sandbox::start().await;
        sandbox.assemblyai().set_transcript("Turn left here.");
        let Some(came) = language.run_step(&sandbox, "sync").await else {
            continue;
        };
        let expected = json!({
            "text": "Turn left here.",
            "ms": 1_000,
            "timed": true,
            "live": "Turn left here.",
            "live_ms": 1_200,
            "code": "audio_too_short",
        });
        assert_eq!(came, expected, "{language:?}");
        assert_eq!(
            paths(&sandbox, Server::AssemblyAi),
            ["POST /v1/transcribe/live"],
            "{language:?}"
        );
    }
}

#[tokio::test]
async fn a_live_session_comes_to_the_end_of_a_turn() {
    for language in LANGUAGES {
        let sandbox = Sandbox::start().await;
        sandbox.assemblyai().set_transcript("Turn left here.");
        let Some(came) = language.run_step(&sandbox, "streaming").await else {
            continue;
        };
        assert_eq!(came["turns"][0], "Turn left here.", "{language:?}: {came}");
        if matches!(language, ClientLanguage::Python) {
            assert_eq!(came["errors"], json!([]), "{came}");
            assert!(came["seconds"].is_u64(), "{came}");
        }
    }
}
