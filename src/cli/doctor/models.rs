//! The files of the local models, including their checksums.

use super::report::DoctorReport;
use crate::app::{self, ModelRequirement};
use crate::config::{ChatConfig, Config};
use crate::models::{self, AssetStatus};
use crate::ui_text;

pub(super) async fn check(config: &Config) -> DoctorReport {
    let mut report = DoctorReport::default();
    let store = app::model_store(config);
    for asset in models::catalogue() {
        let need = app::model_requirement(config, asset);
        let size = ui_text::format_bytes(asset.total_bytes());
        let sentence = match store.verify(asset).await {
            Ok(AssetStatus::Present) => {
                report.ok(asset.id, &ui_text::doctor::checksums_match(&size));
                continue;
            }
            Ok(_) if need == ModelRequirement::Unused => {
                report.ok(asset.id, ui_text::doctor::MODEL_NOT_NEEDED);
                continue;
            }
            Ok(status) => ui_text::doctor::model_not_ready(&status),
            Err(error) => ui_text::model_error(&error),
        };
        report.fail_or_warn(need == ModelRequirement::Required, asset.id, &sentence);
    }
    if let ChatConfig::Local(local) = &config.chat
        && let Some(model) = &local.model_path
        && let Err(error) = std::fs::File::open(model)
    {
        let sentence = ui_text::doctor::file_unreadable(model, &error);
        report.fail("LOCAL_CHAT_MODEL", &sentence);
    }
    report
}
