//! The bot as a process, and the servers it talks to.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use sandbox::{Channel, Discord, Guild, Sandbox, TestUser};
use tokio::process::{Child, Command};

use crate::requirements;
use crate::support::{CommandOutput, TalkbackCommand, sample_path, sandbox_with_keys};

/// The longest the process may take to do what it is asked for.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// A server with a channel and two people, and a bot that is not started yet.
pub(crate) struct BotFixture {
    pub(crate) sandbox: Sandbox,
    pub(crate) discord: Discord,
    pub(crate) guild: Guild,
    pub(crate) channel: Channel,
    pub(crate) ana: TestUser,
    pub(crate) ben: TestUser,
    talkback: TalkbackCommand,
    launches: usize,
}

/// A running bot. Dropping it kills it.
pub(crate) struct RunningBot {
    child: Child,
    stdout_path: PathBuf,
    stderr_path: PathBuf,
}

/// A recording in `samples/`.
pub(crate) fn sample_bytes(name: &str) -> Bytes {
    std::fs::read(sample_path(name)).expect("a sample").into()
}

/// "What is the capital of France?"
pub(crate) fn question_recording() -> Bytes {
    sample_bytes("question.ogg")
}

impl BotFixture {
    /// Discord's own names lead to the sandbox, as in the world outside.
    pub(crate) async fn new() -> Self {
        let (sandbox, mut talkback) = sandbox_with_keys().await;
        let discord = sandbox.discord();
        let authority = talkback.folder().join("authority.pem");
        std::fs::write(&authority, discord.authority_pem()).expect("written");
        let data = talkback.folder().join("data");
        talkback
            .set("DISCORD_TOKEN", &discord.token())
            .set("HTTPS_PROXY", &discord.proxy_url())
            .set("SSL_CERT_FILE", &authority.to_string_lossy())
            .set("TALKBACK_DATA", &data.to_string_lossy())
            .set("SPEECH_PROVIDERS", "sync");
        sandbox
            .assemblyai()
            .set_transcript("What is the capital of France?");
        sandbox.openai().says("Paris.");
        let guild = discord.add_guild("Garden");
        let channel = guild.add_text_channel("general");
        let (ana, ben) = (guild.add_member("Ana"), guild.add_member("Ben"));
        Self {
            sandbox,
            discord,
            guild,
            channel,
            ana,
            ben,
            talkback,
            launches: 0,
        }
    }

    /// A scene with a bot that is connected.
    pub(crate) async fn new_with_bot() -> (Self, RunningBot) {
        let mut scene = Self::new().await;
        let bot = scene.start().await;
        (scene, bot)
    }

    pub(crate) fn set(&mut self, variable: &str, value: &str) -> &mut Self {
        self.talkback.set(variable, value);
        self
    }

    /// Runs another command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.talkback.run(arguments).await
    }

    /// The folder of the bot's ledger.
    pub(crate) fn data(&self) -> PathBuf {
        self.talkback.folder().join("data")
    }

    /// Starts the bot.
    pub(crate) fn launch(&mut self) -> RunningBot {
        let command = self.talkback.command(&["run"]);
        self.spawn(command)
    }

    fn spawn(&mut self, mut command: Command) -> RunningBot {
        self.launches += 1;
        let file = |name: &str| {
            self.talkback
                .folder()
                .join(format!("{name}-{}", self.launches))
        };
        let (out, err) = (file("out"), file("err"));
        let pipe = |path: &PathBuf| Stdio::from(File::create(path).expect("a file"));
        let child = command
            .stdout(pipe(&out))
            .stderr(pipe(&err))
            .spawn()
            .expect("the program starts");
        RunningBot {
            child,
            stdout_path: out,
            stderr_path: err,
        }
    }

    /// Starts the bot with its ledger on a disk of two megabytes that goes with the process. None
    /// where this machine does not let anybody make one.
    pub(crate) fn launch_on_a_small_disk(&mut self) -> Option<RunningBot> {
        let command = self.on_a_small_disk("run")?;
        Some(self.spawn(command))
    }

    /// A command that finds its ledger's folder on such a disk.
    pub(crate) fn on_a_small_disk(&self, subcommand: &str) -> Option<Command> {
        const MOUNT: &str = "mount -t tmpfs -o size=2m tmpfs \"$TALKBACK_DATA\"";
        std::fs::create_dir_all(self.data()).expect("a folder");
        let alone = requirements::small_disk(MOUNT, &self.data())?;
        let program = env!("CARGO_BIN_EXE_talkback");
        let mut command = self.talkback.command_for_program("unshare", alone);
        command.arg(format!("{MOUNT} && exec {program} {subcommand}"));
        Some(command)
    }

    /// Starts the bot and waits until it is connected.
    pub(crate) async fn start(&mut self) -> RunningBot {
        let mut bot = self.launch();
        bot.wait_for_log("is connected").await;
        // The providers have been tried out too: what a story plans for them is for the story.
        bot.wait_for_log_times("works", 2).await;
        bot
    }

    /// Notes in the channel are answered from now on.
    pub(crate) async fn enable_notes(&self) {
        self.ana.grant_manage_guild();
        let options = serde_json::json!({"on": true});
        let response = self
            .ana
            .run_command(&self.channel, "/settings notes", options)
            .await;
        response
            .wait_for_answer_containing("Voice messages are answered in")
            .await;
    }
}

impl RunningBot {
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout_path).unwrap_or_default()
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr_path).unwrap_or_default()
    }

    /// Waits until these words are on its screen.
    /// Where it shows its status; only with `TALKBACK_HTTP` set.
    pub(crate) fn monitor_url(&self) -> String {
        let log = self.stderr();
        let address = log.split("http://").nth(1);
        let address = address.and_then(|rest| rest.split('/').next());
        address.expect("an address").to_owned()
    }

    pub(crate) async fn wait_for_log(&mut self, words: &str) {
        self.wait_for_log_times(words, 1).await;
    }

    /// The same until they are there so many times.
    pub(crate) async fn wait_for_log_times(&mut self, words: &str, times: usize) {
        let waiting = async {
            // Its screen is a file, which tells nobody that it grows.
            while (self.stdout() + &self.stderr()).matches(words).count() < times {
                if let Ok(Some(status)) = self.child.try_wait() {
                    panic!(
                        "it ended with {status}:\n{}\n{}",
                        self.stdout(),
                        self.stderr()
                    );
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(EXIT_TIMEOUT, waiting).await.is_err() {
            panic!(
                "it never says “{words}”:\n{}\n{}",
                self.stdout(),
                self.stderr()
            );
        }
    }

    /// Its own view of a file: it may have disks that nobody else sees.
    pub(crate) fn data_file(&self, path: &std::path::Path) -> PathBuf {
        let pid = self.child.id().expect("it runs");
        PathBuf::from(format!("/proc/{pid}/root{}", path.display()))
    }

    /// How long its threads have run, all together.
    pub(crate) fn cpu_time(&self) -> Duration {
        const TICKS: u64 = 100;
        let pid = self.child.id().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS)
    }

    /// SIGTERM, as a service manager sends it.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").arg(pid).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Waits for its end and returns the exit code.
    pub(crate) async fn wait_for_exit(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(EXIT_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(status) => status.expect("it ends").code(),
            Err(_) => panic!("it does not end:\n{}\n{}", self.stdout(), self.stderr()),
        }
    }

    /// SIGKILL: no last words.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it ran");
    }
}
