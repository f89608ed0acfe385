//! Typed settings. They are read once, at the start, and every fault is reported at once.

mod bot;
pub mod dotenv;
mod gateway;
mod reader;
mod speech;
mod table;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::chat::openai::{Api, TokenField};
use crate::chat::{openai, prompt};
use crate::models;
use audio::Limits;

use gateway::{Answers, by_what_is_set};
use reader::{Reader, shown};

pub use bot::{Bot, VoiceDriver};
pub use reader::{Fault, Values};
pub use speech::{Speech, SpeechProvider, VoiceTranscriber};
pub use table::{SETTINGS, Setting};
pub use web::Web;

/// How long an answer may take unless somebody says otherwise.
const DEFAULT_ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// What a recording may ask of us.
    pub limits: Limits,
    /// Who writes recordings down.
    pub speech: Speech,
    /// Who answers.
    pub chat: Chat,
    /// How to answer.
    pub system_prompt: String,
    /// The longest time an answer may take.
    pub answer_limit: Duration,
    /// Where the local models lie and come from.
    pub models: LocalModels,
    /// What is logged.
    pub log: Log,
    /// What only the bot needs.
    pub bot: Bot,
    /// What only pages for a browser need.
    pub web: Web,
}

/// Who answers.
#[derive(Debug)]
pub enum Chat {
    /// An OpenAI-compatible server.
    OpenAi(Box<openai::Settings>),
    /// AssemblyAI's LLM Gateway, which is one too, with AssemblyAI's key.
    AssemblyAi(Box<openai::Settings>),
    /// A model on this machine.
    Local(LocalChat),
}

impl Chat {
    /// Whether the AssemblyAI key pays for answers.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
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
pub struct LocalChat {
    /// The GGUF file; none: the demonstration model from the store.
    pub model: Option<PathBuf>,
    /// Tokens of the longest answer, if set.
    pub max_answer_tokens: Option<u32>,
    /// Tokens that the model is given at most, if set.
    pub context_tokens: Option<u32>,
    /// How freely words are chosen, if set.
    pub temperature: Option<f32>,
}

/// Where the local models lie and come from.
#[derive(Debug)]
pub struct LocalModels {
    /// The folder with the models.
    pub folder: PathBuf,
    /// The package index they are fetched from.
    pub index: Url,
    /// Another ONNX Runtime library than the fetched one.
    pub onnxruntime: Option<PathBuf>,
    /// Threads a local model may use, if set.
    pub threads: Option<usize>,
}

/// What is logged.
#[derive(Debug, Default)]
pub struct Log {
    /// A filter as `tracing` knows it; none: nothing is logged.
    pub filter: Option<String>,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// What the settings are wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Somebody must write recordings down.
    pub speech: bool,
    /// Somebody must answer.
    pub chat: bool,
    /// There must be a token for Discord.
    pub discord: bool,
    /// The page for a browser is shown.
    pub web: bool,
}

impl Needs {
    /// Hearing and answering.
    pub const EVERYTHING: Self = Self {
        speech: true,
        chat: true,
        discord: false,
        web: false,
    };

    /// Hearing and answering in Discord.
    pub const BOT: Self = Self {
        discord: true,
        ..Self::EVERYTHING
    };

    /// Hearing and answering in a browser.
    pub const PAGE: Self = Self {
        web: true,
        ..Self::EVERYTHING
    };

