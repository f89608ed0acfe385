//! Whether what serves for long has all that it needs.

use std::time::Duration;

use super::terminal;
use crate::app::{self, Need};
use crate::config::Config;
use crate::flow::paid::{PaidModel, PaidTranscriber};
use crate::models::{self, Status};
use crate::words;

/// The longest a provider may take to show that it works.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// Whether all local models that these settings can't do without are here; says what is missing.
pub(super) async fn models_are_here(config: &Config) -> bool {
    let store = app::store(config);
    let mut all = true;
    for asset in models::catalogue() {
        let need = app::need(config, asset);
        let status = match need {
            Need::Unused => continue,
            Need::Needed | Need::Fallback => store.status(asset),
        };
        if status != Status::Present {
            terminal::complain(&words::model_needed(asset.id, &status));
            all &= need != Need::Needed;
        }
    }
    all
}

/// Finds out whether the providers would work, and says so if not. What serves starts anyway: a
/// provider that is down now may be up when somebody asks.
pub(super) async fn probe(transcribers: Vec<PaidTranscriber>, chat: PaidModel) {
    for transcriber in transcribers {
        let name = transcriber.capabilities().name;
        match tokio::time::timeout(PROBE_LIMIT, transcriber.probe()).await {
            Ok(Ok(())) => tracing::info!(name, "works"),
            Ok(Err(error)) => terminal::complain(&format!("{name}: {}", words::speech(&error))),
            Err(_) => {
                terminal::complain(&format!("{name}: {}", words::no_answer_within(PROBE_LIMIT)));
            }
        }
    }
    let model = chat.card().model.clone();
    match tokio::time::timeout(PROBE_LIMIT, chat.probe()).await {
        Ok(Ok(_)) => tracing::info!(model, "works"),
        Ok(Err(error)) => terminal::complain(&format!("{model}: {}", words::chat(&error))),
        Err(_) => terminal::complain(&format!(
            "{model}: {}",
            words::no_answer_within(PROBE_LIMIT)
        )),
    }
}
