//! Typed settings, read once at the start. All errors are reported together.
//!
//! [`SETTINGS`] lists every setting; [`Config::read`] turns their values into types.

mod bot;
mod chat;
pub mod dotenv;
mod reader;
mod settings;
mod speech;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::models;
use audio::AudioLimits;

use reader::{SettingsReader, truncate_value};

pub use bot::{BotConfig, VoiceDriver};
pub use chat::{ChatConfig, LocalChatConfig};
pub use reader::{SettingError, SettingValues};
pub use settings::{SETTINGS, Setting};
pub use speech::{SpeechConfig, SpeechProvider, VoiceTranscriber};
pub use web::WebConfig;

/// The default of `CHAT_TIMEOUT`.
const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// All settings.
#[derive(Debug)]
pub struct Config {
    /// Limits on recordings.
    pub limits: AudioLimits,
    /// Speech providers.
    pub speech: SpeechConfig,
    /// The chat provider.
    pub chat: ChatConfig,
    /// The system prompt.
    pub system_prompt: String,
    /// The time limit of an answer.
    pub answer_timeout: Duration,
    /// Local models: where they are stored and fetched from.
    pub models: LocalModelsConfig,
    /// Logging.
    pub log: LogConfig,
    /// Settings that only the bot needs.
    pub bot: BotConfig,
    /// Settings that only the web pages need.
    pub web: WebConfig,
}

/// Local models: where they are stored and fetched from.
#[derive(Debug)]
pub struct LocalModelsConfig {
    /// The folder with the models.
    pub folder: PathBuf,
    /// The package index that they are fetched from.
    pub package_index: Url,
    /// An ONNX Runtime library to use instead of the fetched one.
    pub onnxruntime_path: Option<PathBuf>,
    /// How many threads a local model may use, if set.
    pub threads: Option<usize>,
}

/// Logging.
#[derive(Debug, Default)]
pub struct LogConfig {
    /// A `tracing` filter. `None`: logging is off.
    pub filter: Option<String>,
    /// Log JSON, one object per line, instead of text.
    pub json: bool,
}

/// Which parts of the program will be used, and so which settings are required.
#[derive(Clone, Copy, Debug)]
pub struct RequiredFeatures {
    /// Transcription.
    pub speech: bool,
    /// Answers.
    pub chat: bool,
    /// The Discord bot, which needs a token.
    pub discord: bool,
    /// The page of `talkback web`.
    pub web: bool,
}

impl RequiredFeatures {
    /// Transcription and answers, for the command line.
    pub const SPEECH_AND_CHAT: Self = Self {
        speech: true,
        chat: true,
        discord: false,
        web: false,
    };

    /// Transcription and answers in Discord.
    pub const BOT: Self = Self {
        discord: true,
        ..Self::SPEECH_AND_CHAT
    };

    /// Transcription and answers in a browser.
    pub const WEB: Self = Self {
        web: true,
        ..Self::SPEECH_AND_CHAT
    };

    /// Nothing: no setting is required.
    pub const NONE: Self = Self {
        speech: false,
        chat: false,
        discord: false,
        web: false,
    };
}

impl Config {
    /// Reads the settings for everything that Talkback can do.
    ///
    /// # Errors
    ///
    /// All settings that are invalid or missing, in the order of [`SETTINGS`].
    pub fn read(values: &SettingValues) -> Result<Self, Vec<SettingError>> {
        Self::read_for(values, RequiredFeatures::SPEECH_AND_CHAT)
    }

    /// Reads the settings, requiring only those that `required` names.
    ///
    /// # Errors
    ///
    /// As [`Config::read`].
    pub fn read_for(
        values: &SettingValues,
        required: RequiredFeatures,
    ) -> Result<Self, Vec<SettingError>> {
        let mut reader = SettingsReader::new(values, required);
        let answer_timeout = reader
            .seconds("CHAT_TIMEOUT", 1, 3_600)
            .unwrap_or(DEFAULT_ANSWER_TIMEOUT);
        let chat = chat::read_chat_config(&mut reader, answer_timeout);
        let speech = speech::read_speech_config(&mut reader);
        let config = Self {
            limits: read_audio_limits(&mut reader),
            bot: bot::read_bot_config(&mut reader, speech.default_price_per_hour()),
            speech,
            system_prompt: reader
                .text("CHAT_SYSTEM_PROMPT")
                .unwrap_or(chat::default_system_prompt(&chat))
                .to_owned(),
            chat,
            answer_timeout,
            models: read_local_models_config(&mut reader),
            log: read_log_config(&mut reader),
            web: web::read_web_config(&mut reader),
        };
        if reader.errors.is_empty() {
            return Ok(config);
        }
        let position = |error: &SettingError| {
            SETTINGS
                .iter()
                .position(|setting| setting.variable == error.variable)
        };
        reader.errors.sort_by_key(position);
        Err(reader.errors)
    }
}

fn read_audio_limits(reader: &mut SettingsReader<'_>) -> AudioLimits {
    let defaults = AudioLimits::default();
    // AssemblyAI's limits: ten hours and 2.2 GB.
    AudioLimits {
        bytes: reader
            .integer("MAX_AUDIO_BYTES", 1_000, 2_200_000_000)
            .unwrap_or(defaults.bytes),
        max_duration: reader
            .seconds("MAX_AUDIO_SECONDS", 1, 36_000)
            .unwrap_or(defaults.max_duration),
        ..defaults
    }
}

fn read_local_models_config(reader: &mut SettingsReader<'_>) -> LocalModelsConfig {
    let folder = reader.text("TALKBACK_MODELS").map(PathBuf::from);
    LocalModelsConfig {
        folder: folder.unwrap_or_else(models::default_folder),
        package_index: reader
            .url("MODELS_INDEX")
            .unwrap_or_else(models::default_index),
        onnxruntime_path: reader.text("ORT_DYLIB_PATH").map(PathBuf::from),
        threads: reader
            .integer("LOCAL_THREADS", 1, 1_024)
            .map(|threads| threads as usize),
    }
}

fn read_log_config(reader: &mut SettingsReader<'_>) -> LogConfig {
    let filter = reader
        .text("TALKBACK_LOG")
        .or(reader.required.discord.then_some("info"))
        .filter(|filter| *filter != "off")
        .map(str::to_owned);
    if let Some(filter) = &filter
        && tracing_subscriber::EnvFilter::try_new(filter).is_err()
    {
        reader.push_error(
            "TALKBACK_LOG",
            format!(
                "“{}” is not a log filter. Use a level such as info, or talkback=debug.",
                truncate_value(filter)
            ),
        );
    }
    LogConfig {
        filter,
        json: reader
            .choice("TALKBACK_LOG_FORMAT", &[("text", false), ("json", true)])
            .unwrap_or(false),
    }
}
