//! What the stories share: the program as a user starts it, the samples and their words.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use sandbox::Sandbox;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of the recordings in `samples/`.
pub(crate) fn sample_path(name: &str) -> PathBuf {
    repository().join("samples").join(name)
}

/// A user with keys for both providers, which are the sandbox's.
pub(crate) async fn sandbox_with_keys() -> (Sandbox, TalkbackCommand) {
    let sandbox = Sandbox::start().await;
    let mut talkback = TalkbackCommand::new();
    talkback
        .set("ASSEMBLYAI_API_KEY", &sandbox.assemblyai().key())
        .set("ASSEMBLYAI_API_URL", &sandbox.assemblyai().api_url())
        .set("ASSEMBLYAI_SYNC_URL", &sandbox.assemblyai().sync_url())
        .set(
            "ASSEMBLYAI_STREAMING_URL",
            &sandbox.assemblyai().streaming_url(),
        )
        .set("ASSEMBLYAI_LLM_GATEWAY_URL", &sandbox.llm_gateway().url())
        .set("OPENAI_API_KEY", &sandbox.openai().key())
        .set("OPENAI_BASE_URL", &sandbox.openai().url())
        .set("OPENAI_MODEL", "sandbox-1");
    (sandbox, talkback)
}

/// The path of a sample as it is typed.
pub(crate) fn reference_transcript(name: &str) -> String {
    sample_path(name).to_string_lossy().into_owned()
}

/// The program in a folder of its own, with no setting of this machine.
pub(crate) struct TalkbackCommand {
    home_dir: TempDir,
    settings: Vec<(String, String)>,
}

/// What a run of the program left on the screen.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    /// The exit code; none if a signal ended it.
    pub(crate) exit_code: Option<i32>,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8 on the screen");
        Self {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            exit_code: output.status.code(),
        }
    }
}

impl TalkbackCommand {
    /// A fresh user: empty home, no models, no keys.
    pub(crate) fn new() -> Self {
        let home = TempDir::new().expect("a temporary folder");
        let models = home.path().join("models");
        let mut talkback = Self {
            home_dir: home,
            settings: Vec::new(),
        };
        talkback.set("TALKBACK_MODELS", &models.to_string_lossy());
        talkback
    }

    /// The same with the local models of this machine, if it has them.
    #[cfg(feature = "local")]
    pub(crate) fn with_models() -> Option<Self> {
        let folder = installed_models()?;
        let mut talkback = Self::new();
        talkback.set("TALKBACK_MODELS", &folder.to_string_lossy());
        Some(talkback)
    }

    /// Sets a variable of its environment.
    pub(crate) fn set(&mut self, variable: &str, value: &str) -> &mut Self {
        self.settings.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// The folder it runs in.
    pub(crate) fn folder(&self) -> &Path {
        self.home_dir.path()
    }

    /// The command before it starts.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_for_program(env!("CARGO_BIN_EXE_talkback"), arguments)
    }

    /// Another program with the same environment.
    pub(crate) fn command_for_program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .env("HOME", self.folder())
            .env("TMPDIR", self.folder())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.command(arguments)
            .output()
            .await
            .expect("the program starts")
            .into()
    }

    /// Runs it to its end with `input` piped into it.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> CommandOutput {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A program that refuses its input closes the pipe early, and that is its right.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        child.wait_with_output().await.expect("it ends").into()
    }
}

/// Where this machine keeps the local models, or nothing (said aloud) when they are not here.
#[cfg(feature = "local")]
pub(crate) fn installed_models() -> Option<PathBuf> {
    crate::requirements::models()
}
