//! `talkback web`: serves the page until interrupted.

use tokio_util::task::AbortOnDropHandle;

use super::args::WebArgs;
use super::ask::note_local_speech;
use super::exit::Exit;
use super::readiness::{are_models_installed, probe_providers};
use super::terminal;
use crate::app::App;
use crate::config::Config;
use crate::flow::admission::Admission;
use crate::store::Timestamp;
use crate::ui_text;
use crate::web::{HttpServer, PageState, routes};

pub(super) async fn run(web: &WebArgs, config: &Config) -> Exit {
    let app = match App::new(config) {
        Ok(app) => app,
        Err(error) => {
            terminal::print_error(&ui_text::http_client_error(&error));
            return Exit::Failure;
        }
    };
    if !are_models_installed(config).await {
        return Exit::LocalModel;
    }
    note_local_speech(config);
    let provider_names: Vec<&'static str> = app
        .transcribers
        .iter()
        .map(|transcriber| transcriber.capabilities().name)
        .collect();
    let admission = Admission::in_memory(config.bot.rules, Timestamp::now);
    let page = PageState::new(app.pipeline.clone(), admission, &provider_names);
    let (address, token) = (config.web.address, config.web.token.as_ref());
    let server = match HttpServer::bind(address, token, routes(page)).await {
        Ok(server) => server,
        Err(error) => {
            terminal::print_error(&ui_text::web::page_unavailable(address, &error));
            return Exit::Usage;
        }
    };
    terminal::print(&ui_text::web::page_at(server.address()));
    // This also loads local models, so that the first question does not wait for them.
    let _probing = AbortOnDropHandle::new(tokio::spawn(probe_providers(
        app.transcribers.clone(),
        app.pipeline.chat.clone(),
    )));
    if web.open {
        open_browser(&format!("http://{}/", server.address()));
    }
    server.wait_until_ended().await;
    Exit::Failure
}

/// Opens `url` in the desktop's browser.
fn open_browser(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    if std::process::Command::new(opener).arg(url).spawn().is_err() {
        terminal::print_error(ui_text::web::NO_BROWSER);
    }
}
