//! The bot's settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::SettingsReader;
use super::web::require_token;
use crate::flow::fair_queue::QueueLimits;
use crate::flow::usage_rules::{DailyCaps, Prices, UsageRules};
use crate::speech::assemblyai::speech_models::STREAMING_MICRODOLLARS_PER_HOUR;

/// Ten years.
const MAX_RETENTION_DAYS: u64 = 3_650;

/// The bot's own settings.
#[derive(Debug)]
pub struct BotConfig {
    /// The bot's token. `None`: only the command line works.
    pub token: Option<SecretString>,
    /// A proxy in front of Discord's REST API that does the rate limiting.
    pub rest_proxy: Option<Url>,
    /// The folder with the ledger.
    pub data_folder: PathBuf,
    /// The key that stored text is encrypted with. `None`: the key file beside the ledger.
    pub encryption_key: Option<SecretString>,
    /// The address of the status page and metrics. `None`: they are not served.
    pub http_address: Option<SocketAddr>,
    /// How long transcripts, answers and finished jobs are kept.
    pub retention: Duration,
    /// How far back the bot looks for voice messages it missed.
    pub catch_up_span: Duration,
    /// Daily limits, prices and other rules for members.
    pub rules: UsageRules,
    /// How many jobs may run and wait.
    pub queue: QueueLimits,
    /// Settings of voice sessions.
    pub voice: VoiceConfig,
}

/// Settings of voice sessions.
#[derive(Clone, Copy, Debug)]
pub struct VoiceConfig {
    /// The pause that ends an utterance.
    pub end_silence: Duration,
    /// The longest session.
    pub max_duration: Duration,
    /// How long the bot stays in a call alone.
    pub alone_timeout: Duration,
    /// What receives calls.
    pub driver: VoiceDriver,
}

/// What receives calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum VoiceDriver {
    /// The receiver in `crates/voice-receive`.
    #[default]
    Talkback,
    /// The songbird library's driver.
    Songbird,
}

/// The limit on waiting jobs in the process. Each is a number in memory; the rest is on disk.
const MAX_QUEUED_JOBS: usize = 100_000;

pub(super) fn read_bot_config(reader: &mut SettingsReader<'_>, speech_hour: u64) -> BotConfig {
    let address = reader.socket_address("TALKBACK_HTTP", "127.0.0.1:9464");
    if reader.required.discord {
        require_token(reader, "TALKBACK_HTTP", address);
    }
    let token = reader.secret("DISCORD_TOKEN");
    if token.is_none() && reader.text("DISCORD_TOKEN").is_none() && reader.required.discord {
        reader.push_error(
            "DISCORD_TOKEN",
            "The bot needs it. Create an application at \
             https://discord.com/developers/applications, open Bot, and copy its token.",
        );
    }
    BotConfig {
        token,
        rest_proxy: reader.url("DISCORD_PROXY"),
        data_folder: reader
            .text("TALKBACK_DATA")
            .map_or_else(default_data_folder, PathBuf::from),
        encryption_key: reader.secret("TALKBACK_KEY"),
        http_address: address,
        retention: days(
            reader
                .integer("RETENTION_DAYS", 1, MAX_RETENTION_DAYS)
                .unwrap_or(30),
        ),
        catch_up_span: minutes(reader.integer("CATCH_UP_MINUTES", 0, 1_440).unwrap_or(15)),
        rules: read_rules(reader, speech_hour),
        queue: read_queue_limits(reader),
        voice: read_voice_config(reader),
    }
}

fn read_voice_config(reader: &mut SettingsReader<'_>) -> VoiceConfig {
    let drivers = [
        ("talkback", VoiceDriver::Talkback),
        ("songbird", VoiceDriver::Songbird),
    ];
    let end_silence = reader.integer("VOICE_END_SILENCE_MS", 200, 3_000);
    VoiceConfig {
        end_silence: Duration::from_millis(end_silence.unwrap_or(600)),
        max_duration: minutes(reader.integer("VOICE_MAX_MINUTES", 1, 1_440).unwrap_or(240)),
        alone_timeout: reader
            .seconds("VOICE_ALONE_SECONDS", 1, 3_600)
            .unwrap_or(Duration::from_secs(60)),
        driver: reader.choice("VOICE_DRIVER", &drivers).unwrap_or_default(),
    }
}

fn read_queue_limits(reader: &mut SettingsReader<'_>) -> QueueLimits {
    let mut count = |variable, default, most| {
        let number = reader.integer(variable, 1, most).unwrap_or(default);
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let running = count("CONCURRENT_JOBS", 32, 256);
    QueueLimits {
        max_running: running,
        // So that one server alone can't keep the others waiting.
        max_running_per_tenant: running.div_ceil(2).max(running.saturating_sub(2)),
        max_waiting_per_member: count("WAITING_PER_MEMBER", 20, 1_000),
        max_waiting_per_tenant: count("WAITING_PER_SERVER", 500, 10_000),
        max_waiting: MAX_QUEUED_JOBS,
    }
}

fn read_rules(reader: &mut SettingsReader<'_>, speech_hour: u64) -> UsageRules {
    let mut cap = |variable, default| {
        let minutes = reader.integer(variable, 0, 10_000_000).unwrap_or(default);
        minutes * 60_000
    };
    let audio = DailyCaps {
        member: cap("DAILY_MINUTES_PER_MEMBER", 60),
        guild: cap("DAILY_MINUTES_PER_SERVER", 600),
        global: cap("DAILY_MINUTES", 6_000),
    };
    let money = DailyCaps {
        member: read_money_micros(reader, "DAILY_COST_PER_MEMBER").unwrap_or(u64::MAX),
        guild: read_money_micros(reader, "DAILY_COST_PER_SERVER").unwrap_or(u64::MAX),
        global: read_money_micros(reader, "DAILY_COST").unwrap_or(u64::MAX),
    };
    UsageRules {
        max_duration: reader
            .seconds("MAX_NOTE_SECONDS", 1, 36_000)
            .unwrap_or(Duration::from_secs(3_600)),
        cooldown: reader
            .seconds("COOLDOWN_SECONDS", 0, 86_400)
            .unwrap_or_default(),
        audio_caps: audio,
        money_caps: money,
        local_at_cap: reader
            .choice("BUDGET_FALLBACK", &[("local", true), ("refuse", false)])
            .unwrap_or(false),
        prices: Prices {
            speech_per_hour: read_money_micros(reader, "PRICE_SPEECH_HOUR").unwrap_or(speech_hour),
            streaming_per_hour: read_money_micros(reader, "PRICE_STREAMING_HOUR")
                .unwrap_or(STREAMING_MICRODOLLARS_PER_HOUR),
            input_per_million: read_money_micros(reader, "PRICE_INPUT_MILLION").unwrap_or(0),
            output_per_million: read_money_micros(reader, "PRICE_OUTPUT_MILLION").unwrap_or(0),
        },
    }
}

/// Reads an amount of money, in millionths.
fn read_money_micros(reader: &mut SettingsReader<'_>, variable: &'static str) -> Option<u64> {
    let amount = reader.decimal(variable, 0.0, 1_000_000.0)?;
    Some((f64::from(amount) * 1e6).round() as u64)
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// The system's folder for application data, or a folder here if it names none.
fn default_data_folder() -> PathBuf {
    directories::ProjectDirs::from("", "", "talkback").map_or_else(
        || PathBuf::from("talkback-data"),
        |folders| folders.data_dir().to_owned(),
    )
}
