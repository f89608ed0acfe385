//! What only the bot needs to know.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::web::demand_token;
use crate::flow::queue::QueueLimits;
use crate::flow::rules::{Caps, Prices, Rules};
use crate::speech::assemblyai::models::PRICE_STREAMING;

/// The longest time anything is kept: ten years.
const MAX_RETENTION_DAYS: u64 = 3_650;

/// The bot's own settings.
#[derive(Debug)]
pub struct Bot {
    /// The bot's token; none: only the command line works.
    pub token: Option<SecretString>,
    /// Stands between the bot and Discord's REST API, and does the rate limiting.
    pub proxy: Option<Url>,
    /// The folder of the ledger.
    pub data: PathBuf,
    /// What stored text is encrypted with; none: a file beside the ledger.
    pub key: Option<SecretString>,
    /// Where metrics and health are shown; none: nowhere.
    pub http: Option<SocketAddr>,
    /// How long stored text is kept.
    pub retention: Duration,
    /// How far back missed notes are looked for.
    pub catch_up: Duration,
    /// What members may ask for.
    pub rules: Rules,
    /// How much may wait and run.
    pub queue: QueueLimits,
    /// How voice sessions are held.
    pub voice: Voice,
}

/// How voice sessions are held.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// A pause this long ends an utterance.
    pub end_silence: Duration,
    /// The longest session.
    pub longest: Duration,
    /// How long the bot stays when nobody else is there.
    pub alone: Duration,
    /// What hears calls.
    pub driver: VoiceDriver,
}

/// What hears calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum VoiceDriver {
    /// Our own receiver.
    #[default]
    Talkback,
    /// songbird's driver.
    Songbird,
}

/// Jobs that wait in the whole process. Each is a number in memory; the rest is on disk.
const MAX_WAITING: usize = 100_000;

pub(super) fn bot(reader: &mut Reader<'_>, speech_hour: u64) -> Bot {
    let address = reader.address("TALKBACK_HTTP", "127.0.0.1:9464");
    if reader.needs.discord {
        demand_token(reader, "TALKBACK_HTTP", address);
    }
    let token = reader.secret("DISCORD_TOKEN");
    if token.is_none() && reader.text("DISCORD_TOKEN").is_none() && reader.needs.discord {
        reader.fault(
            "DISCORD_TOKEN",
            "The bot needs it. Make an application at https://discord.com/developers/applications, \
             open Bot, and copy its token.",
        );
    }
    Bot {
        token,
        proxy: reader.url("DISCORD_PROXY"),
        data: reader
            .text("TALKBACK_DATA")
            .map_or_else(default_folder, PathBuf::from),
        key: reader.secret("TALKBACK_KEY"),
        http: address,
        retention: days(
            reader
                .number("RETENTION_DAYS", 1, MAX_RETENTION_DAYS)
                .unwrap_or(30),
        ),
        catch_up: minutes(reader.number("CATCH_UP_MINUTES", 0, 1_440).unwrap_or(15)),
        rules: rules(reader, speech_hour),
        queue: queue(reader),
        voice: voice(reader),
    }
}

fn voice(reader: &mut Reader<'_>) -> Voice {
    let drivers = [
        ("talkback", VoiceDriver::Talkback),
        ("songbird", VoiceDriver::Songbird),
    ];
    let end_silence = reader.number("VOICE_END_SILENCE_MS", 200, 3_000);
    Voice {
        end_silence: Duration::from_millis(end_silence.unwrap_or(600)),
        longest: minutes(reader.number("VOICE_MAX_MINUTES", 1, 1_440).unwrap_or(240)),
        alone: reader
            .seconds("VOICE_ALONE_SECONDS", 1, 3_600)
            .unwrap_or(Duration::from_secs(60)),
        driver: reader.choice("VOICE_DRIVER", &drivers).unwrap_or_default(),
    }
}

fn queue(reader: &mut Reader<'_>) -> QueueLimits {
    let mut count = |variable, default, most| {
        let number = reader.number(variable, 1, most).unwrap_or(default);
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let running = count("CONCURRENT_JOBS", 32, 256);
    QueueLimits {
        running,
        // One server alone can't keep the others waiting.
        running_per_home: running.div_ceil(2).max(running.saturating_sub(2)),
        waiting_per_member: count("WAITING_PER_MEMBER", 20, 1_000),
        waiting_per_home: count("WAITING_PER_SERVER", 500, 10_000),
        waiting: MAX_WAITING,
    }
}

fn rules(reader: &mut Reader<'_>, speech_hour: u64) -> Rules {
    let mut cap = |variable, default| {
        let minutes = reader.number(variable, 0, 10_000_000).unwrap_or(default);
        minutes * 60_000
    };
    let audio = Caps {
        member: cap("DAILY_MINUTES_PER_MEMBER", 60),
        server: cap("DAILY_MINUTES_PER_SERVER", 600),
        all: cap("DAILY_MINUTES", 6_000),
    };
    let money = Caps {
        member: amount(reader, "DAILY_COST_PER_MEMBER").unwrap_or(u64::MAX),
        server: amount(reader, "DAILY_COST_PER_SERVER").unwrap_or(u64::MAX),
        all: amount(reader, "DAILY_COST").unwrap_or(u64::MAX),
    };
    Rules {
        longest: reader
            .seconds("MAX_NOTE_SECONDS", 1, 36_000)
            .unwrap_or(Duration::from_secs(3_600)),
        cooldown: reader
            .seconds("COOLDOWN_SECONDS", 0, 86_400)
            .unwrap_or_default(),
        audio,
        money,
        local_at_cap: reader
            .choice("BUDGET_FALLBACK", &[("local", true), ("refuse", false)])
            .unwrap_or(false),
        prices: Prices {
            speech_hour: amount(reader, "PRICE_SPEECH_HOUR").unwrap_or(speech_hour),
            streaming_hour: amount(reader, "PRICE_STREAMING_HOUR").unwrap_or(PRICE_STREAMING),
            input_million: amount(reader, "PRICE_INPUT_MILLION").unwrap_or(0),
            output_million: amount(reader, "PRICE_OUTPUT_MILLION").unwrap_or(0),
        },
    }
}

/// An amount of money in millionths.
fn amount(reader: &mut Reader<'_>, variable: &'static str) -> Option<u64> {
    let amount = reader.decimal(variable, 0.0, 1_000_000.0)?;
    Some((f64::from(amount) * 1e6).round() as u64)
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// Where a program keeps what it must not lose, or a folder here if the system names none.
fn default_folder() -> PathBuf {
    directories::ProjectDirs::from("", "", "talkback").map_or_else(
        || PathBuf::from("talkback-data"),
        |folders| folders.data_dir().to_owned(),
    )
}
