//! Every sentence that a user reads: what happened, and what to do next.
//!
//! Errors carry facts; only this module turns them into sentences, so that they can be read, and are
//! snapshot-tested, together. The sentences at the top level are for the operator and for users of
//! the command line. [`bot`] and [`voice_session`] are for members of a Discord server, who can't
//! change the operator's settings; [`web`] is for the pages, [`doctor`] for `talkback doctor`.

pub mod bot;
pub mod doctor;
pub mod transcript_file;
pub mod voice_session;
pub mod web;

mod audio_errors;
mod chat_errors;
mod format;
mod ledger_errors;
mod limits;
mod model_errors;
mod operating;
mod progress;
mod provider_errors;
mod speech_errors;

use crate::flow::PipelineError;
use format::{lowercase_first, sanitize_fragment};

pub use audio_errors::audio_error;
pub use chat_errors::chat_error;
pub use format::{format_bytes, format_duration, io_error_cause, quote_lines, strip_control_chars};
pub use ledger_errors::{key_generated, ledger_error};
pub use limits::{daily_limit_message, queue_full};
pub use model_errors::{model_error, model_needed, model_status};
pub use operating::{
    BYE, DISCORD_TOKEN_REFUSED, HEALTH_NOT_CONFIGURED, INVALID_DISCORD_TOKEN, NO_ASSEMBLYAI_KEY,
    NO_MESSAGE_CONTENT_INTENT, check_timed_out, commands_not_registered, connected,
    discord_unreachable, dotenv_error, http_client_error, jobs_resumed, model_shutdown, monitor_at,
    monitor_unavailable, no_bot_at, panicked, setting_error,
};
pub use progress::{REASONING_ENDED, notice, progress, stage};
pub use speech_errors::speech_error;

/// Why the pipeline failed. `name` is the recording, if there is one.
pub fn failure(name: Option<&str>, failure: &PipelineError) -> String {
    match failure {
        PipelineError::Audio(error) => audio_error(name.unwrap_or("The recording"), error),
        PipelineError::Speech(error) => speech_error(error),
        PipelineError::Chat(error) => chat_error(error),
    }
}

/// What members are told about a model that runs where the bot does.
pub const BOT_MACHINE_MODEL: &str = "a model on the bot's own machine";

/// A model and the host that serves it.
pub fn model_and_host(model: &str, host: &str) -> String {
    format!("{model} at {host}")
}
