//! The folders that are written to: permissions and free space.

use std::path::{Path, PathBuf};

use super::report::DoctorReport;
use crate::config::Config;
use crate::ui_text;

/// Below this, warn.
const LOW_SPACE_BYTES: u64 = 1024 * 1024 * 1024;

/// Below this, a recording or a local model may not fit.
const MIN_SPACE_BYTES: u64 = 100 * 1024 * 1024;

pub(super) async fn check(config: &Config) -> DoctorReport {
    let folders = [
        // Only the bot writes there.
        (
            "TALKBACK_DATA",
            config.bot.data_folder.clone(),
            config.bot.token.is_some(),
        ),
        // Only fetching models writes there.
        ("TALKBACK_MODELS", config.models.folder.clone(), false),
        ("temporary folder", std::env::temp_dir(), true),
    ];
    // A network disk may block for a while.
    let checking = tokio::task::spawn_blocking(move || {
        let mut report = DoctorReport::default();
        for (name, folder, needed) in &folders {
            check_folder(&mut report, name, folder, *needed);
        }
        report
    });
    checking.await.unwrap_or_default()
}

fn check_folder(report: &mut DoctorReport, name: &str, folder: &Path, needed: bool) {
    let existing = nearest_existing_folder(folder);
    if let Err(error) = tempfile::tempfile_in(&existing) {
        let sentence = ui_text::doctor::unwritable(&existing, &error);
        report.fail_or_warn(needed, name, &sentence);
        return;
    }
    match fs4::available_space(&existing) {
        Ok(free) if free < MIN_SPACE_BYTES => {
            report.fail_or_warn(needed, name, &ui_text::doctor::disk_full(folder, free));
        }
        Ok(free) if free < LOW_SPACE_BYTES => {
            report.warn(name, &ui_text::doctor::low_disk_space(folder, free));
        }
        Ok(free) => report.ok(name, &ui_text::doctor::disk_space(folder, free)),
        Err(error) => report.warn(name, &ui_text::doctor::disk_space_unknown(folder, &error)),
    }
}

/// The folder, or its nearest existing parent.
fn nearest_existing_folder(folder: &Path) -> PathBuf {
    let existing = folder.ancestors().find(|it| it.is_dir());
    match existing {
        Some(existing) if !existing.as_os_str().is_empty() => existing.to_owned(),
        _ => PathBuf::from("."),
    }
}
