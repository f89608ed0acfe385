//! `talkback run`: the bot, and what its operator is told.

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::ask::remark_on_speech;
use super::exit::Exit;
use super::readiness::{models_are_here, probe};
use super::terminal;
use crate::app::{self, App};
use crate::chat::THIS_MACHINE;
use crate::config::Config;
use crate::discord::bot::{self, BotError, Event, Parts};
use crate::discord::health::Health;
use crate::discord::voice::VoiceSettings;
use crate::flow::session::call::Limits;
use crate::monitor::{Monitor, Watched};
use crate::store::{KeySource, Store};
use crate::words;
use crate::words::bot::{Given, Practice};
use audio::EarSettings;
use net;

/// What members are told of AssemblyAI's services.
const ASSEMBLYAI: &str = "AssemblyAI";

pub(super) async fn run(config: &Config, stop: CancellationToken) -> Exit {
    let (app, http) = match App::new(config).and_then(|app| Ok((app, net::client()?))) {
        Ok(made) => made,
        Err(error) => {
            terminal::complain(&words::start(&error));
            return Exit::Failure;
        }
    };
    let Some(token) = config.bot.token.clone() else {
        terminal::complain(words::NO_TOKEN);
        return Exit::Usage;
    };
    if !models_are_here(config).await {
        return Exit::LocalModel;
    }
    let opened = Store::open(&config.bot.data, config.bot.key.as_ref()).await;
    let (store, key) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no ledger");
            terminal::complain(&words::store(&error));
            return Exit::Failure;
        }
    };
    if let KeySource::Generated(path) = &key {
        terminal::complain(&words::key_generated(path));
    }
    remark_on_speech(config);
    let health = Health::default();
    let card = app.pipeline.chat.card();
    let watched = || Watched {
        health: health.clone(),
        store: store.clone(),
        providers: app.providers.clone(),
        rules: config.bot.rules,
        model: words::model(&card.model, &card.host),
    };
    let _monitor = match config.bot.http {
        None => None,
        Some(address) => match Monitor::open(address, config.web.token.as_ref(), watched()).await {
            Ok(monitor) => {
                terminal::aside(&words::monitor_at(monitor.address()));
                Some(monitor)
            }
            Err(error) => {
                terminal::complain(&words::no_monitor(address, &error));
                return Exit::Usage;
            }
        },
    };
    let _probing = AbortOnDropHandle::new(tokio::spawn(probe(
        app.transcribers.clone(),
        app.pipeline.chat.clone(),
    )));

    let parts = Parts {
        token,
        proxy: config.bot.proxy.as_ref().map(ToString::to_string),
        http,
        local: app::local(&app, config),
        rules: config.bot.rules,
        queue: config.bot.queue,
        store: store.clone(),
        retention: config.bot.retention,
        catch_up: config.bot.catch_up,
        practice: practice(&app, config),
        voice: voice(&app, config),
        pipeline: app.pipeline,
    };
    let stopping = stop.clone();
    let ended = bot::run(parts, health, tell, stop).await;
    store.close().await;
    match ended {
        Ok(()) => {
            if stopping.is_cancelled() {
                terminal::aside(words::BYE);
            }
            Exit::Success
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the bot has ended"
            );
            terminal::complain(&match &error {
                BotError::TokenRefused => words::TOKEN_REFUSED.to_owned(),
                BotError::Client(error) => words::start(error),
                BotError::Store(error) => words::store(error),
            });
            match error {
                BotError::TokenRefused => Exit::Provider,
                BotError::Client(_) | BotError::Store(_) => Exit::Failure,
            }
        }
    }
}

fn tell(event: Event) {
    match event {
        Event::TakenUp(count) => terminal::aside(&words::taken_up(count)),
        Event::Unreachable(wait) => terminal::complain(&words::discord_unreachable(wait)),
        Event::CommandsNotRegistered { cause, again } => {
            terminal::complain(&words::commands_not_registered(&cause, again));
        }
        Event::NoContent => terminal::complain(words::NO_CONTENT),
        Event::Connected {
            name,
            servers,
            invite,
        } => terminal::print(&words::connected(&name, servers, &invite)),
    }
}

fn voice(app: &App, config: &Config) -> VoiceSettings {
    let voice = &config.bot.voice;
    VoiceSettings {
        ear: EarSettings {
            end_silence: voice.end_silence,
            live: app.live.is_some() || app.pipeline.transcriber.takes_uploads(),
            by_utterance: app.live.is_none(),
            ..EarSettings::default()
        },
        limits: Limits {
            longest: voice.longest,
            alone: voice.alone,
        },
        live: app.live.clone(),
        driver: voice.driver,
    }
}

/// What people are told about where their words go.
fn practice(app: &App, config: &Config) -> Practice {
    let mut listeners: Vec<&str> = Vec::new();
    for transcriber in &app.transcribers {
        let name = transcriber.capabilities().name;
        let who = if name.ends_with(crate::speech::LOCAL) {
            words::HERE
        } else {
            ASSEMBLYAI
        };
        if !listeners.contains(&who) {
            listeners.push(who);
        }
    }
    let is_given = app.live.is_some() || listeners.contains(&ASSEMBLYAI);
    if is_given && !listeners.contains(&ASSEMBLYAI) {
        listeners.push(ASSEMBLYAI);
    }
    let keeps = config.speech.assemblyai.as_ref();
    let given = is_given.then(|| match keeps.is_some_and(|it| it.keep_transcripts) {
        true => Given::ToBeKept,
        false => Given::ToBeDeleted,
    });
    let card = app.pipeline.chat.card();
    let answerer = if card.host == THIS_MACHINE {
        format!("{}, {}", card.model, words::HERE)
    } else {
        words::model(&card.model, &card.host)
    };
    Practice {
        listeners: listeners.join(", or "),
        answerer,
        days: config.bot.retention.as_secs() / 86_400,
        given,
    }
}
