//! The composition root: settings become clients, clients become a pipeline.

use std::sync::Arc;

use crate::chat::ChatModel;
use crate::chat::openai::{self, LlmGatewayModel, OpenAiModel};
use crate::chat::prompt;
use crate::chat::watched::{Watch, Watched};
use crate::config::{Chat, Config, LocalChat, SpeechProvider, VoiceTranscriber};
use crate::flow::Pipeline;
use crate::flow::paid::{PaidLive, PaidModel, PaidTranscriber};
use crate::models::{Asset, Store};
use crate::speech::assemblyai::{PrerecordedTranscriber, StreamingTranscriber, SyncTranscriber};
use crate::speech::{Failover, FailoverSettings, ProviderHealth, Transcriber};
use net::{self, NetError};

/// The demonstration model's file in the models' folder.
#[cfg(feature = "local-chat")]
const DEMONSTRATION_MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Everything that is needed to hear and to answer.
pub struct App {
    /// What recordings pass through.
    pub pipeline: Pipeline,
    /// How the speech providers and the model are, for whoever looks on.
    pub providers: Providers,
    /// The speech providers one by one, in the order in which they are tried.
    pub transcribers: Vec<PaidTranscriber>,
    /// Listens while somebody speaks; none: utterances go to the pipeline's transcriber.
    pub live: Option<PaidLive>,
}

/// How the speech providers and the model are.
#[derive(Clone)]
pub struct Providers {
    /// The speech providers.
    pub speech: SpeechHealth,
    /// The model.
    pub chat: Watch,
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
        let http = net::client()?;
        let transcribers: Vec<Arc<dyn Transcriber>> = config
            .speech
            .providers
            .iter()
            .filter_map(|provider| transcriber(*provider, config, &http))
            .collect();
        let failover = Failover::new(transcribers.clone(), FailoverSettings::default());
        let failover = Arc::new(failover);
        let providers = Providers {
            speech: SpeechHealth(Arc::clone(&failover)),
            chat: Watch::default(),
        };
        let model = Watched::new(chat(config, http), providers.chat.clone());
        Ok(Self {
            pipeline: Pipeline {
                limits: config.limits.clone(),
                transcriber: PaidTranscriber::new(failover),
                chat: PaidModel::new(Arc::new(model)),
                hints: config.speech.hints.clone(),
                system_prompt: config.system_prompt.clone(),
                answer_limit: config.answer_limit,
            },
            providers,
            transcribers: transcribers.into_iter().map(PaidTranscriber::new).collect(),
            live: live(config),
        })
    }
}

fn live(config: &Config) -> Option<PaidLive> {
    match config.speech.voice {
        VoiceTranscriber::Utterance => None,
        VoiceTranscriber::Streaming => {
            let settings = config.speech.assemblyai.as_ref()?;
            Some(PaidLive::new(Arc::new(StreamingTranscriber::new(settings))))
        }
    }
}

/// The engines of this machine alone, for those whose cap is reached. None if the settings do not
/// want them, or this build does not have them.
pub fn local(app: &App, config: &Config) -> Option<Pipeline> {
    if !config.bot.rules.local_at_cap {
        return None;
    }
    let transcriber = local_transcriber(config)?;
    let (chat, prompt) = match &config.chat {
        Chat::Local(_) => (
            app.pipeline.chat.clone(),
            app.pipeline.system_prompt.clone(),
        ),
        Chat::OpenAi(_) | Chat::AssemblyAi(_) if cfg!(feature = "local-chat") => (
            PaidModel::new(local_chat(config, &LocalChat::default())),
            prompt::SPOKEN_SHORT.to_owned(),
        ),
        Chat::OpenAi(_) | Chat::AssemblyAi(_) => return None,
    };
    Some(Pipeline {
        transcriber: PaidTranscriber::new(transcriber),
        chat,
        system_prompt: prompt,
        ..app.pipeline.clone()
    })
}

