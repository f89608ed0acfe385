//! What `talkback doctor` says: what works, and how to fix what is broken.

mod discord;
mod machine;
mod voice;

use std::io::Error;
use std::path::Path;
use std::time::Duration;

use super::{format_duration, io_error_cause, model_status};
use crate::models::AssetStatus;

pub use discord::*;
pub use machine::*;
pub use voice::*;

/// The last line if something required is broken.
pub const CHECKS_FAILED: &str = "Something required is broken; each FAIL line says how to fix it.";

/// The last line if nothing required is broken.
pub const CHECKS_PASSED: &str = "Everything required works.";

/// A local model that is not installed and not needed.
pub const MODEL_NOT_NEEDED: &str = "not installed, and not needed with these settings";

/// The server does not list the model that `setting` names.
pub fn not_listed(setting: &str) -> String {
    format!("The server answers, but doesn't list this model. Check {setting}.")
}

/// A local model is intact.
pub fn checksums_match(size: &str) -> String {
    format!("{size}, checksums match")
}

/// A local model is missing or damaged.
pub fn model_not_ready(status: &AssetStatus) -> String {
    format!("{} Run `talkback models fetch`.", model_status(status))
}

/// A file that a setting names can't be read.
pub fn file_unreadable(path: &Path, error: &Error) -> String {
    let path = path.display();
    format!(
        "{path} can't be read ({}). Check the path.",
        io_error_cause(error)
    )
}

/// A speech provider works. `is_fallback`: it is not the first in the list.
pub fn speech_provider_ready(took: Duration, is_fallback: bool) -> String {
    let fallback = if is_fallback { ", as a fallback" } else { "" };
    format!("ready ({}){fallback}", format_duration(took))
}

/// A streaming session was opened and closed.
pub fn streaming_ready(took: Duration) -> String {
    format!(
        "ready ({}), opened and closed a session",
        format_duration(took)
    )
}

/// The chat model works. `was_asked`: it answered a question, not only its model list.
pub fn chat_ready(took: Duration, was_asked: bool) -> String {
    let asked = if was_asked { ", and it answers" } else { "" };
    format!("ready ({}){asked}", format_duration(took))
}
