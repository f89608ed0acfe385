//! `talkback doctor`: one line a check, with the fix where something is wrong.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::arguments::Arguments;
use super::exit::Exit;
use super::{described, terminal};
use crate::app::{self, App, Need};
use crate::chat::{ChatError, shutdown};
use crate::config::dotenv::DotEnv;
use crate::config::{Chat, Config};
use crate::models::{self, Status};
use crate::words;

/// The longest one check may take. Loading a large model from a slow disk takes its time.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// The server that must list the model it is asked for.
const OPENAI: &str = "api.openai.com";

pub(super) async fn run(arguments: &Arguments, dotenv: &DotEnv) -> Exit {
    let mut report = Report::default();
    report.ok("talkback", &app::versions());
    let config = match Config::read(&arguments.values) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                report.broken(fault.variable, &fault.sentence);
            }
            return report.exit();
        }
    };
    report.ok("settings", &described(dotenv));
    crate::telemetry::start(&config.log);
    let app = match App::new(&config) {
        Ok(app) => app,
        Err(error) => {
            report.broken("start", &words::start(&error));
            return report.exit();
        }
    };
    local_files(&mut report, &config).await;
    speech(&mut report, &app).await;
    answers(&mut report, &app).await;
    report.ok("libraries", &app::libraries());
    report.exit()
}

/// The files of the local models, down to their checksums.
async fn local_files(report: &mut Report, config: &Config) {
    let store = app::store(config);
    for asset in models::catalogue() {
        let need = app::need(config, asset);
        let size = words::bytes(asset.bytes());
        let sentence = match store.verify(asset).await {
            Ok(Status::Present) => {
                report.ok(asset.id, &format!("{size}, checksums right"));
                continue;
            }
            Ok(_) if need == Need::Unused => {
                report.ok(asset.id, "not here, and not needed with these settings");
                continue;
            }
            Ok(status) => format!(
                "{} Run `talkback models fetch`.",
                words::model_status(&status)
            ),
            Err(error) => words::models(&error),
        };
        report.graded(need == Need::Needed, asset.id, &sentence);
    }
    if let Chat::Local(local) = &config.chat
        && let Some(model) = &local.model
        && let Err(error) = std::fs::File::open(model)
    {
        report.broken(
            "LOCAL_CHAT_MODEL",
            &format!(
                "{} can't be read ({}). Check the path.",
                model.display(),
                words::cause(&error)
            ),
        );
    }
}

/// The speech providers in the order in which they are tried. The first must work; the others
/// stand behind it.
async fn speech(report: &mut Report, app: &App) {
    for (index, transcriber) in app.transcribers.iter().enumerate() {
        let name = transcriber.capabilities().name;
        let started = Instant::now();
        match timeout(CHECK_LIMIT, transcriber.probe()).await {
            Ok(Ok(())) => report.ok(
                name,
                &format!(
                    "ready ({}){}",
                    words::length(started.elapsed()),
                    if index == 0 { "" } else { ", stands behind" }
                ),
            ),
            Ok(Err(error)) => report.graded(index == 0, name, &words::speech(&error)),
            Err(_) => report.graded(index == 0, name, &words::no_answer_within(CHECK_LIMIT)),
        }
    }
}

async fn answers(report: &mut Report, app: &App) {
    let chat = &app.pipeline.chat;
    let card = chat.card();
    let name = format!("{} at {}", card.model, card.host);
    let started = Instant::now();
    let probe = match timeout(CHECK_LIMIT, chat.probe()).await {
        Ok(Ok(probe)) => probe,
        Ok(Err(error)) => {
            // Servers of people's own need not list their models; the question itself will tell.
            let unsure = matches!(error, ChatError::UnknownModel(_));
            report.graded(!unsure, &name, &words::chat(&error));
            return;
        }
        Err(_) => {
            report.broken(&name, &words::no_answer_within(CHECK_LIMIT));
            return;
        }
    };
    if probe.listed == Some(false) {
        // Servers of people's own answer under any name, OpenAI does not.
        report.graded(
            card.host == OPENAI,
            &name,
            "The server answers, but does not list this model. Check OPENAI_MODEL.",
        );
    } else {
        let took = words::length(started.elapsed());
        report.ok(&name, &format!("ready ({took})"));
    }
    if let Some(notice) = shutdown::notice(&probe, shutdown::today()) {
        report.warn(&name, &words::shutdown(&notice));
    }
    if let Some(notice) = card.notice {
        report.warn(&name, notice);
    }
}

/// Prints the lines and remembers whether one of them is bad enough for exit code 1.
#[derive(Default)]
struct Report {
    broken: bool,
}

impl Report {
    fn ok(&mut self, what: &str, how: &str) {
        Self::line("ok  ", what, how);
    }

    fn warn(&mut self, what: &str, sentence: &str) {
        Self::line("warn", what, sentence);
    }

    fn broken(&mut self, what: &str, sentence: &str) {
        self.broken = true;
        Self::line("FAIL", what, sentence);
    }

    /// Broken if it is needed, else a warning.
    fn graded(&mut self, needed: bool, what: &str, sentence: &str) {
        if needed {
            self.broken(what, sentence);
        } else {
            self.warn(what, sentence);
        }
    }

    fn line(mark: &str, what: &str, sentence: &str) {
        terminal::print(&format!("{mark}  {what}: {}\n", words::printable(sentence)));
    }

    fn exit(&self) -> Exit {
        if self.broken {
            terminal::print(
                "\nSomething that is needed is broken; each FAIL line says how to fix it.\n",
            );
            Exit::Failure
        } else {
            terminal::print("\nAll that is needed works.\n");
            Exit::Success
        }
    }
}
