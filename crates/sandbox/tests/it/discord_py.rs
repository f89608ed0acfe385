//! A bot that is not ours, on a library that is not ours: `benches/compare/bot.py` on discord.py
//! with the providers' own packages takes the sandbox for the real thing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use sandbox::{DiscordEndpoint, Fault, RecordedRequest, Sandbox, TestUser};
use tempfile::TempDir;

use crate::support::QUESTION;

/// Where `script/bootstrap` puts the packages.
const PACKAGES: &str = "target/tools/python";

fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The packages that the bot needs; none where nobody has brought them.
fn packages() -> Option<PathBuf> {
    let packages = repository_root().join(PACKAGES);
    let here = packages.join("discord").is_dir().then_some(packages);
    let brings = "`script/bootstrap --with-python` brings it";
    sandbox::requirements::or_skip(here, "discord.py", brings)
}

/// The bot as a process, and all it talks to.
struct DiscordPyBot {
    sandbox: Sandbox,
    process: Child,
    folder: TempDir,
}

impl DiscordPyBot {
    /// None where the packages are missing.
    async fn start(prepare: impl FnOnce(&Sandbox)) -> Option<Self> {
        let packages = packages()?;
        let sandbox = Sandbox::start().await;
        let (stt, llm, discord) = (sandbox.assemblyai(), sandbox.openai(), sandbox.discord());
        stt.set_transcript("What is the capital of France?");
        llm.says("The capital of France is Paris.");
        prepare(&sandbox);
        let folder = TempDir::new().expect("a folder");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, discord.authority_pem()).expect("a file");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let process = Command::new("python3")
            // Without what else is installed here.
            .arg("-S")
            .arg(repository_root().join("benches/compare/bot.py"))
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| matches!(&**name, "PATH" | "HOME")))
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DISCORD_TOKEN", discord.token())
            .env("HTTPS_PROXY", discord.proxy_url())
            .env("SSL_CERT_FILE", authority)
            .env("ASSEMBLYAI_API_KEY", stt.key())
            .env("ASSEMBLYAI_API_URL", stt.api_url())
            .env("POLL_SECONDS", "0.02")
            .env("OPENAI_API_KEY", llm.key())
            .env("OPENAI_BASE_URL", llm.url())
            .env("OPENAI_MODEL", "sandbox-1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("python3");
        let bot = Self {
            sandbox,
            process,
            folder,
        };
        bot.wait_until("it to connect", || {
            bot.sandbox.discord().identify_and_resume_counts().0 >= 1
        })
        .await;
        Some(bot)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits for something; if it never comes, shows what the bot had to say.
    async fn wait_until(&self, what: &str, mut there: impl FnMut() -> bool) {
        let waiting = async {
            while !there() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(sandbox::MAX_WAIT, waiting).await;
        assert!(waited.is_ok(), "waited in vain for {what}:\n{}", self.log());
    }

    /// The bot's answer to a note.
    async fn wait_for_answer(&self, note: &sandbox::Message) -> String {
        self.wait_until("an answer", || note.bot_reply().is_some())
            .await;
        note.bot_reply().expect("just seen").text()
    }

    fn add_user(&self) -> TestUser {
        self.sandbox.discord().add_guild("Garden").add_member("Ana")
    }
}

impl Drop for DiscordPyBot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn voice_message() -> Bytes {
    Bytes::from_static(QUESTION)
}

fn paths(requests: &[RecordedRequest]) -> Vec<String> {
    let to_providers = requests.iter().filter(|it| !it.path.starts_with("/api/"));
    let mut paths: Vec<String> = to_providers
        .map(|it| {
            let mut words = it.path.split('/').skip(1).take(2);
            let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            match first {
                "attachments" => "the file".to_owned(),
                _ => format!("{} {second}", it.method),
            }
        })
        .collect();
    // How often it asks whether the transcript is there is a matter of time.
    paths.dedup();
    paths
}

/// The whole way: login through the gateway's own name and compressed, the application's owner,
/// the server with its channels, a file from the content network, and a reply.
#[tokio::test]
async fn a_bot_on_discord_py_answers_a_voice_message() {
    let mut made = None;
    let prepare = |sandbox: &Sandbox| {
        sandbox.assemblyai().set_polls_before_done(2);
        let guild = sandbox.discord().add_guild("Garden");
        let channel = guild.add_text_channel("general");
        channel.add_thread("A thread");
        let lounge = guild.add_voice_channel("Lounge");
        guild.add_stage_channel("Stage");
        let ana = guild.add_member("Ana");
        ana.assign_role(guild.add_role("Gardeners"));
        ana.start_joining_voice(&lounge);
        made = Some((ana, channel));
    };
    let Some(bot) = DiscordPyBot::start(prepare).await else {
        return;
    };
    let (ana, channel) = made.expect("prepared");
    let there = || bot.log().contains("is connected to 1 servers");
    bot.wait_until("the bot to know its server", there).await;
    assert!(bot.log().contains("application of owner"), "{}", bot.log());

    for place in [channel.clone(), ana.dm_channel()] {
        let sent = ana.send_voice_message(&place, voice_message()).await;
        assert_eq!(
            bot.wait_for_answer(&sent).await,
            "The capital of France is Paris."
        );
        assert_eq!(sent.bot_replies().len(), 1);
        assert!(place.is_bot_typing());
    }
    let paths = paths(&bot.sandbox.requests());
    let once = [
        "the file",
        "POST upload",
        "POST transcript",
        "GET transcript",
        "POST chat",
    ];
    assert_eq!(paths, [once, once].concat());
    // What else is said is not meant for it.
    let text = ana.says(&channel, "Hello there").await;
    let sent = ana.send_voice_message(&channel, voice_message()).await;
    bot.wait_for_answer(&sent).await;
    assert!(text.bot_reply().is_none());
    assert!(!bot.log().contains("Traceback"), "{}", bot.log());
}

#[tokio::test]
async fn discord_py_resumes_and_begins_anew() {
    let Some(bot) = DiscordPyBot::start(|_| ()).await else {
        return;
    };
    let discord = bot.sandbox.discord();
    let ana = bot.add_user();
    let first = ana
        .send_voice_message(&ana.dm_channel(), voice_message())
        .await;
    bot.wait_for_answer(&first).await;

    discord.drop_gateway_connections();
    let missed = ana
        .send_voice_message(&ana.dm_channel(), voice_message())
        .await;
    bot.wait_for_answer(&missed).await;
    assert_eq!(discord.identify_and_resume_counts(), (1, 1));

    discord.request_reconnect();
    bot.wait_until("a second resume", || {
        discord.identify_and_resume_counts() == (1, 2)
    })
    .await;

    discord.invalidate_sessions();
    bot.wait_until("a new session", || {
        discord.identify_and_resume_counts().0 == 2
    })
    .await;
    let last = ana
        .send_voice_message(&ana.dm_channel(), voice_message())
        .await;
    bot.wait_for_answer(&last).await;
    assert_eq!(missed.bot_replies().len(), 1);
}

/// It takes a 429 for Discord's own word, and comes again when it is told to.
#[tokio::test]
async fn discord_py_waits_when_it_is_told_to() {
    let Some(bot) = DiscordPyBot::start(|_| ()).await else {
        return;
    };
    let discord = bot.sandbox.discord();
    let limited = Fault::status(429)
        // Discord's own word, not that of whoever stands before it.
        .header("Via", "1.1 google")
        .header("X-RateLimit-Scope", "user")
        .body(
            "application/json",
            r#"{"message": "You are being rate limited.", "retry_after": 0.2, "global": false}"#,
        );
    discord.add_fault(DiscordEndpoint::CreateMessage, limited);
    let ana = bot.add_user();
    let sent = ana
        .send_voice_message(&ana.dm_channel(), voice_message())
        .await;
    assert_eq!(
        bot.wait_for_answer(&sent).await,
        "The capital of France is Paris."
    );
    assert!(
        bot.log().contains("We are being rate limited"),
        "{}",
        bot.log()
    );
}
