//! A bot that is not ours, on a library that is not ours: `benches/compare/bot.py` on discord.py
//! with the providers' own packages takes the sandbox for the real thing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use sandbox::{DiscordEndpoint, Fault, Person, Recorded, Sandbox};
use tempfile::TempDir;

use crate::support::QUESTION;

/// Where `script/bootstrap` puts the packages.
const PACKAGES: &str = "target/tools/python";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The packages that the bot needs; none where nobody has brought them.
fn packages() -> Option<PathBuf> {
    let packages = root().join(PACKAGES);
    let here = packages.join("discord").is_dir().then_some(packages);
    let brings = "`script/bootstrap --with-python` brings it";
    sandbox::needs::or_skip(here, "discord.py", brings)
}

/// The bot as a process, and all it talks to.
struct Bot {
    sandbox: Sandbox,
    process: Child,
    folder: TempDir,
}

impl Bot {
    /// None where the packages are missing.
    async fn start(prepare: impl FnOnce(&Sandbox)) -> Option<Self> {
        let packages = packages()?;
        let sandbox = Sandbox::start().await;
        let (stt, llm, discord) = (sandbox.assemblyai(), sandbox.openai(), sandbox.discord());
        stt.hears("What is the capital of France?");
        llm.says("The capital of France is Paris.");
        prepare(&sandbox);
        let folder = TempDir::new().expect("a folder");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, discord.authority_pem()).expect("a file");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let process = Command::new("python3")
            // Without what else is installed here.
            .arg("-S")
            .arg(root().join("benches/compare/bot.py"))
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
        bot.until("it to connect", || bot.sandbox.discord().logins().0 >= 1)
            .await;
        Some(bot)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits for something; if it never comes, shows what the bot had to say.
    async fn until(&self, what: &str, mut there: impl FnMut() -> bool) {
        let waiting = async {
            while !there() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(sandbox::MAX_WAIT, waiting).await;
        assert!(waited.is_ok(), "waited in vain for {what}:\n{}", self.log());
    }

    /// The bot's answer to a note.
    async fn answers(&self, note: &sandbox::Message) -> String {
        self.until("an answer", || note.reply().is_some()).await;
        note.reply().expect("just seen").text()
    }

    fn somebody(&self) -> Person {
        self.sandbox.discord().guild("Garden").member("Ana")
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn note() -> Bytes {
    Bytes::from_static(QUESTION)
}

fn paths(requests: &[Recorded]) -> Vec<String> {
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
        sandbox.assemblyai().polls_before_done(2);
        let guild = sandbox.discord().guild("Garden");
        let channel = guild.channel("general");
        channel.thread("A thread");
        let lounge = guild.voice_channel("Lounge");
        guild.stage_channel("Stage");
        let ana = guild.member("Ana");
        ana.has_role(guild.role("Gardeners"));
        ana.begins_to_join_voice(&lounge);
        made = Some((ana, channel));
    };
    let Some(bot) = Bot::start(prepare).await else {
        return;
    };
    let (ana, channel) = made.expect("prepared");
    let there = || bot.log().contains("is connected to 1 servers");
    bot.until("the bot to know its server", there).await;
    assert!(bot.log().contains("application of owner"), "{}", bot.log());

    for place in [channel.clone(), ana.direct()] {
        let sent = ana.sends_voice_note(&place, note()).await;
        assert_eq!(bot.answers(&sent).await, "The capital of France is Paris.");
        assert_eq!(sent.replies().len(), 1);
        assert!(place.bot_types());
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
    let sent = ana.sends_voice_note(&channel, note()).await;
    bot.answers(&sent).await;
    assert!(text.reply().is_none());
    assert!(!bot.log().contains("Traceback"), "{}", bot.log());
}

#[tokio::test]
async fn discord_py_resumes_and_begins_anew() {
    let Some(bot) = Bot::start(|_| ()).await else {
        return;
    };
    let discord = bot.sandbox.discord();
    let ana = bot.somebody();
    let first = ana.sends_voice_note(&ana.direct(), note()).await;
    bot.answers(&first).await;

    discord.drops_gateway();
    let missed = ana.sends_voice_note(&ana.direct(), note()).await;
    bot.answers(&missed).await;
    assert_eq!(discord.logins(), (1, 1));

    discord.asks_reconnect();
    bot.until("a second resume", || discord.logins() == (1, 2))
        .await;

    discord.invalidates_sessions();
    bot.until("a new session", || discord.logins().0 == 2).await;
    let last = ana.sends_voice_note(&ana.direct(), note()).await;
    bot.answers(&last).await;
    assert_eq!(missed.replies().len(), 1);
}

/// It takes a 429 for Discord's own word, and comes again when it is told to.
#[tokio::test]
async fn discord_py_waits_when_it_is_told_to() {
    let Some(bot) = Bot::start(|_| ()).await else {
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
    discord.fault(DiscordEndpoint::CreateMessage, limited);
    let ana = bot.somebody();
    let sent = ana.sends_voice_note(&ana.direct(), note()).await;
    assert_eq!(bot.answers(&sent).await, "The capital of France is Paris.");
    assert!(
        bot.log().contains("We are being rate limited"),
        "{}",
        bot.log()
    );
}
