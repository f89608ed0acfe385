//! The two bots, each as a process with its own simulated Discord and providers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Discord, Guild, Message, Sandbox};
use tempfile::TempDir;

use super::{BenchResult, WAIT_TIMEOUT};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The time that the providers take for a transcription, and for the first word of an answer.
pub(crate) const TRANSCRIPTION_DELAY: Duration = Duration::from_millis(430);
pub(crate) const ANSWER_DELAY: Duration = Duration::from_millis(300);

/// The last word of the answer, which shows that it is complete.
const ANSWER_LAST_WORD: &str = "Paris.";

/// The bot that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ComparedBot {
    /// Talkback with AssemblyAI Sync, its default.
    Talkback,
    /// Talkback with AssemblyAI's pre-recorded API, which the Python bot uses.
    Prerecorded,
    /// `bot.py`, with the polling interval of AssemblyAI's package in seconds (default: 3).
    Python(Option<f64>),
}

impl ComparedBot {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Talkback => "Talkback".to_owned(),
            Self::Prerecorded => "Talkback, pre-recorded".to_owned(),
            Self::Python(None) => "discord.py".to_owned(),
            Self::Python(Some(seconds)) => format!("discord.py, polling {seconds} s"),
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::Python(_))
    }
}

/// A simulated Discord with a guild, providers, and the bot's folder.
pub(crate) struct ComparisonEnvironment {
    pub(crate) discord: Discord,
    pub(crate) guild: Guild,
    pub(crate) note: Bytes,
    compared_bot: ComparedBot,
    sandbox: Sandbox,
    folder: TempDir,
}

impl ComparisonEnvironment {
    pub(crate) async fn new(compared_bot: ComparedBot) -> BenchResult<Self> {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("authority.pem"), discord.authority_pem())?;
        let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
        stt.set_transcript("What is the capital of France?");
        stt.set_processing_time(TRANSCRIPTION_DELAY);
        llm.says("The capital of France is Paris.");
        llm.set_first_chunk_delay(ANSWER_DELAY);
        Ok(Self {
            guild: discord.add_guild("Garden"),
            note: std::fs::read(Path::new(ROOT).join("samples/question.ogg"))?.into(),
            discord,
            compared_bot,
            sandbox,
            folder,
        })
    }

    /// The environment variables of both.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let (stt, llm) = (self.sandbox.assemblyai(), self.sandbox.openai());
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let folder = self.folder.path();
        vec![
            ("HOME", text(folder)),
            ("TMPDIR", text(folder)),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("DISCORD_TOKEN", self.discord.token()),
            ("HTTPS_PROXY", self.discord.proxy_url()),
            ("SSL_CERT_FILE", text(&folder.join("authority.pem"))),
            ("ASSEMBLYAI_API_KEY", stt.key()),
            ("ASSEMBLYAI_API_URL", stt.api_url()),
            ("OPENAI_API_KEY", llm.key()),
            ("OPENAI_BASE_URL", llm.url()),
            ("OPENAI_MODEL", "sandbox-1".to_owned()),
        ]
    }

    pub(crate) fn launch(&self) -> BenchResult<ComparedBotProcess> {
        let mut command;
        match self.compared_bot {
            ComparedBot::Talkback | ComparedBot::Prerecorded => {
                command = Command::new(env!("CARGO_BIN_EXE_talkback"));
                command.arg("run").env_clear().envs(self.settings());
                let providers = match self.compared_bot {
                    ComparedBot::Prerecorded => "prerecorded",
                    _ => "sync,prerecorded",
                };
                command
                    .env("SPEECH_PROVIDERS", providers)
                    .env("ASSEMBLYAI_SYNC_URL", self.sandbox.assemblyai().sync_url())
                    .env("TALKBACK_DATA", self.folder.path().join("data"))
                    .env("TALKBACK_LOG", "warn");
            }
            ComparedBot::Python(polls) => {
                let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
                command = Command::new(python);
                // Without other packages that are installed on the machine.
                command
                    .arg("-S")
                    .arg(Path::new(ROOT).join("benches/compare/bot.py"))
                    .env_clear()
                    .envs(self.settings())
                    .env("PYTHONPATH", python_packages_folder()?);
                if let Some(seconds) = polls {
                    command.env("POLL_SECONDS", seconds.to_string());
                }
            }
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(ComparedBotProcess(child))
    }

    /// Launches the bot, and waits until it is connected.
    pub(crate) async fn launch_and_wait(&self) -> BenchResult<ComparedBotProcess> {
        let known = self.discord.identify_and_resume_counts().0;
        let mut bot = self.launch()?;
        let deadline = Instant::now() + WAIT_TIMEOUT;
        while self.discord.identify_and_resume_counts().0 == known {
            if bot.0.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!(
                    "{} does not run: {}",
                    self.compared_bot.name(),
                    self.log_tail()
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(bot)
    }

    /// The end of the bot's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(4_000);
        log.get(from..).unwrap_or_default().to_owned()
    }

    /// When a note's answer was complete.
    pub(crate) fn answered_at(&self, note: &Message) -> Option<Instant> {
        let reply = note.bot_reply()?;
        let whole = reply.text().contains(ANSWER_LAST_WORD)
            && (!self.compared_bot.is_ours() || !reply.buttons().is_empty());
        let at = reply.version_times().last().copied();
        at.filter(|_| whole)
    }

    /// Waits until all these notes have their complete answers.
    pub(crate) async fn wait_until_answered(&self, notes: &[Message]) -> BenchResult<()> {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        for note in notes {
            while self.answered_at(note).is_none() {
                if Instant::now() > deadline {
                    let (compared_bot, log) = (self.compared_bot.name(), self.log_tail());
                    return Err(format!("{compared_bot}: no answer to {}: {log}", note.id()).into());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }
}

/// Where `script/bootstrap` installs the Python packages.
fn python_packages_folder() -> BenchResult<PathBuf> {
    let packages = Path::new(ROOT).join("target/tools/python");
    if packages.join("discord").is_dir() {
        return Ok(packages);
    }
    Err("discord.py is missing; script/bootstrap installs it".into())
}

/// A running bot; killed on drop.
pub(crate) struct ComparedBotProcess(Child);

impl ComparedBotProcess {
    /// The peak resident memory, in MiB.
    pub(crate) fn peak_memory_mib(&self) -> f64 {
        let status = self.read_proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1_024.0
    }

    /// The CPU time used, in ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.read_proc_file("stat");
        // The name before it may contain spaces and parentheses.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || fields.next().and_then(|it| it.parse::<u64>().ok());
        next().unwrap_or(0) + next().unwrap_or(0)
    }

    fn read_proc_file(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap_or_default()
    }
}

impl Drop for ComparedBotProcess {
    fn drop(&mut self) {
        // SIGKILL, which can't be handled.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
