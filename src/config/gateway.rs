//! Answers that the AssemblyAI key pays for: AssemblyAI's LLM Gateway.

use secrecy::SecretString;

use super::is_set;
use super::reader::Reader;
use super::speech::assemblyai_region;
use crate::chat::openai;
use crate::speech::assemblyai::Hosts;

/// Who answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answers {
    OpenAi,
    AssemblyAi,
    Local,
}

/// Who answers where nobody has said so: whoever somebody has made settings for. An AssemblyAI key
/// alone does everything, unless its owner keeps speech on this machine.
pub(super) fn by_what_is_set(reader: &Reader<'_>) -> Answers {
    let listens_here = reader
        .text("SPEECH_PROVIDERS")
        .is_some_and(|list| list.trim_matches([',', ' ']).eq_ignore_ascii_case("local"));
    if is_set(reader, &["OPENAI_API_KEY", "OPENAI_BASE_URL"]) {
        Answers::OpenAi
    } else if reader.text("LOCAL_CHAT_MODEL").is_some() || listens_here {
        Answers::Local
    } else if reader.text("ASSEMBLYAI_API_KEY").is_some() {
        Answers::AssemblyAi
    } else {
        Answers::Local
    }
}

/// The LLM Gateway of the region, with AssemblyAI's key.
pub(super) fn settings(reader: &mut Reader<'_>) -> openai::Settings {
    if reader.text("ASSEMBLYAI_API_KEY").is_none() && reader.needs.chat {
        reader.fault(
            "ASSEMBLYAI_API_KEY",
            "It is needed for CHAT_PROVIDER=assemblyai. Get a key from \
             https://www.assemblyai.com/app/api-keys, or set CHAT_PROVIDER=local.",
        );
    }
    let key: Option<SecretString> = reader.secret("ASSEMBLYAI_API_KEY");
    let base = reader.url("ASSEMBLYAI_LLM_GATEWAY_URL");
    let base = base.unwrap_or_else(|| Hosts::of(assemblyai_region(reader)).llm_gateway);
    let mut settings = openai::Settings::llm_gateway(base, key);
    if let Some(model) = reader.name("ASSEMBLYAI_CHAT_MODEL") {
        settings.model = model;
    }
    settings
}
