//! `talkback doctor`: one line per check, with the fix where something is wrong.
//!
//! Independent checks run concurrently; their lines come in a fixed order. Nothing is changed, and
//! the only cost is an answer of a few words. The bot joins a call only with `--voice`.

mod chat;
mod clock;
mod discord;
mod folders;
mod http_addresses;
mod ledger;
mod models;
mod report;
mod speech;
mod voice;

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::oneshot;

use super::args::{CommandLineArgs, DoctorArgs};
use super::exit::Exit;
use super::settings_source;
use crate::app::{self, App};
use crate::config::Config;
use crate::config::dotenv::DotEnvSource;
use crate::ui_text;
use clock::ClockCheck;
use report::{DoctorReport, ReportPrinter};

/// The time limit of a check. Loading a large model from a slow disk takes a while.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

type CheckFuture<'a> = Pin<Box<dyn Future<Output = DoctorReport> + 'a>>;

pub(super) async fn run(
    doctor: &DoctorArgs,
    arguments: &CommandLineArgs,
    dotenv: &DotEnvSource,
) -> Exit {
    let mut printed = ReportPrinter::default();
    let mut report = DoctorReport::default();
    report.ok("talkback", &app::version_line());
    let config = match Config::read(&arguments.setting_values) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                report.fail(error.variable, &error.message);
            }
            printed.print(report);
            return printed.exit();
        }
    };
    report.ok("settings", &settings_source(dotenv));
    crate::telemetry::init_logging(&config.log);
    let app = match App::new(&config) {
        Ok(app) => app,
        Err(error) => {
            report.fail("start", &ui_text::http_client_error(&error));
            printed.print(report);
            return printed.exit();
        }
    };
    printed.print(report);

    let clock = ClockCheck::default();
    let (ledger, opened) = oneshot::channel();
    let checks: [CheckFuture<'_>; 7] = [
        Box::pin(folders::check(&config)),
        Box::pin(models::check(&config)),
        Box::pin(speech::check(&app)),
        Box::pin(chat::check(&app, &config, &clock)),
        Box::pin(async {
            let (report, store) = ledger::check(&config).await;
            // Without a bot nothing receives it.
            let _ = ledger.send(store);
            report
        }),
        Box::pin(async {
            let opened = async { opened.await.ok().flatten() };
            discord::check(&config, opened, &clock, doctor.voice).await
        }),
        Box::pin(http_addresses::check(&config, &arguments.setting_values)),
    ];
    let mut checking: FuturesOrdered<CheckFuture<'_>> = checks.into_iter().collect();
    while let Some(report) = checking.next().await {
        printed.print(report);
    }
    drop(checking);
    printed.print(clock.report());
    let mut last = DoctorReport::default();
    last.ok("libraries", &app::library_versions());
    printed.print(last);
    printed.exit()
}
