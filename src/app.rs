//! The composition root: builds clients from settings, and the pipeline from clients.

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

/// Everything that transcribes and answers.
pub struct App {
    /// The path from recording to answer.
    pub pipeline: Pipeline,
    /// The health of the providers, for the status page.
    pub providers: ProviderStatus,
    /// The speech providers one by one, in the order in which they are tried.
    pub transcribers: Vec<PaidTranscriber>,
    /// Transcribes while a speaker is still talking. `None`: finished utterances go to the
    /// pipeline's transcriber.
    pub live_transcriber: Option<PaidLiveTranscriber>,
}

/// The health of the speech providers and the chat model.
#[derive(Clone)]
pub struct ProviderStatus {
    /// The speech providers.
    pub speech: SpeechHealth,
    /// The chat model.
    pub chat: ModelHealth,
}

/// The health of the speech providers. It gives no access to transcription.
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
    /// Builds the clients. Loads no model and sends no request.
    ///
    /// # Errors
    ///
    /// If no HTTP client can be built because the system's certificates are unusable.
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

/// A pipeline of local engines only, used when a daily limit is reached. `None` if the settings do
/// not ask for it or this build has no local engines.
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

/// A build without local speech rejects `local` in the settings.
#[cfg(not(feature = "local-speech"))]
fn local_transcriber(_: &Config) -> Option<Arc<dyn Transcriber>> {
    None
}

/// The length limit of an answer that only tests the model, in tokens.
const SHORT_ANSWER_TOKENS: u32 = 16;

/// The chat model with a short answer limit, for a test request. `None` for a local model, which
/// can't refuse.
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

/// Stands in for the local model in builds without one. Settings that need a model are rejected
/// before it is asked.
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

/// Whether these settings need a local model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ModelRequirement {
    /// Nothing uses it.
    Unused,
    /// A fallback for another provider.
    Fallback,
    /// Transcription or answers fail without it.
    Required,
}

/// Whether these settings need `asset`.
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

/// Version and build features, in one line.
pub fn version_line() -> String {
    let local = match (cfg!(feature = "local-speech"), cfg!(feature = "local-chat")) {
        (true, true) => "with local models",
        (true, false) => "with local speech only",
        (false, true) => "with local answers only",
        (false, false) => "without local models",
    };
    format!("{} {local}", env!("CARGO_PKG_VERSION"))
}

/// The versions of the native libraries, where they report one.
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
