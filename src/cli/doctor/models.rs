//! The files of the local models, down to their checksums.

use super::report::Report;
use crate::app::{self, Need};
use crate::config::{Chat, Config};
use crate::models::{self, Status};
use crate::words;

pub(super) async fn check(config: &Config) -> Report {
    let mut report = Report::default();
    let store = app::store(config);
    for asset in models::catalogue() {
        let need = app::need(config, asset);
        let size = words::bytes(asset.bytes());
        let sentence = match store.verify(asset).await {
            Ok(Status::Present) => {
                report.ok(asset.id, &words::doctor::sums_right(&size));
                continue;
            }
            Ok(_) if need == Need::Unused => {
                report.ok(asset.id, words::doctor::NOT_NEEDED);
                continue;
            }
            Ok(status) => words::doctor::fetch(&status),
            Err(error) => words::models(&error),
        };
        report.graded(need == Need::Needed, asset.id, &sentence);
    }
    if let Chat::Local(local) = &config.chat
        && let Some(model) = &local.model
        && let Err(error) = std::fs::File::open(model)
    {
        let sentence = words::doctor::unreadable(model, &error);
        report.broken("LOCAL_CHAT_MODEL", &sentence);
    }
    report
}
