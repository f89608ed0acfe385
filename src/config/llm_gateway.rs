//! Answers that the AssemblyAI key pays for: AssemblyAI's LLM Gateway.

use secrecy::SecretString;

use super::is_any_set;
use super::reader::SettingsReader;
use super::speech::read_assemblyai_region;
use crate::chat::openai;
use crate::speech::assemblyai::Hosts;

/// Who answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ChatProvider {
    OpenAi,
    AssemblyAi,
    Local,
}

/// Who answers where nobody has said so: whoever somebody has made settings for. An AssemblyAI key
/// alone does everything, unless its owner keeps speech on this machine.
pub(super) fn default_chat_provider(reader: &SettingsReader<'_>) -> ChatProvider {
    let listens_here = reader
        .text("SPEECH_PROVIDERS")
        .is_some_and(|list| list.trim_matches([',', ' ']).eq_ignore_ascii_case("local"));
    if is_any_set(reader, &["OPENAI_API_KEY", "OPENAI_BASE_URL"]) {
        ChatProvider::OpenAi
    } else if reader.text("LOCAL_CHAT_MODEL").is_some() || listens_here {
        ChatProvider::Local
    } else if reader.text("ASSEMBLYAI_API_KEY").is_some() {
        ChatProvider::AssemblyAi
    } else {
        ChatProvider::Local
    }
}

/// The LLM Gateway of the region, with AssemblyAI's key.
pub(super) fn read_llm_gateway_settings(reader: &mut SettingsReader<'_>) -> openai::OpenAiSettings {
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
