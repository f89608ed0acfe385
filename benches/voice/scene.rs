//! A guild with users and a voice channel, and the bot as a process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Channel, Discord, Message, Sandbox, TestUser};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Outcome;
use super::process::Process;
use super::speech_samples::sample_packets;

/// The time limit for anything to happen.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Names of the first users; the others have numbers.
const NAMES: [&str; 5] = ["Ana", "Ben", "Cy", "Dora", "Eli"];

/// Packets of silence that follow speech, 20 ms each.
pub(crate) const TRAILING_SILENCE_PACKETS: usize = 5;

/// The time from the call of `start_speaking_packets` to the first packet.
const SPEAK_LEAD_TIME: Duration = Duration::from_millis(40);

const PACKET_DURATION: Duration = Duration::from_millis(20);

/// A guild with a voice channel, users, and a running bot that is killed on drop.
pub(crate) struct BotScene {
    pub(crate) sandbox: Sandbox,
    pub(crate) discord: Discord,
    pub(crate) text_channel: Channel,
    pub(crate) voice_channel: Channel,
    pub(crate) people: Vec<TestUser>,
    folder: TempDir,
    bot: Child,
    /// How many sessions have ended.
    ended_sessions: usize,
}

/// What the bot's transcript says about one speaker.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpeakerTotals {
    pub(crate) decoded: Duration,
    pub(crate) lost: Duration,
    pub(crate) late: u64,
    pub(crate) delay_median: Duration,
    /// The speaker's lines, joined.
    pub(crate) words: String,
}

impl SpeakerTotals {
    /// The decoded time as packets of 20 ms.
    pub(crate) fn decoded_sample_packets(&self) -> usize {
        usize::try_from(self.decoded.as_millis() / PACKET_DURATION.as_millis()).unwrap_or(0)
    }
}

/// The `transcript.json` of a session.
pub(crate) struct BenchTranscript {
    document: Value,
}

impl BenchTranscript {
    /// How long the bot could not receive anything, according to the transcript.
    pub(crate) fn interrupted_time(&self) -> Duration {
        duration_of(&self.document["deaf_ms"])
    }

    pub(crate) fn speaker(&self, name: &str) -> SpeakerTotals {
        let list = |key: &str| self.document[key].as_array().into_iter().flatten();
        let words: Vec<&str> = list("lines")
            .filter(|line| line["speaker"] == name && line["kind"] == "speech")
            .filter_map(|line| line["text"].as_str())
            .collect();
        let words = words.join(" ");
        let Some(speaker) = list("speakers").find(|it| it["name"] == name) else {
            return SpeakerTotals {
                words,
                ..SpeakerTotals::default()
            };
        };
        SpeakerTotals {
            decoded: duration_of(&speaker["heard_ms"]),
            lost: duration_of(&speaker["lost_ms"]),
            late: speaker["late_packets"].as_u64().unwrap_or(0),
            delay_median: duration_of(&speaker["delay_median_ms"]),
            words,
        }
    }
}

fn duration_of(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().unwrap_or(0))
}

pub(crate) fn person_name(number: usize) -> String {
    let name = NAMES.get(number).map(|name| (*name).to_owned());
    name.unwrap_or_else(|| format!("Person {number}"))
}

/// The packets of a sample without the quiet ones at its end, so that the last packet is the end of
/// speech.
pub(crate) fn trimmed_sample_packets(name: &str) -> Outcome<Vec<Bytes>> {
    let mut packets = sample_packets(name)?;
    let mut decoder = opus2::Decoder::new(16_000, opus2::Channels::Mono)?;
    let mut block = [0.0_f32; 1_920];
    let mut energies = Vec::new();
    for packet in &packets {
        let length = decoder.decode_float(packet, &mut block, false)?;
        let samples = block.iter().take(length);
        energies.push(samples.map(|it| it * it).sum::<f32>());
    }
    let loudest = energies.iter().copied().fold(0.0, f32::max);
    let last = energies.iter().rposition(|it| *it >= loudest / 300.0);
    packets.truncate(last.map_or(0, |last| last + 1));
    Ok(packets)
}

