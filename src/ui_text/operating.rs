//! Starting, running and stopping: what the operator reads on the terminal or in the log.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{format_duration, io_error_cause, sanitize_fragment, strip_control_chars};
use crate::chat::model_shutdown;
use crate::config::SettingError;
use crate::config::dotenv::DotEnvError;
use net::NetError;

/// There is no AssemblyAI key, and the settings do not choose the local engine either.
pub const NO_ASSEMBLYAI_KEY: &str =
    "No ASSEMBLYAI_API_KEY, so speech is recognized on this machine (English only).";

/// `DISCORD_TOKEN` is missing or malformed.
pub const INVALID_DISCORD_TOKEN: &str = "DISCORD_TOKEN is missing or isn't a bot token. Create an \
     application at https://discord.com/developers/applications, open Bot, and copy its token.";

/// Discord rejects the token.
pub const DISCORD_TOKEN_REFUSED: &str = "Discord refused DISCORD_TOKEN. Open \
     https://discord.com/developers/applications, choose the application, open Bot, press Reset \
     Token, and copy the new one.";

/// The message content intent is off.
pub const NO_MESSAGE_CONTENT_INTENT: &str = "Discord doesn't let me read messages in servers, so I \
     can't answer voice messages there automatically; everything else works. To change that, turn \
     on Message Content Intent under Bot at https://discord.com/developers/applications, then \
     restart me.";

/// A setting that can't be used.
pub fn setting_error(error: &SettingError) -> String {
    format!("{}: {}", error.variable, error.message)
}

/// A `.env` file that can't be used.
pub fn dotenv_error(error: &DotEnvError) -> String {
    match error {
        DotEnvError::InvalidLine { line } => format!(
            "The .env file can't be read{}: every line must be NAME=value, with quotes around \
             values that contain spaces.",
            line.map(|line| format!(" at line {line}"))
                .unwrap_or_default()
        ),
        DotEnvError::Unreadable(error) => {
            format!(
                "The .env file can't be read ({}). Check its permissions.",
                io_error_cause(error)
            )
        }
    }
}

/// No HTTP client could be created, for example because the system has no TLS certificates.
pub fn http_client_error(error: &NetError) -> String {
    tracing::error!(error = error as &dyn std::error::Error, "no HTTP client");
    "This system can't make secure connections. Check its certificates (SSL_CERT_FILE).".to_owned()
}

/// The bot is connected to the gateway.
pub fn connected(name: &str, servers: usize, invite: &str) -> String {
    let servers = match servers {
        0 => "no server yet".to_owned(),
        1 => "1 server".to_owned(),
        servers => format!("{servers} servers"),
    };
    format!(
        "{} is connected, in {servers}.\nAdd it to a server: {invite}\n",
        strip_control_chars(name)
    )
}

/// Jobs of an earlier process are resumed.
pub fn jobs_resumed(count: usize) -> String {
    match count {
        1 => "Resuming one request from before.".to_owned(),
        count => format!("Resuming {count} requests from before."),
    }
}

/// Discord can't be reached; the bot retries after `wait`.
pub fn discord_unreachable(wait: Duration) -> String {
    format!(
        "I can't reach Discord right now. I'll try again in {}.",
        format_duration(wait)
    )
}

/// The commands could not be registered. `again`: the bot retries by itself.
pub fn commands_not_registered(cause: &str, again: bool) -> String {
    let next = if again {
        "Until that works, the ones from the last start stay; I'll keep trying."
    } else {
        "The ones from the last start stay; restart me to register the new ones."
    };
    let cause = sanitize_fragment(cause);
    format!("I couldn't register the commands ({cause}). {next}")
}

/// A model that its provider is about to shut down, or has.
pub fn model_shutdown(notice: &model_shutdown::ShutdownNotice, setting: &str) -> String {
    let date = &notice.date;
    match notice.days_left {
        ..=0 => {
            format!("The model was due to be switched off on {date}. Choose another {setting}.")
        }
        1 => format!("The model will be switched off tomorrow, {date}. Choose another {setting}."),
        days => format!(
            "The model will be switched off on {date}, in {days} days. Choose another {setting}."
        ),
    }
}

/// Where the status page is.
pub fn monitor_at(address: SocketAddr) -> String {
    format!("Status page: http://{address}/  (for programs: /healthz and /metrics)")
}

/// The status page's address can't be used.
pub fn monitor_unavailable(address: SocketAddr, error: &io::Error) -> String {
    format!(
        "TALKBACK_HTTP: {address} can't be used ({}). Choose another port, or set it to off.",
        io_error_cause(error)
    )
}

/// `talkback health` without `TALKBACK_HTTP`.
pub const HEALTH_NOT_CONFIGURED: &str =
    "The bot shows its health at TALKBACK_HTTP, which isn't set. Set it to the bot's own value.";

/// `talkback health` got no answer.
pub fn no_bot_at(address: SocketAddr) -> String {
    format!("No bot answers at {address}. Check that it's running, with the same TALKBACK_HTTP.")
}

/// A check that did not end within `limit`.
pub fn check_timed_out(limit: Duration) -> String {
    format!(
        "It did not answer within {}. Try again.",
        format_duration(limit)
    )
}

/// The program panicked at `place`, a file and line of its source.
pub fn panicked(place: &str) -> String {
    format!(
        "I hit a bug of my own ({place}). What I was doing there is lost; please report it with \
         this location."
    )
}

/// The bot has stopped as asked.
pub const BYE: &str = "Bye. Unfinished work continues after the next start.";
