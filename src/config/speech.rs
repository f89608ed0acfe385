//! Speech providers and their settings.

use secrecy::SecretString;

use super::reader::{SettingsReader, join_with_or, truncate_value};
use crate::speech::assemblyai::Region;
use crate::speech::assemblyai::speech_models::{SYNC_MICRODOLLARS_PER_HOUR, microdollars_per_hour};
use crate::speech::{Hints, assemblyai};

/// The limit on entries of a list setting.
const MAX_LIST_ENTRIES: usize = 100;
/// The limit on models for uploads.
const MAX_PRERECORDED_MODELS: usize = 8;

/// Speech providers and their settings.
#[derive(Debug)]
pub struct SpeechConfig {
    /// The providers in the order in which they are tried. Empty only where none is required.
    pub providers: Vec<SpeechProvider>,
    /// Whether `SPEECH_PROVIDERS` is set.
    pub is_explicit: bool,
    /// Present if AssemblyAI has a key.
    pub assemblyai: Option<assemblyai::AssemblyAiSettings>,
    /// Languages and key terms.
    pub hints: Hints,
    /// What transcribes voice sessions.
    pub voice_transcriber: VoiceTranscriber,
}

impl SpeechConfig {
    /// The default of `PRICE_SPEECH_HOUR`, in millionths: the highest known price among the
    /// providers.
    pub(super) fn default_price_per_hour(&self) -> u64 {
        let price = |models: &[String]| {
            let known = models
                .iter()
                .filter_map(|model| microdollars_per_hour(model));
            known.max()
        };
        let uploads =
            |settings: &assemblyai::AssemblyAiSettings| price(&settings.prerecorded_models);
        let settings = self.assemblyai.as_ref();
        match self.providers.contains(&SpeechProvider::Sync) {
            false if self.providers.contains(&SpeechProvider::Prerecorded) => settings
                .and_then(uploads)
                .unwrap_or(SYNC_MICRODOLLARS_PER_HOUR),
            _ => SYNC_MICRODOLLARS_PER_HOUR,
        }
    }
}

/// What transcribes voice sessions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum VoiceTranscriber {
    /// Each utterance goes to the speech providers: while it is spoken if the provider supports
    /// that, else when it ends.
    #[default]
    Utterance,
    /// AssemblyAI streaming, which transcribes continuously.
    Streaming,
}

/// A speech provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpeechProvider {
    /// AssemblyAI Sync.
    Sync,
    /// AssemblyAI pre-recorded.
    Prerecorded,
    /// Moonshine, on this machine.
    Local,
}

pub(super) fn read_speech_config(reader: &mut SettingsReader<'_>) -> SpeechConfig {
    let key = reader.secret("ASSEMBLYAI_API_KEY");
    let with_key = reader.text("ASSEMBLYAI_API_KEY").is_some();
    let providers = read_speech_providers(reader, with_key);
    // Parsed without a key too, so that all errors are reported.
    let settings = read_assemblyai_settings(reader, key.clone().unwrap_or_default());
    let settings = key.map(|_| settings);
    let languages = reader
        .list("SPEECH_LANGUAGES", MAX_LIST_ENTRIES)
        .unwrap_or_default();
    if let Some(wrong) = languages.iter().find(|code| !is_language_code(code)) {
        reader.push_error(
            "SPEECH_LANGUAGES",
            format!(
                "“{}” is not a language code. Use two letters such as en or de.",
                truncate_value(wrong)
            ),
        );
    }
    let voice = read_voice_transcriber(reader, with_key);
    SpeechConfig {
        providers,
        voice_transcriber: voice,
        is_explicit: reader.text("SPEECH_PROVIDERS").is_some(),
        assemblyai: settings,
        hints: Hints {
            key_terms: reader
                .list("SPEECH_KEY_TERMS", MAX_LIST_ENTRIES)
                .unwrap_or_default(),
            languages: languages.iter().map(|code| code.to_lowercase()).collect(),
            ..Hints::default()
        },
    }
}

