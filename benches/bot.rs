//! The whole bot as a process, with a simulated Discord and providers that answer at once.
//!
//! ```text
//! cargo bench --bench bot -- latency [--rounds N]   from a voice message to its reply, and bare exchanges
//! cargo bench --bench bot -- crowd                  1,000 voice messages from 100 users at once
//! cargo bench --bench bot -- idle                   memory with 1 and 2,500 guilds, start to READY
//! cargo bench --bench bot -- kills [--rounds N]     kill -9 while voice messages keep coming
//! ```
//!
//! Without a name the first three run. A "note" is a voice message. `crowd` and `kills` fail if a note is lost,
//! answered twice or left half-finished; a release must pass both (`-- crowd kills`).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Channel, Discord, Guild, Message, Sandbox, TestUser};
use tempfile::TempDir;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/question.ogg");

/// The time limit for anything to happen.
const WAIT_TIMEOUT: Duration = Duration::from_secs(90);

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> BenchResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let rounds = arguments
        .iter()
        .position(|it| it == "--rounds")
        .and_then(|at| arguments.get(at + 1))
        .map(|number| number.parse::<usize>())
        .transpose()?;
    let all = !["latency", "crowd", "idle", "kills"]
        .iter()
        .any(|it| has(it));
    if all || has("latency") {
        latency(rounds.unwrap_or(200)).await?;
    }
    if all || has("crowd") {
        crowd().await?;
    }
    if all || has("idle") {
        idle(0).await?;
        idle(2_499).await?;
    }
    if has("kills") {
        kills(rounds.unwrap_or(100)).await?;
    }
    Ok(())
}