impl BotScene {
    /// Starts the bot with this many users, none of them in the call yet. All are recorded unless
    /// they decline.
    pub(crate) async fn new(people: usize, extra_settings: &[(&str, String)]) -> Outcome<Self> {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        discord.disable_rate_limits();
        let folder = TempDir::new()?;
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, discord.authority_pem())?;
        let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
        stt.set_transcript("I will write the notes.");
        llm.says("On Thursday.");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut settings = vec![
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
            ("TALKBACK_LOG", "info".to_owned()),
            ("TALKBACK_HTTP", "127.0.0.1:0".to_owned()),
            ("COOLDOWN_SECONDS", "0".to_owned()),
            ("DAILY_MINUTES", "1000000".to_owned()),
            ("DAILY_MINUTES_PER_MEMBER", "1000000".to_owned()),
            ("DAILY_MINUTES_PER_SERVER", "1000000".to_owned()),
        ];
        for (name, value) in extra_settings {
            settings.retain(|(known, _)| known != name);
            settings.push((name, value.clone()));
        }
        let guild = discord.add_guild("Garden");
        let channel = guild.add_text_channel("general");
        let voice_channel = guild.add_voice_channel("Lounge");
        let people: Vec<TestUser> = (0..people)
            .map(|it| guild.add_member(&person_name(it)))
            .collect();
        let bot = Command::new(env!("CARGO_BIN_EXE_talkback"))
            .arg("run")
            .current_dir(folder.path())
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log"))?)
            .spawn()?;
        let this = Self {
            sandbox,
            discord,
            text_channel: channel,
            voice_channel,
            people,
            folder,
            bot,
            ended_sessions: 0,
        };
        this.discord.wait_until_connected(1).await;
        this.discord.wait_for_commands().await;
        let ana = this.ana();
        ana.grant_manage_guild();
        let consent = json!({"consent": "notice"});
        let settings = ana
            .run_command(&this.text_channel, "/settings voice", consent)
            .await;
        settings
            .wait_for_answer_containing("everyone except people who have declined")
            .await;
        Ok(this)
    }

    pub(crate) fn ana(&self) -> &TestUser {
        &self.people[0]
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.bot.id())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// These users join the voice channel.
    pub(crate) async fn join_voice(&self, people: std::ops::Range<usize>) {
        for person in &self.people[people] {
            person.join_voice(&self.voice_channel).await;
        }
    }

    /// Ana calls the bot into the channel. Does not wait until it can receive everybody.
    pub(crate) async fn summon_bot(&self) {
        let command = self
            .ana()
            .run_command(&self.text_channel, "/join", json!({}))
            .await;
        command.wait_for_answer_containing("I'm in").await;
    }

    /// Ana calls the bot, and this waits until it can receive everybody.
    pub(crate) async fn start_session(&self) {
        self.summon_bot().await;
        self.discord
            .wait_until_bot_receiving(&self.voice_channel)
            .await;
    }

    /// Ana ends the session.
    pub(crate) async fn end_session(&mut self) -> Outcome<BenchTranscript> {
        let command = self
            .ana()
            .run_command(&self.text_channel, "/leave", json!({}))
            .await;
        command.wait_for_answer_containing("I've left").await;
        let deadline = Instant::now() + WAIT_TIMEOUT;
        // A long summary takes several messages; the files are attached to the last one.
        let document = loop {
            let all = self.text_channel.messages();
            let has_ended = |it: &&Message| it.text().contains("The session is over");
            if let Some(ended) = all.iter().filter(has_ended).nth(self.ended_sessions) {
                if ended.text().contains("Nothing has been written down") {
                    break Value::Null;
                }
                let later = all.iter().skip_while(|it| it.id() != ended.id());
                let mut files = later.flat_map(Message::attachments);
                if let Some((_, file)) = files.find(|(name, _)| name == "transcript.json") {
                    break serde_json::from_slice(&file)?;
                }
            }
            if Instant::now() > deadline {
                return Err(format!("the session does not end:\n{}", self.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.ended_sessions += 1;
        self.discord.wait_until_bot_left_call().await;
        Ok(BenchTranscript { document })
    }

    /// The sum of the bot's Prometheus metrics with this name; 0 if there is none.
    pub(crate) async fn scrape_metric(&self, name: &str) -> Outcome<f64> {
        let log = self.log();
        let address = log
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split("/healthz").next())
            .ok_or("no address of the metrics")?;
        let url = format!("http://{address}/metrics");
        let text = reqwest::get(url).await?.text().await?;
        let lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        });
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }
}

impl Drop for BotScene {
    fn drop(&mut self) {
        let _ = self.bot.kill();
        let _ = self.bot.wait();
    }
}

/// A user speaks. Returns when the last packet was due to be sent.
pub(crate) async fn say(person: &TestUser, packets: Vec<Bytes>) -> Instant {
    let count = u32::try_from(packets.len()).unwrap_or(u32::MAX);
    let started = Instant::now();
    let speech = person.start_speaking_packets(packets);
    let last = started + SPEAK_LEAD_TIME + PACKET_DURATION * count.saturating_sub(1);
    speech.wait_until_sent().await;
    last
}

/// When a version of the message with these words was first visible.
pub(crate) fn first_shown(message: &Message, words: &str) -> Option<Instant> {
    let mut versions = message.versions().into_iter().zip(message.version_times());
    versions.find_map(|(text, at)| text.contains(words).then_some(at))
}
