//! The composition root: settings become clients, clients become a pipeline.

use std::sync::Arc;

use crate::chat::ChatModel;
use crate::chat::model_health::{HealthTrackedModel, ModelHealth};
use crate::chat::openai::{self, LlmGatewayModel, OpenAiChatModel};
use crate::chat::prompt;
use crate::config::{ChatConfig, Config, LocalChatConfig, SpeechProvider, VoiceTranscriber};
use crate::flow::Pipeline;
use crate::flow::paid_providers::{PaidLiveTranscriber, PaidModel, PaidTranscriber};
use crate::models::{ModelAsset, ModelStore};
use crate::speech::assemblyai::{PrerecordedTranscriber, StreamingTranscriber, SyncTranscriber};
use crate::speech::{Failover, FailoverSettings, ProviderHealth, Transcriber};
use net::{self, NetError};

/// The demonstration model's file in the models' folder.
#[cfg(feature = "local-chat")]
const DEMO_MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Everything that is needed to hear and to answer.
pub struct App {
    /// What recordings pass through.
    pub pipeline: Pipeline,
    /// How the speech providers and the model are, for whoever looks on.
    pub providers: ProviderStatus,
    /// The speech providers one by one, in the order in which they are tried.
    pub transcribers: Vec<PaidTranscriber>,
    /// Listens while somebody speaks; none: utterances go to the pipeline's transcriber.
    pub live_transcriber: Option<PaidLiveTranscriber>,
}

/// How the speech providers and the model are.
#[derive(Clone)]
pub struct ProviderStatus {
    /// The speech providers.
    pub speech: SpeechHealth,
    /// The model.
    pub chat: ModelHealth,
}

/// How the speech providers are. Nobody is asked to write anything down through it.
#[derive(Clone)]
pub struct SpeechHealth(Arc<Failover>);

impl SpeechHealth {
    /// As [`Failover::health`].
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.0.health()
    }
}

impl App {
    /// Composes the clients. Nothing is loaded and nobody is asked yet.
    ///
    /// # Errors
    ///
    /// Only if there can be no HTTP client at all: the system's certificates are unusable.
    pub fn new(config: &Config) -> Result<Self, NetError> {
        let http = net::http_client()?;
        let transcribers: Vec<Arc<dyn Transcriber>> = config
            .speech
            .providers
            .iter()
            .filter_map(|provider| build_transcriber(*provider, config, &http))
            .collect();
        let failover = Failover::new(transcribers.clone(), FailoverSettings::default());
        let failover = Arc::new(failover);
        let providers = ProviderStatus {
            speech: SpeechHealth(Arc::clone(&failover)),
            chat: ModelHealth::default(),
        };
        let model = HealthTrackedModel::new(build_chat_model(config, http), providers.chat.clone());
        Ok(Self {
            pipeline: Pipeline {
                limits: config.limits.clone(),
                transcriber: PaidTranscriber::new(failover),
                chat: PaidModel::new(Arc::new(model)),
                hints: config.speech.hints.clone(),
                system_prompt: config.system_prompt.clone(),
                answer_timeout: config.answer_timeout,
            },
            providers,
            transcribers: transcribers.into_iter().map(PaidTranscriber::new).collect(),
            live_transcriber: build_live_transcriber(config),
        })
    }
}

fn build_live_transcriber(config: &Config) -> Option<PaidLiveTranscriber> {
    match config.speech.voice_transcriber {
        VoiceTranscriber::Utterance => None,
        VoiceTranscriber::Streaming => {
            let settings = config.speech.assemblyai.as_ref()?;
            Some(PaidLiveTranscriber::new(Arc::new(
                StreamingTranscriber::new(settings),
            )))
        }
    }
}

