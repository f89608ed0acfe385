//! `talkback web`: the page that listens and answers, until interrupted.

use tokio_util::task::AbortOnDropHandle;

use super::arguments::Web;
use super::ask::remark_on_speech;
use super::exit::Exit;
use super::readiness::{models_are_here, probe};
use super::terminal;
use crate::app::App;
use crate::config::Config;
use crate::flow::admission::Admission;
use crate::store::Timestamp;
use crate::web::{Page, Site, routes};
use crate::words;

pub(super) async fn run(web: &Web, config: &Config) -> Exit {
    let app = match App::new(config) {
        Ok(app) => app,
        Err(error) => {
            terminal::complain(&words::start(&error));
            return Exit::Failure;
        }
    };
    if !models_are_here(config).await {
        return Exit::LocalModel;
    }
    remark_on_speech(config);
    let listeners: Vec<&'static str> = app
        .transcribers
        .iter()
        .map(|transcriber| transcriber.capabilities().name)
        .collect();
    let admission = Admission::in_memory(config.bot.rules, Timestamp::now);
    let page = Page::new(app.pipeline.clone(), admission, &listeners);
    let (address, token) = (config.web.address, config.web.token.as_ref());
    let site = match Site::open(address, token, routes(page)).await {
        Ok(site) => site,
        Err(error) => {
            terminal::complain(&words::web::no_page(address, &error));
            return Exit::Usage;
        }
    };
    terminal::print(&words::web::page_at(site.address()));
    // Local models are loaded meanwhile, so that the first question need not wait for them.
    let _probing = AbortOnDropHandle::new(tokio::spawn(probe(
        app.transcribers.clone(),
        app.pipeline.chat.clone(),
    )));
    if web.open {
        open(&format!("http://{}/", site.address()));
    }
    site.ended().await;
    Exit::Failure
}

/// Asks the desktop to show `url`.
fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    if std::process::Command::new(opener).arg(url).spawn().is_err() {
        terminal::complain(words::web::NO_BROWSER);
    }
}