/// A simulated Discord with a guild, and the bot's folder and settings.
struct BotEnvironment {
    sandbox: Sandbox,
    discord: Discord,
    guild: Guild,
    folder: TempDir,
    note: Bytes,
    settings: Vec<(&'static str, String)>,
}

/// A running bot; killed on drop.
struct BotProcess(Child);

impl BotEnvironment {
    async fn new() -> BenchResult<Self> {
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

    fn launch(&self) -> BenchResult<BotProcess> {
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

    async fn launch_and_wait(&self) -> BenchResult<BotProcess> {
        let bot = self.launch()?;
        self.discord.wait_until_connected(1).await;
        self.discord.wait_for_commands().await;
        Ok(bot)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl BotProcess {
    /// A field of `/proc/PID/status`, in KiB.
    fn memory_kib(&self, field: &str) -> u64 {
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

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn as_millis_f64(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The time from a note to its first visible message, and to its complete answer.
async fn latency(rounds: usize) -> BenchResult<()> {
    let mut environment = BotEnvironment::new().await?;
    environment
        .settings
        .push(("TALKBACK_HTTP", "127.0.0.1:0".to_owned()));
    environment
        .settings
        .push(("TALKBACK_LOG", "off".to_owned()));
    environment.discord.disable_rate_limits();
    let _bot = environment.launch_and_wait().await?;
    let ana = environment.guild.add_member("Ana");
    let channel = ana.dm_channel();
    let (mut first, mut complete) = (Vec::new(), Vec::new());
    for round in 0..rounds + 5 {
        // The bot sends at most 40 requests per second; a round makes two.
        tokio::time::sleep(Duration::from_millis(80)).await;
        let note = ana
            .send_voice_message(&channel, environment.note.clone())
            .await;
        let reply = ana.wait_for_reply(&note).await;
        reply.wait_until_done().await;
        let (sent, times) = (note.version_times(), reply.version_times());
        // The first rounds open connections.
        if let (Some(sent), Some(shown), Some(done)) = (sent.first(), times.first(), times.last())
            && round >= 5
        {
            first.push(*shown - *sent);
            complete.push(*done - *sent);
        }
    }
    let bare = measure_bare_exchanges(&environment, rounds).await?;
    let exchanges: Duration = bare.iter().map(|(_, time)| *time).sum();
    let create = bare.first().map_or(Duration::ZERO, |(_, time)| *time);
    let (first, complete) = (median(&mut first), median(&mut complete));
    println!("A note to its reply, medians of {rounds}:");
    println!("  first visible message  {:6.2} ms", as_millis_f64(first));
    println!(
        "    of it one exchange   {:6.2} ms (bare)",
        as_millis_f64(create)
    );
    println!(
        "    over it              {:6.2} ms",
        as_millis_f64(first.saturating_sub(create))
    );
    println!(
        "  complete answer        {:6.2} ms",
        as_millis_f64(complete)
    );
    println!(
        "    of it all exchanges  {:6.2} ms (bare)",
        as_millis_f64(exchanges)
    );
    println!(
        "    over them            {:6.2} ms",
        as_millis_f64(complete.saturating_sub(exchanges))
    );
    for (name, time) in &bare {
        println!(
            "  bare exchange: {name:<20} {:6.2} ms",
            as_millis_f64(*time)
        );
    }
    stages(&environment).await?;
    Ok(())
}

/// The bot's HTTP exchanges by themselves, over open connections.
async fn measure_bare_exchanges(
    environment: &BotEnvironment,
    rounds: usize,
) -> BenchResult<Vec<(&'static str, Duration)>> {
    let authority = reqwest::Certificate::from_pem(environment.discord.authority_pem().as_bytes())?;
    let discord = reqwest::Client::builder()
        .proxy(reqwest::Proxy::https(environment.discord.proxy_url())?)
        .add_root_certificate(authority)
        .build()?;
    let plain = reqwest::Client::new();
    let ana = environment.guild.add_member("Bare");
    let channel = ana.dm_channel();
    let token = format!("Bot {}", environment.discord.token());
    let api = format!(
        "https://discord.com/api/v10/channels/{}/messages",
        channel.id()
    );
    let requests = environment.sandbox.requests();
    let heard = requests.iter().rfind(|it| it.path.ends_with("/transcribe"));
    let heard = heard.ok_or("no request to the speech provider")?.clone();
    let asked = requests
        .iter()
        .rfind(|it| it.path.ends_with("/chat/completions"));
    let asked = asked.ok_or("no request to the model")?.clone();
    let file = requests
        .iter()
        .rfind(|it| it.path.starts_with("/attachments/"));
    let file = file.ok_or("no download")?.clone();
    let mut times = vec![Vec::new(); 5];
    for _ in 0..rounds + 5 {
        let started = Instant::now();
        let message: serde_json::Value = discord
            .post(&api)
            .header("authorization", &token)
            .json(&serde_json::json!({"content": "-# Listening to 4 s…"}))
            .send()
            .await?
            .json()
            .await?;
        times[0].push(started.elapsed());

        let started = Instant::now();
        let url = format!("https://cdn.discordapp.com{}?{}", file.path, file.query);
        discord
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        times[1].push(started.elapsed());

        let started = Instant::now();
        let url = environment.sandbox.assemblyai().sync_url();
        let url = format!(
            "{}{}",
            url.trim_end_matches(heard.path.as_str()),
            heard.path
        );
        let mut request = plain.post(url).body(heard.body.clone());
        for name in ["authorization", "content-type", "x-aai-model"] {
            if let Some(value) = heard.header(name) {
                request = request.header(name, value);
            }
        }
        request.send().await?.bytes().await?;
        times[2].push(started.elapsed());

        let started = Instant::now();
        let url = format!("{}/chat/completions", environment.sandbox.openai().url());
        let key = asked.header("authorization").unwrap_or_default().to_owned();
        plain
            .post(url)
            .header("authorization", key)
            .header("content-type", "application/json")
            .body(asked.body.clone())
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        times[3].push(started.elapsed());

        let started = Instant::now();
        let id = message["id"].as_str().unwrap_or_default();
        discord
            .patch(format!("{api}/{id}"))
            .header("authorization", &token)
            .json(&serde_json::json!({"content": "The capital of France is Paris."}))
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        times[4].push(started.elapsed());
    }
    let names = [
        "create the message",
        "fetch the file",
        "speech to text",
        "answer",
        "edit the message",
    ];
    Ok(names
        .into_iter()
        .zip(times)
        .map(|(name, mut times)| (name, median(&mut times.split_off(5))))
        .collect())
}

/// The time per stage, from the bot's own metrics.
async fn stages(environment: &BotEnvironment) -> BenchResult<()> {
    let log = environment.log();
    let address = log
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split("/healthz").next())
        .ok_or("no address of the metrics")?;
    let text = reqwest::get(format!("http://{address}/metrics"))
        .await?
        .text()
        .await?;
    for stage in ["hear", "answer", "deliver"] {
        let value = |name: &str| {
            let label = format!("talkback_stage_seconds_{name}{{stage=\"{stage}\"}}");
            let line = text.lines().find(|line| line.starts_with(&label));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        if let (Some(sum), Some(count)) = (value("sum"), value("count")) {
            println!("  stage {stage:<8} {:6.2} ms (mean)", sum / count * 1_000.0);
        }
    }
    Ok(())
}

/// 100 users send ten notes each at once, with Discord's rate limits.
async fn crowd() -> BenchResult<()> {
    let environment = BotEnvironment::new().await?;
    let bot = environment.launch_and_wait().await?;
    let people: Vec<(TestUser, Channel)> = (0..100)
        .map(|number| environment.guild.add_member(&format!("Person {number}")))
        .map(|person| {
            let channel = person.dm_channel();
            (person, channel)
        })
        .collect();
    let idle = bot.memory_kib("VmRSS");
    let started = Instant::now();
    let mut notes = Vec::new();
    for _ in 0..10 {
        for (person, channel) in &people {
            notes.push(
                person
                    .send_voice_message(channel, environment.note.clone())
                    .await,
            );
        }
    }
    let half = wait_until_answered(&notes, 500).await?;
    let half_memory = bot.memory_kib("VmRSS");
    let all = wait_until_answered(&notes, notes.len()).await;
    println!("1,000 notes from 100 people at once:");
    println!("  {}", NoteOutcomes::from_notes(&notes));
    let all = all?;
    check_answered_exactly_once(&notes)?;
    println!(
        "  half after             {:6.1} s",
        (half - started).as_secs_f64()
    );
    println!(
        "  all after              {:6.1} s",
        (all - started).as_secs_f64()
    );
    println!(
        "  floor                  {:6.1} s (two requests a note, 50 a second)",
        40.0
    );
    println!(
        "  refused for coming too soon: {}",
        environment.discord.rate_limited_requests()
    );
    println!(
        "  memory: {:.1} MiB before, {:.1} MiB at half, {:.1} MiB at the end, {:.1} MiB at most",
        kib_to_mib(idle),
        kib_to_mib(half_memory),
        kib_to_mib(bot.memory_kib("VmRSS")),
        kib_to_mib(bot.memory_kib("VmHWM"))
    );
    Ok(())
}

fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

fn is_answered_completely(note: &Message) -> bool {
    note.bot_reply()
        .is_some_and(|reply| reply.text().contains("Paris.") && !reply.buttons().is_empty())
}

async fn wait_until_answered(notes: &[Message], count: usize) -> BenchResult<Instant> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let mut seen = 0;
    loop {
        while seen < notes.len() && is_answered_completely(&notes[seen]) {
            seen += 1;
        }
        let answered = seen
            + notes[seen..]
                .iter()
                .filter(|note| is_answered_completely(note))
                .count();
        if answered >= count {
            return Ok(Instant::now());
        }
        if Instant::now() > deadline {
            return Err(format!("{answered} of {count} answered in {WAIT_TIMEOUT:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many notes were lost, answered twice or left half-finished.
struct NoteOutcomes {
    notes: usize,
    lost: usize,
    answered_twice: usize,
    half_finished: usize,
}

impl NoteOutcomes {
    fn from_notes(notes: &[Message]) -> Self {
        let count = |fits: fn(&&Message) -> bool| notes.iter().filter(fits).count();
        Self {
            notes: notes.len(),
            lost: count(|note| note.bot_replies().is_empty()),
            answered_twice: count(|note| note.bot_replies().len() > 1),
            half_finished: count(|note| {
                !note.bot_replies().is_empty() && !is_answered_completely(note)
            }),
        }
    }
}

impl std::fmt::Display for NoteOutcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} notes: {} lost, {} doubled, {} left half-finished",
            self.notes, self.lost, self.answered_twice, self.half_finished
        )
    }
}

/// Fails unless each note has exactly one reply, and a complete one.
fn check_answered_exactly_once(notes: &[Message]) -> BenchResult<()> {
    for note in notes {
        let replies = note.bot_replies();
        if replies.len() != 1 || !is_answered_completely(note) {
            let texts: Vec<_> = replies.iter().map(Message::text).collect();
            return Err(format!("note {} has the replies {texts:?}", note.id()).into());
        }
    }
    Ok(())
}

/// Memory of an idle bot in `more` + 1 guilds.
async fn idle(more: usize) -> BenchResult<()> {
    let environment = BotEnvironment::new().await?;
    environment.discord.add_guilds(more);
    environment.guild.add_text_channel("general");
    let started = Instant::now();
    let bot = environment.launch_and_wait().await?;
    let ready = started.elapsed();
    // Once a note is answered, the bot has received all guilds.
    let ana = environment.guild.add_member("Ana");
    let note = ana
        .send_voice_message(&ana.dm_channel(), environment.note.clone())
        .await;
    ana.wait_for_reply(&note).await.wait_until_done().await;
    println!(
        "{} servers: {:.1} MiB, at most {:.1} MiB; start to READY and commands {:.0} ms",
        more + 1,
        kib_to_mib(bot.memory_kib("VmRSS")),
        kib_to_mib(bot.memory_kib("VmHWM")),
        as_millis_f64(ready)
    );
    Ok(())
}

/// Notes keep coming, as direct messages and in a channel, while the bot is killed at random moments.
async fn kills(rounds: usize) -> BenchResult<()> {
    let environment = BotEnvironment::new().await?;
    environment.discord.disable_rate_limits();
    environment
        .sandbox
        .openai()
        .set_chunk_delay(Duration::from_millis(15));
    let channel = environment.guild.add_text_channel("general");
    let ana = environment.guild.add_member("Ana");
    ana.grant_manage_guild();
    let people: Vec<TestUser> = (0..10)
        .map(|number| environment.guild.add_member(&format!("Person {number}")))
        .collect();
    let mut bot = environment.launch_and_wait().await?;
    let on = serde_json::json!({"on": true});
    let settings = ana.run_command(&channel, "/settings notes", on).await;
    settings
        .wait_for_answer_containing("Voice messages are answered in")
        .await;
    let mut notes = Vec::new();
    for person in &people {
        // The ledger has to know these users, so that the bot catches up with their direct messages.
        notes.push(
            person
                .send_voice_message(&person.dm_channel(), environment.note.clone())
                .await,
        );
    }
    wait_until_answered(&notes, notes.len()).await?;
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next_below = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let started = Instant::now();
    for round in 0..rounds {
        let uptime = Duration::from_millis(next_below(900));
        let end = Instant::now() + uptime;
        while Instant::now() < end {
            let person = &people[next_below(10) as usize];
            let direct = person.dm_channel();
            let to = if next_below(2) == 0 {
                &direct
            } else {
                &channel
            };
            notes.push(
                person
                    .send_voice_message(to, environment.note.clone())
                    .await,
            );
            tokio::time::sleep(Duration::from_millis(40 + next_below(120))).await;
        }
        drop(bot);
        bot = environment.launch()?;
        if round % 10 == 9 {
            eprintln!("{} kills, {} notes", round + 1, notes.len());
        }
    }
    let answered = wait_until_answered(&notes, notes.len()).await;
    println!(
        "{rounds} kills in {:.0} s, {}",
        started.elapsed().as_secs_f64(),
        NoteOutcomes::from_notes(&notes)
    );
    for note in notes.iter().filter(|note| !is_answered_completely(note)) {
        let replies: Vec<_> = note.bot_replies().iter().map(Message::text).collect();
        println!("  {}: {replies:?}", note.id());
    }
    if answered.is_err() {
        let log = environment.log();
        let tail = log.len().saturating_sub(4_000);
        println!("{}", log.get(tail..).unwrap_or_default());
    }
    answered?;
    check_answered_exactly_once(&notes)?;
    let direct: usize = people
        .iter()
        .map(|it| it.dm_channel().bot_messages().len())
        .sum();
    let all = direct + channel.bot_messages().len();
    if all != notes.len() {
        return Err(format!("{all} messages for {} notes", notes.len()).into());
    }
    Ok(())
}