/// The engines of this machine alone, for those whose cap is reached. None if the settings do not
/// want them, or this build does not have them.
pub fn build_local_pipeline(app: &App, config: &Config) -> Option<Pipeline> {
    if !config.bot.rules.local_at_cap {
        return None;
    }
    let transcriber = local_transcriber(config)?;
    let (chat, prompt) = match &config.chat {
        ChatConfig::Local(_) => (
            app.pipeline.chat.clone(),
            app.pipeline.system_prompt.clone(),
        ),
        ChatConfig::OpenAi(_) | ChatConfig::AssemblyAi(_) if cfg!(feature = "local-chat") => (
            PaidModel::new(local_chat(config, &LocalChatConfig::default())),
            prompt::SHORT_VOICE_SYSTEM_PROMPT.to_owned(),
        ),
        ChatConfig::OpenAi(_) | ChatConfig::AssemblyAi(_) => return None,
    };
    Some(Pipeline {
        transcriber: PaidTranscriber::new(transcriber),
        chat,
        system_prompt: prompt,
        ..app.pipeline.clone()
    })
}

fn build_transcriber(
    provider: SpeechProvider,
    config: &Config,
    http: &reqwest::Client,
) -> Option<Arc<dyn Transcriber>> {
    let assemblyai = config.speech.assemblyai.as_ref();
    match provider {
        SpeechProvider::Sync => {
            Some(Arc::new(SyncTranscriber::new(http.clone(), assemblyai?)) as _)
        }
        SpeechProvider::Prerecorded => {
            Some(Arc::new(PrerecordedTranscriber::new(http.clone(), assemblyai?)) as _)
        }
        SpeechProvider::Local => local_transcriber(config),
    }
}

#[cfg(feature = "local-speech")]
fn local_transcriber(config: &Config) -> Option<Arc<dyn Transcriber>> {
    use crate::speech::local::{LocalSpeechSettings, LocalTranscriber};
    let models = &config.models;
    let mut settings = LocalSpeechSettings::in_folder(&models.folder, config.limits.clone());
    if models.onnxruntime_path.is_some() {
        settings.runtime.clone_from(&models.onnxruntime_path);
    }
    if let Some(threads) = models.threads {
        settings.threads = threads;
    }
    Some(Arc::new(LocalTranscriber::new(settings)))
}

/// The settings refuse `local` in a build without it.
#[cfg(not(feature = "local-speech"))]
fn local_transcriber(_: &Config) -> Option<Arc<dyn Transcriber>> {
    None
}

/// The most tokens of an answer that only shows that there would be one.
const SHORT_ANSWER_TOKENS: u32 = 16;

/// The model that answers, for an answer of a few words. None if it runs on this machine, where
/// nobody can refuse.
///
/// # Errors
///
/// As [`App::new`].
pub fn build_short_answer_model(config: &Config) -> Result<Option<PaidModel>, NetError> {
    let brief = |settings: &openai::OpenAiSettings| {
        let mut settings = settings.clone();
        settings.max_answer_tokens = settings.max_answer_tokens.min(SHORT_ANSWER_TOKENS);
        settings
    };
    let model: Arc<dyn ChatModel> = match &config.chat {
        ChatConfig::Local(_) => return Ok(None),
        ChatConfig::OpenAi(settings) => {
            Arc::new(OpenAiChatModel::new(net::http_client()?, brief(settings)))
        }
        ChatConfig::AssemblyAi(settings) => {
            Arc::new(LlmGatewayModel::new(net::http_client()?, brief(settings)))
        }
    };
    Ok(Some(PaidModel::new(model)))
}

fn build_chat_model(config: &Config, http: reqwest::Client) -> Arc<dyn ChatModel> {
    match &config.chat {
        ChatConfig::OpenAi(settings) => {
            Arc::new(OpenAiChatModel::new(http, settings.as_ref().clone()))
        }
        ChatConfig::AssemblyAi(settings) => {
            Arc::new(LlmGatewayModel::new(http, settings.as_ref().clone()))
        }
        ChatConfig::Local(local) => local_chat(config, local),
    }
}

#[cfg(feature = "local-chat")]
fn local_chat(config: &Config, local: &LocalChatConfig) -> Arc<dyn ChatModel> {
    use std::num::NonZero;

    use crate::chat::local::{LocalChatModel, LocalChatSettings};
    let mut settings = match &local.model_path {
        Some(model) => LocalChatSettings::new(model),
        None => LocalChatSettings {
            fetchable: true,
            max_answer_tokens: 200,
            ..LocalChatSettings::new(config.models.folder.join(DEMO_MODEL_FILE))
        },
    };
    if let Some(tokens) = local.max_answer_tokens {
        settings.max_answer_tokens = tokens;
    }
    if let Some(tokens) = local.context_tokens {
        settings.context_tokens = tokens;
    }
    if let Some(temperature) = local.temperature {
        settings.temperature = temperature;
    }
    if let Some(threads) = config.models.threads.and_then(NonZero::new) {
        settings.threads = Some(threads);
    }
    Arc::new(LocalChatModel::new(settings))
}