fn read_assemblyai_settings(
    reader: &mut SettingsReader<'_>,
    key: SecretString,
) -> assemblyai::AssemblyAiSettings {
    let region = read_assemblyai_region(reader);
    let mut settings = assemblyai::AssemblyAiSettings::in_region(region, key);
    if let Some(url) = reader.url("ASSEMBLYAI_API_URL") {
        settings.api_base = url;
    }
    if let Some(url) = reader.url("ASSEMBLYAI_SYNC_URL") {
        settings.sync_base = url;
    }
    if let Some(url) = reader.websocket_url("ASSEMBLYAI_STREAMING_URL") {
        settings.streaming.base = url;
    }
    if let Some(models) =
        reader.model_names("ASSEMBLYAI_PRERECORDED_MODELS", MAX_PRERECORDED_MODELS)
    {
        settings.prerecorded_models = models;
    }
    if let Some(model) = reader.model_name("ASSEMBLYAI_SYNC_MODEL") {
        settings.sync_model = model;
    }
    if let Some(model) = reader.model_name("ASSEMBLYAI_STREAMING_MODEL") {
        settings.streaming.model = model;
    }
    // The service's own bounds.
    if let Some(inactivity) = reader.seconds("VOICE_STREAM_INACTIVITY", 5, 3_600) {
        settings.streaming.inactivity_timeout = inactivity;
    }
    if let Some(keep) = reader.boolean("ASSEMBLYAI_KEEP_TRANSCRIPTS") {
        settings.keep_transcripts = keep;
    }
    settings
}

fn read_voice_transcriber(reader: &mut SettingsReader<'_>, with_key: bool) -> VoiceTranscriber {
    let choices = [
        ("utterance", VoiceTranscriber::Utterance),
        ("streaming", VoiceTranscriber::Streaming),
    ];
    let chosen = reader
        .choice("VOICE_TRANSCRIBER", &choices)
        .unwrap_or_default();
    if chosen == VoiceTranscriber::Streaming && !with_key {
        reader.push_error(
            "ASSEMBLYAI_API_KEY",
            "It is needed for VOICE_TRANSCRIBER=streaming. Get a key from \
             https://www.assemblyai.com/app/api-keys, or set VOICE_TRANSCRIBER=utterance.",
        );
    }
    chosen
}

pub(super) fn read_assemblyai_region(reader: &mut SettingsReader<'_>) -> Region {
    reader
        .choice(
            "ASSEMBLYAI_REGION",
            &[("us", Region::Us), ("eu", Region::Eu)],
        )
        .unwrap_or_default()
}

fn read_speech_providers(reader: &mut SettingsReader<'_>, with_key: bool) -> Vec<SpeechProvider> {
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
        if providers.is_empty() && reader.required.speech {
            reader.push_error(
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
                reader.push_error(
                    VARIABLE,
                    format!(
                        "“{}” is not known. Use {}.",
                        truncate_value(name),
                        join_with_or(&words)
                    ),
                );
            }
        }
    }
    let needs_key = |provider: &SpeechProvider| *provider != SpeechProvider::Local;
    if !with_key && providers.iter().any(needs_key) {
        reader.push_error(
            "ASSEMBLYAI_API_KEY",
            "It is needed for the AssemblyAI providers in SPEECH_PROVIDERS. Get a key from \
             https://www.assemblyai.com/app/api-keys, or set SPEECH_PROVIDERS=local.",
        );
    }
    if !cfg!(feature = "local-speech") && providers.contains(&SpeechProvider::Local) {
        reader.push_error(
            VARIABLE,
            "`local` is not part of this build. Build with the feature `local`, or leave it out.",
        );
    }
    providers
}

fn is_language_code(code: &str) -> bool {
    matches!(code.len(), 2 | 3) && code.chars().all(|c| c.is_ascii_alphabetic())
}
