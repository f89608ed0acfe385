//! The simulated Discord and providers, and the bot as a process.

use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use sandbox::{Discord, Guild, Sandbox};
use tempfile::TempDir;

use super::BenchResult;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/question.ogg");

/// A simulated Discord with a guild, and the bot's folder and settings.
pub(crate) struct BotEnvironment {
    pub(crate) sandbox: Sandbox,
    pub(crate) discord: Discord,
    pub(crate) guild: Guild,
    folder: TempDir,
    pub(crate) note: Bytes,
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// A running bot; killed on drop.
pub(crate) struct BotProcess(Child);

impl BotEnvironment {
    pub(crate) async fn new() -> BenchResult<Self> {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        let folder = TempDir::new()?;
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, discord.authority_pem())?;
        let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
        stt.set_transcript("What is the capital of France?");
        llm.says("The capital of France is Paris.");
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let settings = vec![
            ("HOME", text(folder.path())),
            ("TMPDIR", text(folder.path())),
            ("TALKBACK_DATA", text(&folder.path().join("data"))),
            ("DISCORD_TOKEN", discord.token()),
            ("HTTPS_PROXY", discord.proxy_url()),
            ("SSL_CERT_FILE", text(&authority)),
            ("ASSEMBLYAI_API_KEY", stt.key()),
            ("ASSEMBLYAI_SYNC_URL", stt.sync_url()),
            ("ASSEMBLYAI_API_URL", stt.api_url()),
            ("SPEECH_PROVIDERS", "sync".to_owned()),
            ("OPENAI_API_KEY", llm.key()),
            ("OPENAI_BASE_URL", llm.url()),
            ("OPENAI_MODEL", "sandbox-1".to_owned()),
            ("TALKBACK_LOG", "warn".to_owned()),
            // Limits for users are not measured here.
            ("WAITING_PER_MEMBER", "1000".to_owned()),
            ("WAITING_PER_SERVER", "10000".to_owned()),
            ("DAILY_MINUTES", "1000000".to_owned()),
            ("DAILY_MINUTES_PER_MEMBER", "1000000".to_owned()),
            ("DAILY_MINUTES_PER_SERVER", "1000000".to_owned()),
        ];
        let guild = discord.add_guild("Garden");
        Ok(Self {
            sandbox,
            discord,
            guild,
            folder,
            note: std::fs::read(SAMPLE)?.into(),
            settings,
        })
    }

    pub(crate) fn launch(&self) -> BenchResult<BotProcess> {
        let child = Command::new(env!("CARGO_BIN_EXE_talkback"))
            .arg("run")
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(
                std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(self.folder.path().join("log"))?,
            ))
            .spawn()?;
        Ok(BotProcess(child))
    }

    pub(crate) async fn launch_and_wait(&self) -> BenchResult<BotProcess> {
        let bot = self.launch()?;
        self.discord.wait_until_connected(1).await;
        self.discord.wait_for_commands().await;
        Ok(bot)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl BotProcess {
    /// A field of `/proc/PID/status`, in KiB.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.0.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for BotProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
