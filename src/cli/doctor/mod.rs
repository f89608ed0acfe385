//! `talkback doctor`: one line a check, with the fix where something is wrong.
//!
//! Checks that do not need each other run at the same time; their lines come in a fixed order.
//! Nothing is changed, and nothing is bought beyond an answer of a few words. Only who asks for it
//! has the bot go into a call.

mod chat;
mod clock;
mod discord;
mod folders;
mod ledger;
mod models;
mod pages;
mod report;
mod speech;
mod voice;

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::oneshot;

use super::arguments::{Arguments, Doctor};
use super::described;
use super::exit::Exit;
use crate::app::{self, App};
use crate::config::Config;
use crate::config::dotenv::DotEnv;
use crate::words;
use clock::Clock;
use report::{Printed, Report};

/// The longest one check may take. Loading a large model from a slow disk takes its time.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

type Checking<'a> = Pin<Box<dyn Future<Output = Report> + 'a>>;

pub(super) async fn run(doctor: &Doctor, arguments: &Arguments, dotenv: &DotEnv) -> Exit {
    let mut printed = Printed::default();
    let mut report = Report::default();
    report.ok("talkback", &app::versions());
    let config = match Config::read(&arguments.values) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                report.broken(fault.variable, &fault.sentence);
            }
            printed.print(report);
            return printed.exit();
        }
    };
    report.ok("settings", &described(dotenv));
    crate::telemetry::start(&config.log);
    let app = match App::new(&config) {
        Ok(app) => app,
        Err(error) => {
            report.broken("start", &words::start(&error));
            printed.print(report);
            return printed.exit();
        }
    };
    printed.print(report);

    let clock = Clock::default();
    let (ledger, opened) = oneshot::channel();
    let checks: [Checking<'_>; 7] = [
        Box::pin(folders::check(&config)),
        Box::pin(models::check(&config)),
        Box::pin(speech::check(&app)),
        Box::pin(chat::check(&app, &config, &clock)),
        Box::pin(async {
            let (report, store) = ledger::check(&config).await;
            // Without a bot nobody waits for it.
            let _ = ledger.send(store);
            report
        }),
        Box::pin(async {
            let opened = async { opened.await.ok().flatten() };
            discord::check(&config, opened, &clock, doctor.voice).await
        }),
        Box::pin(pages::check(&config, &arguments.values)),
    ];
    let mut checking: FuturesOrdered<Checking<'_>> = checks.into_iter().collect();
    while let Some(report) = checking.next().await {
        printed.print(report);
    }
    drop(checking);
    printed.print(clock.report());
    let mut last = Report::default();
    last.ok("libraries", &app::libraries());
    printed.print(last);
    printed.exit()
}
