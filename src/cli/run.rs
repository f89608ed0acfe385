//! `talkback run`: the bot, and the messages for its operator.

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::ask::note_local_speech;
use super::exit::Exit;
use super::readiness::{are_models_installed, probe_providers};
use super::terminal;
use crate::app::{self, App};
use crate::chat::LOCAL_HOST;
use crate::config::Config;
use crate::discord::bot::{self, BotDependencies, BotError, BotEvent};
use crate::discord::health::BotHealth;
use crate::discord::voice::VoiceSettings;
use crate::flow::session::actor::SessionLimits;
use crate::monitor::{MonitorServer, MonitorSources};
use crate::store::{KeySource, Store};
use crate::ui_text;
use crate::ui_text::bot::{AssemblyAiRetention, DataHandling};
use audio::SpeakerReceiverSettings;
use net;

/// How members read the name of AssemblyAI's services.
const ASSEMBLYAI_NAME: &str = "AssemblyAI";

pub(super) async fn run(config: &Config, stop: CancellationToken) -> Exit {
    let (app, http) = match App::new(config).and_then(|app| Ok((app, net::http_client()?))) {
        Ok(made) => made,
        Err(error) => {
            terminal::print_error(&ui_text::http_client_error(&error));
            return Exit::Failure;
        }
    };
    let Some(token) = config.bot.token.clone() else {
        terminal::print_error(ui_text::INVALID_DISCORD_TOKEN);
        return Exit::Usage;
    };
    if !are_models_installed(config).await {
        return Exit::LocalModel;
    }
    let opened = Store::open(&config.bot.data_folder, config.bot.encryption_key.as_ref()).await;
    let (store, key) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no ledger");
            terminal::print_error(&ui_text::ledger_error(&error));
            return Exit::Failure;
        }
    };
    if let KeySource::Generated(path) = &key {
        terminal::print_error(&ui_text::key_generated(path));
    }
    note_local_speech(config);
    let health = BotHealth::default();
    let card = app.pipeline.chat.card();
    let monitor_sources = || MonitorSources {
        health: health.clone(),
        store: store.clone(),
        provider_status: app.providers.clone(),
        rules: config.bot.rules,
        model_label: ui_text::model_and_host(&card.model, &card.host),
    };
    let _monitor = match config.bot.http_address {
        None => None,
        Some(address) => {
            match MonitorServer::bind(address, config.web.token.as_ref(), monitor_sources()).await {
                Ok(monitor) => {
                    terminal::print_note(&ui_text::monitor_at(monitor.address()));
                    Some(monitor)
                }
                Err(error) => {
                    terminal::print_error(&ui_text::monitor_unavailable(address, &error));
                    return Exit::Usage;
                }
            }
        }
    };
    let _probing = AbortOnDropHandle::new(tokio::spawn(probe_providers(
        app.transcribers.clone(),
        app.pipeline.chat.clone(),
    )));

    let dependencies = BotDependencies {
        token,
        proxy: config.bot.rest_proxy.as_ref().map(ToString::to_string),
        http_client: http,
        local_pipeline: app::build_local_pipeline(&app, config),
        rules: config.bot.rules,
        queue_limits: config.bot.queue,
        store: store.clone(),
        retention: config.bot.retention,
        catch_up_span: config.bot.catch_up_span,
        data_handling: data_handling(&app, config),
        voice_settings: voice_settings(&app, config),
        pipeline: app.pipeline,
    };
    let shutdown = stop.clone();
    let ended = bot::run(dependencies, health, print_event, stop).await;
    store.close().await;
    match ended {
        Ok(()) => {
            if shutdown.is_cancelled() {
                terminal::print_note(ui_text::BYE);
            }
            Exit::Success
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the bot has ended"
            );
            terminal::print_error(&match &error {
                BotError::TokenRefused => ui_text::DISCORD_TOKEN_REFUSED.to_owned(),
                BotError::Client(error) => ui_text::http_client_error(error),
                BotError::Store(error) => ui_text::ledger_error(error),
            });
            match error {
                BotError::TokenRefused => Exit::Provider,
                BotError::Client(_) | BotError::Store(_) => Exit::Failure,
            }
        }
    }
}

fn print_event(event: BotEvent) {
    match event {
        BotEvent::JobsResumed(count) => terminal::print_note(&ui_text::jobs_resumed(count)),
        BotEvent::Unreachable(wait) => terminal::print_error(&ui_text::discord_unreachable(wait)),
        BotEvent::CommandsNotRegistered {
            cause,
            will_retry: again,
        } => {
            terminal::print_error(&ui_text::commands_not_registered(&cause, again));
        }
        BotEvent::NoMessageContentIntent => {
            terminal::print_error(ui_text::NO_MESSAGE_CONTENT_INTENT);
        }
        BotEvent::Connected {
            name,
            guild_count: servers,
            invite_url: invite,
        } => terminal::print(&ui_text::connected(&name, servers, &invite)),
    }
}

fn voice_settings(app: &App, config: &Config) -> VoiceSettings {
    let voice = &config.bot.voice;
    VoiceSettings {
        speaker_receiver: SpeakerReceiverSettings {
            end_silence: voice.end_silence,
            stream_audio: app.live_transcriber.is_some()
                || app.pipeline.transcriber.supports_upload(),
            align_to_utterances: app.live_transcriber.is_none(),
            ..SpeakerReceiverSettings::default()
        },
        limits: SessionLimits {
            max_length: voice.max_duration,
            alone_timeout: voice.alone_timeout,
        },
        live_transcriber: app.live_transcriber.clone(),
        driver: voice.driver,
    }
}

/// What members are told about where recordings and text go.
fn data_handling(app: &App, config: &Config) -> DataHandling {
    let mut transcribers: Vec<&str> = Vec::new();
    for transcriber in &app.transcribers {
        let name = transcriber.capabilities().name;
        let name_for_members = if name.ends_with(crate::speech::LOCAL_NAME_SUFFIX) {
            ui_text::BOT_MACHINE_MODEL
        } else {
            ASSEMBLYAI_NAME
        };
        if !transcribers.contains(&name_for_members) {
            transcribers.push(name_for_members);
        }
    }
    let uses_assemblyai = app.live_transcriber.is_some() || transcribers.contains(&ASSEMBLYAI_NAME);
    if uses_assemblyai && !transcribers.contains(&ASSEMBLYAI_NAME) {
        transcribers.push(ASSEMBLYAI_NAME);
    }
    let assemblyai = config.speech.assemblyai.as_ref();
    let retention =
        uses_assemblyai.then(|| match assemblyai.is_some_and(|it| it.keep_transcripts) {
            true => AssemblyAiRetention::Kept,
            false => AssemblyAiRetention::Deleted,
        });
    let card = app.pipeline.chat.card();
    let chat_model = if card.host == LOCAL_HOST {
        format!("{}, {}", card.model, ui_text::BOT_MACHINE_MODEL)
    } else {
        ui_text::model_and_host(&card.model, &card.host)
    };
    DataHandling {
        transcribers: transcribers.join(", or "),
        chat_model,
        retention_days: config.bot.retention.as_secs() / 86_400,
        assemblyai_retention: retention,
    }
}
