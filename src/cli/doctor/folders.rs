//! The folders that are written to: whether they can be, and what is free there.

use std::path::{Path, PathBuf};

use super::report::Report;
use crate::config::Config;
use crate::words;

/// Below this there soon is none.
const LITTLE: u64 = 1024 * 1024 * 1024;

/// Below this a recording or a local model need not fit.
const TOO_LITTLE: u64 = 100 * 1024 * 1024;

pub(super) async fn check(config: &Config) -> Report {
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
        let mut report = Report::default();
        for (name, folder, needed) in &folders {
            look(&mut report, name, folder, *needed);
        }
        report
    });
    looked.await.unwrap_or_default()
}

fn look(report: &mut Report, name: &str, folder: &Path, needed: bool) {
    let here = nearest(folder);
    if let Err(error) = tempfile::tempfile_in(&here) {
        let sentence = words::doctor::unwritable(&here, &error);
        report.graded(needed, name, &sentence);
        return;
    }
    match fs4::available_space(&here) {
        Ok(free) if free < TOO_LITTLE => {
            report.graded(needed, name, &words::doctor::disk_full(folder, free));
        }
        Ok(free) if free < LITTLE => report.warn(name, &words::doctor::little_room(folder, free)),
        Ok(free) => report.ok(name, &words::doctor::room(folder, free)),
        Err(error) => report.warn(name, &words::doctor::unknown_room(folder, &error)),
    }
}

/// The folder, or the one in which it will be made.
fn nearest(folder: &Path) -> PathBuf {
    let above = folder.ancestors().find(|it| it.is_dir());
    match above {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    }
}