    /// Neither.
    pub const NOTHING: Self = Self {
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
    pub fn read(values: &Values) -> Result<Self, Vec<Fault>> {
        Self::read_for(values, Needs::EVERYTHING)
    }

    /// The same for somebody who needs only a part: what is missing for the rest is no fault.
    ///
    /// # Errors
    ///
    /// As [`Config::read`].
    pub fn read_for(values: &Values, needs: Needs) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(values, needs);
        let answer_limit = reader
            .seconds("CHAT_TIMEOUT", 1, 3_600)
            .unwrap_or(DEFAULT_ANSWER_LIMIT);
        let chat = chat(&mut reader, answer_limit);
        let speech = speech::speech(&mut reader);
        let config = Self {
            limits: limits(&mut reader),
            bot: bot::bot(&mut reader, speech.price_hour()),
            speech,
            system_prompt: reader
                .text("CHAT_SYSTEM_PROMPT")
                .unwrap_or(default_prompt(&chat))
                .to_owned(),
            chat,
            answer_limit,
            models: local_models(&mut reader),
            log: log(&mut reader),
            web: web::web(&mut reader),
        };
        if reader.faults.is_empty() {
            return Ok(config);
        }
        let place = |fault: &Fault| {
            SETTINGS
                .iter()
                .position(|setting| setting.variable == fault.variable)
        };
        reader.faults.sort_by_key(place);
        Err(reader.faults)
    }
}

/// How `chat` is told to answer unless somebody says otherwise.
fn default_prompt(chat: &Chat) -> &'static str {
    match chat {
        Chat::Local(LocalChat { model: None, .. }) => prompt::SPOKEN_SHORT,
        Chat::Local(_) | Chat::OpenAi(_) | Chat::AssemblyAi(_) => prompt::SPOKEN,
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let defaults = Limits::default();
    // Ten hours and 2.2 GB are what AssemblyAI takes at most.
    Limits {
        bytes: reader
            .number("MAX_AUDIO_BYTES", 1_000, 2_200_000_000)
            .unwrap_or(defaults.bytes),
        duration: reader
            .seconds("MAX_AUDIO_SECONDS", 1, 36_000)
            .unwrap_or(defaults.duration),
        ..defaults
    }
}

fn chat(reader: &mut Reader<'_>, answer_limit: Duration) -> Chat {
    let key = reader.secret("OPENAI_API_KEY");
    let base = reader.url("OPENAI_BASE_URL");
    let choices = [
        ("openai", Answers::OpenAi),
        ("assemblyai", Answers::AssemblyAi),
        ("local", Answers::Local),
    ];
    let answers = reader
        .choice("CHAT_PROVIDER", &choices)
        .unwrap_or_else(|| by_what_is_set(reader));
    let max_answer_tokens = reader
        .number("CHAT_MAX_TOKENS", 1, 100_000)
        .map(|tokens| tokens as u32);
    let context_tokens = reader
        .number("CHAT_CONTEXT_TOKENS", 256, 1_000_000)
        .map(|tokens| tokens as u32);
    let temperature = reader.decimal("CHAT_TEMPERATURE", 0.0, 2.0);
    if answers == Answers::Local {
        if !cfg!(feature = "local-chat") && reader.needs.chat {
            reader.fault(
                "CHAT_PROVIDER",
                "This build has no local model. Set OPENAI_API_KEY, OPENAI_BASE_URL or \
                 ASSEMBLYAI_API_KEY, or build with the feature `local`.",
            );
        }
        return Chat::Local(LocalChat {
            model: reader.text("LOCAL_CHAT_MODEL").map(PathBuf::from),
            max_answer_tokens,
            context_tokens,
            temperature,
        });
    }
    if answers == Answers::AssemblyAi {
        let mut settings = gateway::settings(reader);
        settings.max_answer_tokens = max_answer_tokens.unwrap_or(settings.max_answer_tokens);
        settings.context_tokens = context_tokens.unwrap_or(settings.context_tokens);
        settings.temperature = temperature;
        settings.total = answer_limit;
        settings.first_token = answer_limit;
        return Chat::AssemblyAi(Box::new(settings));
    }
    let mut settings = match base {
        Some(base) => openai::Settings::compatible(base, key),
        None => {
            if !is_set(reader, &["OPENAI_API_KEY", "OPENAI_BASE_URL"]) {
                reader.fault(
                    "OPENAI_API_KEY",
                    "It is needed to ask api.openai.com. Get one from \
                     https://platform.openai.com/api-keys, or set OPENAI_BASE_URL to a server \
                     that needs none.",
                );
            }
            openai::Settings::openai(key)
        }
    };
    if let Some(model) = reader.text("OPENAI_MODEL") {
        settings = settings.for_model(model);
    }
    if let Some(api) = reader.choice(
        "OPENAI_API",
        &[("chat", Api::Chat), ("completions", Api::Completions)],
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
    settings.total = answer_limit;
    settings.first_token = answer_limit;
    Chat::OpenAi(Box::new(settings))
}

/// Whether one of these is set, soundly or not.
fn is_set(reader: &Reader<'_>, variables: &[&'static str]) -> bool {
    variables.iter().any(|&it| reader.text(it).is_some())
}

fn local_models(reader: &mut Reader<'_>) -> LocalModels {
    let folder = reader.text("TALKBACK_MODELS").map(PathBuf::from);
    LocalModels {
        folder: folder.unwrap_or_else(models::default_folder),
        index: reader.url("MODELS_INDEX").unwrap_or_else(models::pypi),
        onnxruntime: reader.text("ORT_DYLIB_PATH").map(PathBuf::from),
        threads: reader
            .number("LOCAL_THREADS", 1, 1_024)
            .map(|threads| threads as usize),
    }
}

fn log(reader: &mut Reader<'_>) -> Log {
    let filter = reader
        .text("TALKBACK_LOG")
        .or(reader.needs.discord.then_some("info"))
        .filter(|filter| *filter != "off")
        .map(str::to_owned);
    if let Some(filter) = &filter
        && tracing_subscriber::EnvFilter::try_new(filter).is_err()
    {
        reader.fault(
            "TALKBACK_LOG",
            format!(
                "“{}” is not a log filter. Use a level such as info, or talkback=debug.",
                shown(filter)
            ),
        );
    }
    Log {
        filter,
        json: reader
            .choice("TALKBACK_LOG_FORMAT", &[("text", false), ("json", true)])
            .unwrap_or(false),
    }
}
