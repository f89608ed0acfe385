//! Checks before serving: installed models and working providers.

use std::time::Duration;

use super::terminal;
use crate::app::{self, ModelRequirement};
use crate::config::Config;
use crate::flow::paid_providers::{PaidModel, PaidTranscriber};
use crate::models::{self, AssetStatus};
use crate::ui_text;

/// The time limit of a provider's check.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether all local models that these settings need are installed. Prints what is missing.
pub(super) async fn are_models_installed(config: &Config) -> bool {
    let store = app::model_store(config);
    let mut all = true;
    for asset in models::catalogue() {
        let need = app::model_requirement(config, asset);
        let status = match need {
            ModelRequirement::Unused => continue,
            ModelRequirement::Required | ModelRequirement::Fallback => store.status(asset),
        };
        if status != AssetStatus::Present {
            terminal::print_error(&ui_text::model_needed(asset.id, &status));
            all &= need != ModelRequirement::Required;
        }
    }
    all
}

/// Checks the providers and prints those that fail. Serving starts anyway: a provider that is down
/// now may be up when it is needed.
pub(super) async fn probe_providers(transcribers: Vec<PaidTranscriber>, chat: PaidModel) {
    for transcriber in transcribers {
        let name = transcriber.capabilities().name;
        match tokio::time::timeout(PROBE_TIMEOUT, transcriber.probe()).await {
            Ok(Ok(())) => tracing::info!(name, "works"),
            Ok(Err(error)) => {
                terminal::print_error(&format!("{name}: {}", ui_text::speech_error(&error)));
            }
            Err(_) => {
                terminal::print_error(&format!(
                    "{name}: {}",
                    ui_text::check_timed_out(PROBE_TIMEOUT)
                ));
            }
        }
    }
    let model = chat.card().model.clone();
    match tokio::time::timeout(PROBE_TIMEOUT, chat.probe()).await {
        Ok(Ok(_)) => tracing::info!(model, "works"),
        Ok(Err(error)) => {
            terminal::print_error(&format!("{model}: {}", ui_text::chat_error(&error)));
        }
        Err(_) => terminal::print_error(&format!(
            "{model}: {}",
            ui_text::check_timed_out(PROBE_TIMEOUT)
        )),
    }
}
