//! Typed settings. They are read once, at the start, and every fault is reported at once.

mod bot;
pub mod dotenv;
mod llm_gateway;
mod reader;
mod settings;
mod speech;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::chat::openai::{CompletionApi, TokenField};
use crate::chat::{openai, prompt};
use crate::models;
use audio::AudioLimits;

use llm_gateway::{ChatProvider, default_chat_provider};
use reader::{SettingsReader, truncate_value};

pub use bot::{BotConfig, VoiceDriver};
pub use reader::{SettingError, SettingValues};
pub use settings::{SETTINGS, Setting};
pub use speech::{SpeechConfig, SpeechProvider, VoiceTranscriber};
pub use web::WebConfig;

/// How long an answer may take unless somebody says otherwise.
const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// What a recording may ask of us.
    pub limits: AudioLimits,
    /// Who writes recordings down.
    pub speech: SpeechConfig,
    /// Who answers.
    pub chat: ChatConfig,
    /// How to answer.
    pub system_prompt: String,
    /// The longest time an answer may take.
    pub answer_timeout: Duration,
    /// Where the local models are stored and come from.
    pub models: LocalModelsConfig,
    /// What is logged.
    pub log: LogConfig,
    /// What only the bot needs.
    pub bot: BotConfig,
    /// What only pages for a browser need.
    pub web: WebConfig,
}

/// Who answers.
#[derive(Debug)]
pub enum ChatConfig {
    /// An OpenAI-compatible server.
    OpenAi(Box<openai::OpenAiSettings>),
    /// AssemblyAI's LLM Gateway, which is one too, with AssemblyAI's key.
    AssemblyAi(Box<openai::OpenAiSettings>),
    /// A model on this machine.
    Local(LocalChatConfig),
}

impl ChatConfig {
    /// Whether the AssemblyAI key pays for answers.
    #[must_use]
    pub fn is_llm_gateway(&self) -> bool {
        matches!(self, Self::AssemblyAi(_))
    }

    /// The setting that names the model.
    #[must_use]
    pub fn model_setting(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "OPENAI_MODEL",
            Self::AssemblyAi(_) => "ASSEMBLYAI_CHAT_MODEL",
            Self::Local(_) => "LOCAL_CHAT_MODEL",
        }
    }
}

/// A model on this machine.
#[derive(Debug, Default)]
pub struct LocalChatConfig {
    /// The GGUF file; none: the demonstration model from the store.
    pub model_path: Option<PathBuf>,
    /// Tokens of the longest answer, if set.
    pub max_answer_tokens: Option<u32>,
    /// Tokens that the model is given at most, if set.
    pub context_tokens: Option<u32>,
    /// How freely words are chosen, if set.
    pub temperature: Option<f32>,
}

/// Where the local models are stored and come from.
#[derive(Debug)]
pub struct LocalModelsConfig {
    /// The folder with the models.
    pub folder: PathBuf,
    /// The package index they are fetched from.
    pub package_index: Url,
    /// Another ONNX Runtime library than the fetched one.
    pub onnxruntime_path: Option<PathBuf>,
    /// Threads a local model may use, if set.
    pub threads: Option<usize>,
}

/// What is logged.
#[derive(Debug, Default)]
pub struct LogConfig {
    /// A filter as `tracing` knows it; none: nothing is logged.
    pub filter: Option<String>,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// What the settings are wanted for.
#[derive(Clone, Copy, Debug)]
pub struct RequiredFeatures {
    /// Somebody must write recordings down.
    pub speech: bool,
    /// Somebody must answer.
    pub chat: bool,
    /// There must be a token for Discord.
    pub discord: bool,
    /// The page for a browser is shown.
    pub web: bool,
}

impl RequiredFeatures {
    /// Hearing and answering.
    pub const SPEECH_AND_CHAT: Self = Self {
        speech: true,
        chat: true,
        discord: false,
        web: false,
    };

    /// Hearing and answering in Discord.
    pub const BOT: Self = Self {
        discord: true,
        ..Self::SPEECH_AND_CHAT
    };

    /// Hearing and answering in a browser.
    pub const WEB: Self = Self {
        web: true,
        ..Self::SPEECH_AND_CHAT
    };

    /// Neither.
    pub const NONE: Self = Self {
        speech: false,
        chat: false,
        discord: false,
        web: false,
    };
}

impl Config {
    /// Reads the settings for everything Talkback can do; on failure every fault there is, in the
    /// order of the table.
    ///
    /// # Errors
    ///
    /// Every setting that can't be used, and every one that is needed and missing.
    pub fn read(values: &SettingValues) -> Result<Self, Vec<SettingError>> {
        Self::read_for(values, RequiredFeatures::SPEECH_AND_CHAT)
    }

