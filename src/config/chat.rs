//! The chat provider: an OpenAI-compatible server, AssemblyAI's LLM Gateway, or a local model.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::reader::SettingsReader;
use super::speech::read_assemblyai_region;
use crate::chat::openai::{CompletionApi, TokenField};
use crate::chat::{openai, prompt};
use crate::speech::assemblyai::Hosts;

/// The chat provider.
#[derive(Debug)]
pub enum ChatConfig {
    /// An OpenAI-compatible server.
    OpenAi(Box<openai::OpenAiSettings>),
    /// AssemblyAI's LLM Gateway, which is OpenAI-compatible and takes AssemblyAI's key.
    AssemblyAi(Box<openai::OpenAiSettings>),
    /// A model on this machine.
    Local(LocalChatConfig),
}

impl ChatConfig {
    /// Whether answers are paid with the AssemblyAI key.
    #[must_use]
    pub fn is_llm_gateway(&self) -> bool {
        matches!(self, Self::AssemblyAi(_))
    }

    /// The name of the setting that selects the model.
    #[must_use]
    pub fn model_setting(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "OPENAI_MODEL",
            Self::AssemblyAi(_) => "ASSEMBLYAI_CHAT_MODEL",
            Self::Local(_) => "LOCAL_CHAT_MODEL",
        }
    }
}

/// A chat model on this machine.
#[derive(Debug, Default)]
pub struct LocalChatConfig {
    /// The GGUF file. `None`: the demonstration model from the model store.
    pub model_path: Option<PathBuf>,
    /// The length limit of an answer in tokens, if set.
    pub max_answer_tokens: Option<u32>,
    /// The size of the context window in tokens, if set.
    pub context_tokens: Option<u32>,
    /// The sampling temperature, if set.
    pub temperature: Option<f32>,
}

/// The values of `CHAT_PROVIDER`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ChatProvider {
    OpenAi,
    AssemblyAi,
    Local,
}

/// The default of `CHAT_SYSTEM_PROMPT`.
pub(super) fn default_system_prompt(chat: &ChatConfig) -> &'static str {
    match chat {
        ChatConfig::Local(LocalChatConfig {
            model_path: None, ..
        }) => prompt::SHORT_VOICE_SYSTEM_PROMPT,
        ChatConfig::Local(_) | ChatConfig::OpenAi(_) | ChatConfig::AssemblyAi(_) => {
            prompt::VOICE_SYSTEM_PROMPT
        }
    }
}

pub(super) fn read_chat_config(
    reader: &mut SettingsReader<'_>,
    answer_timeout: Duration,
) -> ChatConfig {
    let key = reader.secret("OPENAI_API_KEY");
    let base = reader.url("OPENAI_BASE_URL");
    let choices = [
        ("openai", ChatProvider::OpenAi),
        ("assemblyai", ChatProvider::AssemblyAi),
        ("local", ChatProvider::Local),
    ];
    let provider = reader
        .choice("CHAT_PROVIDER", &choices)
        .unwrap_or_else(|| default_chat_provider(reader));
    let max_answer_tokens = reader
        .integer("CHAT_MAX_TOKENS", 1, 100_000)
        .map(|tokens| tokens as u32);
    let context_tokens = reader
        .integer("CHAT_CONTEXT_TOKENS", 256, 1_000_000)
        .map(|tokens| tokens as u32);
    let temperature = reader.decimal("CHAT_TEMPERATURE", 0.0, 2.0);
    if provider == ChatProvider::Local {
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
    if provider == ChatProvider::AssemblyAi {
        let mut settings = read_llm_gateway_settings(reader);
        settings.max_answer_tokens = max_answer_tokens.unwrap_or(settings.max_answer_tokens);
        settings.context_tokens = context_tokens.unwrap_or(settings.context_tokens);
        settings.temperature = temperature;
        settings.total_timeout = answer_timeout;
        settings.first_token_timeout = answer_timeout;
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
    settings.total_timeout = answer_timeout;
    settings.first_token_timeout = answer_timeout;
    ChatConfig::OpenAi(Box::new(settings))
}

/// The chat provider when `CHAT_PROVIDER` is not set: the one that other settings point to. An
/// AssemblyAI key alone is enough for everything, unless speech is kept on this machine.
fn default_chat_provider(reader: &SettingsReader<'_>) -> ChatProvider {
    let is_speech_local = reader
        .text("SPEECH_PROVIDERS")
        .is_some_and(|list| list.trim_matches([',', ' ']).eq_ignore_ascii_case("local"));
    if is_any_set(reader, &["OPENAI_API_KEY", "OPENAI_BASE_URL"]) {
        ChatProvider::OpenAi
    } else if reader.text("LOCAL_CHAT_MODEL").is_some() || is_speech_local {
        ChatProvider::Local
    } else if reader.text("ASSEMBLYAI_API_KEY").is_some() {
        ChatProvider::AssemblyAi
    } else {
        ChatProvider::Local
    }
}

/// The gateway in the configured region, with AssemblyAI's key.
fn read_llm_gateway_settings(reader: &mut SettingsReader<'_>) -> openai::OpenAiSettings {
    if reader.text("ASSEMBLYAI_API_KEY").is_none() && reader.required.chat {
        reader.push_error(
            "ASSEMBLYAI_API_KEY",
            "It is needed for CHAT_PROVIDER=assemblyai. Get a key from \
             https://www.assemblyai.com/app/api-keys, or set CHAT_PROVIDER=local.",
        );
    }
    let key: Option<SecretString> = reader.secret("ASSEMBLYAI_API_KEY");
    let base = reader.url("ASSEMBLYAI_LLM_GATEWAY_URL");
    let base =
        base.unwrap_or_else(|| Hosts::for_region(read_assemblyai_region(reader)).llm_gateway);
    let mut settings = openai::OpenAiSettings::llm_gateway(base, key);
    if let Some(model) = reader.model_name("ASSEMBLYAI_CHAT_MODEL") {
        settings.model = model;
    }
    settings
}

/// Whether one of these variables is set, valid or not.
fn is_any_set(reader: &SettingsReader<'_>, variables: &[&'static str]) -> bool {
    variables.iter().any(|&it| reader.text(it).is_some())
}