#[cfg(not(feature = "local-chat"))]
fn local_chat(_: &Config, _: &LocalChatConfig) -> Arc<dyn ChatModel> {
    Arc::new(no_model::NoModel::default())
}

/// Stands where nobody answers because nobody has to: the settings refuse it otherwise.
#[cfg(not(feature = "local-chat"))]
mod no_model {
    use async_trait::async_trait;

    use crate::chat::{AnswerStream, ChatError, ChatModel, ChatProbe, Conversation, ModelCard};

    pub(super) struct NoModel(ModelCard);

    impl Default for NoModel {
        fn default() -> Self {
            Self(ModelCard {
                model: "none".to_owned(),
                host: crate::chat::LOCAL_HOST.to_owned(),
                notice: None,
            })
        }
    }

    fn none() -> ChatError {
        ChatError::LocalEngine {
            reason: "this build has no local model".to_owned(),
            fixed_by_fetch: false,
        }
    }

    #[async_trait]
    impl ChatModel for NoModel {
        fn card(&self) -> &ModelCard {
            &self.0
        }

        async fn answer(&self, _: &Conversation) -> Result<AnswerStream, ChatError> {
            Err(none())
        }

        async fn probe(&self) -> Result<ChatProbe, ChatError> {
            Err(none())
        }
    }
}

/// How much a local model matters with these settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ModelRequirement {
    /// Nothing uses it.
    Unused,
    /// It stands behind a provider.
    Fallback,
    /// Without it nothing is heard, or nothing answered.
    Required,
}

/// How much `asset` matters.
pub fn model_requirement(config: &Config, asset: &ModelAsset) -> ModelRequirement {
    let providers = &config.speech.providers;
    let at_cap = config.bot.rules.local_at_cap;
    let speech = match providers.iter().position(|it| *it == SpeechProvider::Local) {
        Some(0) => ModelRequirement::Required,
        Some(_) => ModelRequirement::Fallback,
        None if at_cap => ModelRequirement::Fallback,
        None => ModelRequirement::Unused,
    };
    match asset.id {
        "onnxruntime" if config.models.onnxruntime_path.is_some() => ModelRequirement::Unused,
        "onnxruntime" | "moonshine-tiny-en" => speech,
        _ => match &config.chat {
            ChatConfig::Local(LocalChatConfig {
                model_path: None, ..
            }) => ModelRequirement::Required,
            ChatConfig::OpenAi(_) | ChatConfig::AssemblyAi(_) if at_cap => {
                ModelRequirement::Fallback
            }
            _ => ModelRequirement::Unused,
        },
    }
}

/// The store of the local models.
pub fn model_store(config: &Config) -> ModelStore {
    ModelStore::new(&config.models.folder)
}

/// Who this is and what it is built from, in one line.
pub fn version_line() -> String {
    let local = match (cfg!(feature = "local-speech"), cfg!(feature = "local-chat")) {
        (true, true) => "with local models",
        (true, false) => "with local speech only",
        (false, true) => "with local answers only",
        (false, false) => "without local models",
    };
    format!("{} {local}", env!("CARGO_PKG_VERSION"))
}

/// The libraries in use that have versions of their own, as far as they say.
pub fn library_versions() -> String {
    let chat = cfg!(feature = "local-chat").then(|| "llama.cpp".to_owned());
    let all = [
        Some(::audio::libopus_version().to_owned()),
        speech_runtime(),
        chat,
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(feature = "local-speech")]
fn speech_runtime() -> Option<String> {
    crate::speech::local::runtime_version()
}

#[cfg(not(feature = "local-speech"))]
fn speech_runtime() -> Option<String> {
    None
}