    /// The same for somebody who needs only a part: what is missing for the rest is no fault.
    ///
    /// # Errors
    ///
    /// As [`Config::read`].
    pub fn read_for(
        values: &SettingValues,
        needs: RequiredFeatures,
    ) -> Result<Self, Vec<SettingError>> {
        let mut reader = SettingsReader::new(values, needs);
        let answer_limit = reader
            .seconds("CHAT_TIMEOUT", 1, 3_600)
            .unwrap_or(DEFAULT_ANSWER_TIMEOUT);
        let chat = read_chat_config(&mut reader, answer_limit);
        let speech = speech::read_speech_config(&mut reader);
        let config = Self {
            limits: read_audio_limits(&mut reader),
            bot: bot::read_bot_config(&mut reader, speech.default_price_per_hour()),
            speech,
            system_prompt: reader
                .text("CHAT_SYSTEM_PROMPT")
                .unwrap_or(default_system_prompt(&chat))
                .to_owned(),
            chat,
            answer_timeout: answer_limit,
            models: read_local_models_config(&mut reader),
            log: read_log_config(&mut reader),
            web: web::read_web_config(&mut reader),
        };
        if reader.errors.is_empty() {
            return Ok(config);
        }
        let place = |fault: &SettingError| {
            SETTINGS
                .iter()
                .position(|setting| setting.variable == fault.variable)
        };
        reader.errors.sort_by_key(place);
        Err(reader.errors)
    }
}

/// How `chat` is told to answer unless somebody says otherwise.
fn default_system_prompt(chat: &ChatConfig) -> &'static str {
    match chat {
        ChatConfig::Local(LocalChatConfig {
            model_path: None, ..
        }) => prompt::SHORT_VOICE_SYSTEM_PROMPT,
        ChatConfig::Local(_) | ChatConfig::OpenAi(_) | ChatConfig::AssemblyAi(_) => {
            prompt::VOICE_SYSTEM_PROMPT
        }
    }
}

fn read_audio_limits(reader: &mut SettingsReader<'_>) -> AudioLimits {
    let defaults = AudioLimits::default();
    // Ten hours and 2.2 GB are what AssemblyAI takes at most.
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

fn read_chat_config(reader: &mut SettingsReader<'_>, answer_limit: Duration) -> ChatConfig {
    let key = reader.secret("OPENAI_API_KEY");
    let base = reader.url("OPENAI_BASE_URL");
    let choices = [
        ("openai", ChatProvider::OpenAi),
        ("assemblyai", ChatProvider::AssemblyAi),
        ("local", ChatProvider::Local),
    ];
    let answers = reader
        .choice("CHAT_PROVIDER", &choices)
        .unwrap_or_else(|| default_chat_provider(reader));
    let max_answer_tokens = reader
        .integer("CHAT_MAX_TOKENS", 1, 100_000)
        .map(|tokens| tokens as u32);
    let context_tokens = reader
        .integer("CHAT_CONTEXT_TOKENS", 256, 1_000_000)
        .map(|tokens| tokens as u32);
    let temperature = reader.decimal("CHAT_TEMPERATURE", 0.0, 2.0);
    if answers == ChatProvider::Local {
        if !cfg!(feature = "local-chat") && reader.required.chat {
            reader.push_error(
                "CHAT_PROVIDER",
                "This build has no local model. Set OPENAI_API_KEY, OPENAI_BASE_URL or \
                 ASSEMBLYAI_API_KEY, or build with the feature `local`.",
            );
        }
        return ChatConfig::Local(LocalChatConfig {
            model_path: reader.text("LOCAL_CHAT_MODEL").map(PathBuf::from),
            max_answer_tokens,
            context_tokens,
            temperature,
        });
    }
    if answers == ChatProvider::AssemblyAi {
        let mut settings = llm_gateway::read_llm_gateway_settings(reader);
        settings.max_answer_tokens = max_answer_tokens.unwrap_or(settings.max_answer_tokens);
        settings.context_tokens = context_tokens.unwrap_or(settings.context_tokens);
        settings.temperature = temperature;
        settings.total_timeout = answer_limit;
        settings.first_token_timeout = answer_limit;
        return ChatConfig::AssemblyAi(Box::new(settings));
    }
    let mut settings = match base {
        Some(base) => openai::OpenAiSettings::compatible(base, key),
        None => {
            if !is_any_set(reader, &["OPENAI_API_KEY", "OPENAI_BASE_URL"]) {
                reader.push_error(
                    "OPENAI_API_KEY",
                    "It is needed to ask api.openai.com. Get one from \
                     https://platform.openai.com/api-keys, or set OPENAI_BASE_URL to a server \
                     that needs none.",
                );
            }
            openai::OpenAiSettings::openai(key)
        }
    };
    if let Some(model) = reader.text("OPENAI_MODEL") {
        settings = settings.for_model(model);
    }
    if let Some(api) = reader.choice(
        "OPENAI_API",
        &[
            ("chat", CompletionApi::Chat),
            ("completions", CompletionApi::Completions),
        ],
    ) {
        settings.api = api;
    }
    if let Some(effort) = reader.text("OPENAI_REASONING_EFFORT") {
        settings.reasoning_effort = (effort != "off").then(|| effort.to_owned());
    }
    if let Some(field) = reader.choice(
        "OPENAI_TOKEN_FIELD",
        &[
            ("max_completion_tokens", TokenField::MaxCompletionTokens),
            ("max_tokens", TokenField::MaxTokens),
        ],
    ) {
        settings.token_field = field;
    }
    if let Some(tokens) = max_answer_tokens {
        settings.max_answer_tokens = tokens;
    }
    if let Some(tokens) = context_tokens {
        settings.context_tokens = tokens;
    }
    settings.temperature = temperature;
    settings.total_timeout = answer_limit;
    settings.first_token_timeout = answer_limit;
    ChatConfig::OpenAi(Box::new(settings))
}

/// Whether one of these is set, soundly or not.
fn is_any_set(reader: &SettingsReader<'_>, variables: &[&'static str]) -> bool {
    variables.iter().any(|&it| reader.text(it).is_some())
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