fn transcriber(
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
    use crate::speech::local::{LocalTranscriber, Settings};
    let models = &config.models;
    let mut settings = Settings::in_folder(&models.folder, config.limits.clone());
    if models.onnxruntime.is_some() {
        settings.runtime.clone_from(&models.onnxruntime);
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
const BRIEF: u32 = 16;

/// The model that answers, for an answer of a few words. None if it runs on this machine, where
/// nobody can refuse.
///
/// # Errors
///
/// As [`App::new`].
pub fn brief(config: &Config) -> Result<Option<PaidModel>, NetError> {
    let brief = |settings: &openai::Settings| {
        let mut settings = settings.clone();
        settings.max_answer_tokens = settings.max_answer_tokens.min(BRIEF);
        settings
    };
    let model: Arc<dyn ChatModel> = match &config.chat {
        Chat::Local(_) => return Ok(None),
        Chat::OpenAi(settings) => Arc::new(OpenAiModel::new(net::client()?, brief(settings))),
        Chat::AssemblyAi(settings) => {
            Arc::new(LlmGatewayModel::new(net::client()?, brief(settings)))
        }
    };
    Ok(Some(PaidModel::new(model)))
}

fn chat(config: &Config, http: reqwest::Client) -> Arc<dyn ChatModel> {
    match &config.chat {
        Chat::OpenAi(settings) => Arc::new(OpenAiModel::new(http, settings.as_ref().clone())),
        Chat::AssemblyAi(settings) => {
            Arc::new(LlmGatewayModel::new(http, settings.as_ref().clone()))
        }
        Chat::Local(local) => local_chat(config, local),
    }
}

#[cfg(feature = "local-chat")]
fn local_chat(config: &Config, local: &LocalChat) -> Arc<dyn ChatModel> {
    use std::num::NonZero;

    use crate::chat::local::{LocalModel, Settings};
    let mut settings = match &local.model {
        Some(model) => Settings::new(model),
        None => Settings {
            fetchable: true,
            max_answer_tokens: 200,
            ..Settings::new(config.models.folder.join(DEMONSTRATION_MODEL))
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
    Arc::new(LocalModel::new(settings))
}

#[cfg(not(feature = "local-chat"))]
fn local_chat(_: &Config, _: &LocalChat) -> Arc<dyn ChatModel> {
    Arc::new(no_model::NoModel::default())
}

/// Stands where nobody answers because nobody has to: the settings refuse it otherwise.
#[cfg(not(feature = "local-chat"))]
mod no_model {
    use async_trait::async_trait;

    use crate::chat::{AnswerStream, ChatError, ChatModel, Conversation, ModelCard, Probe};

    pub(super) struct NoModel(ModelCard);

    impl Default for NoModel {
        fn default() -> Self {
            Self(ModelCard {
                model: "none".to_owned(),
                host: crate::chat::THIS_MACHINE.to_owned(),
                notice: None,
            })
        }
    }

    fn none() -> ChatError {
        ChatError::Local {
            reason: "this build has no local model".to_owned(),
            fetch_mends: false,
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

        async fn probe(&self) -> Result<Probe, ChatError> {
            Err(none())
        }
    }
}

/// How much a local model matters with these settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// Nothing uses it.
    Unused,
    /// It stands behind a provider.
    Fallback,
    /// Without it nothing is heard, or nothing answered.
    Needed,
}

/// How much `asset` matters.
pub fn need(config: &Config, asset: &Asset) -> Need {
    let providers = &config.speech.providers;
    let at_cap = config.bot.rules.local_at_cap;
    let speech = match providers.iter().position(|it| *it == SpeechProvider::Local) {
        Some(0) => Need::Needed,
        Some(_) => Need::Fallback,
        None if at_cap => Need::Fallback,
        None => Need::Unused,
    };
    match asset.id {
        "onnxruntime" if config.models.onnxruntime.is_some() => Need::Unused,
        "onnxruntime" | "moonshine-tiny-en" => speech,
        _ => match &config.chat {
            Chat::Local(LocalChat { model: None, .. }) => Need::Needed,
            Chat::OpenAi(_) | Chat::AssemblyAi(_) if at_cap => Need::Fallback,
            _ => Need::Unused,
        },
    }
}

/// The store of the local models.
pub fn store(config: &Config) -> Store {
    Store::new(&config.models.folder)
}

/// Who this is and what it is built from, in one line.
pub fn versions() -> String {
    let local = match (cfg!(feature = "local-speech"), cfg!(feature = "local-chat")) {
        (true, true) => "with local models",
        (true, false) => "with local speech only",
        (false, true) => "with local answers only",
        (false, false) => "without local models",
    };
    format!("{} {local}", env!("CARGO_PKG_VERSION"))
}

/// The libraries in use that have versions of their own, as far as they say.
pub fn libraries() -> String {
    let chat = cfg!(feature = "local-chat").then(|| "llama.cpp".to_owned());
    let all = [
        Some(::audio::opus_version().to_owned()),
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
