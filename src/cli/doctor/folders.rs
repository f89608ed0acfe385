//! The folders that are written to: whether they can be, and what is free there.

use std::path::{Path, PathBuf};

use super::report::DoctorReport;
use crate::config::Config;
use crate::ui_text;

/// Below this there soon is none.
const LOW_SPACE_BYTES: u64 = 1024 * 1024 * 1024;

/// Below this a recording or a local model need not fit.
const MIN_SPACE_BYTES: u64 = 100 * 1024 * 1024;

pub(super) async fn check(config: &Config) -> DoctorReport {
    let folders = [
        // Without a bot nothing is written there.
        (
            "TALKBACK_DATA",
            config.bot.data.clone(),
            config.bot.token.is_some(),
        ),
        // Models that are here are only read.
        ("TALKBACK_MODELS", config.models.folder.clone(), false),
        ("temporary folder", std::env::temp_dir(), true),
    ];
    // A disk that is far away may take its time.
    let looked = tokio::task::spawn_blocking(move || {
        let mut report = DoctorReport::default();
        for (name, folder, needed) in &folders {
            check_folder(&mut report, name, folder, *needed);
        }
        report
    });
    looked.await.unwrap_or_default()
}

fn check_folder(report: &mut DoctorReport, name: &str, folder: &Path, needed: bool) {
    let here = nearest_existing_folder(folder);
    if let Err(error) = tempfile::tempfile_in(&here) {
        let sentence = ui_text::doctor::unwritable(&here, &error);
        report.fail_or_warn(needed, name, &sentence);
        return;
    }
    match fs4::available_space(&here) {
        Ok(free) if free < MIN_SPACE_BYTES => {
            report.fail_or_warn(needed, name, &ui_text::doctor::disk_full(folder, free));
        }
        Ok(free) if free < LOW_SPACE_BYTES => {
            report.warn(name, &ui_text::doctor::low_disk_space(folder, free))
        }
        Ok(free) => report.ok(name, &ui_text::doctor::disk_space(folder, free)),
        Err(error) => report.warn(name, &ui_text::doctor::disk_space_unknown(folder, &error)),
    }
}

/// The folder, or the one in which it will be made.
fn nearest_existing_folder(folder: &Path) -> PathBuf {
    let above = folder.ancestors().find(|it| it.is_dir());
    match above {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    }
}
