//! The bot's account, gateway, commands and permissions.

use std::time::Duration;

use crate::ui_text::{format_duration, sanitize_fragment};

/// No token is set.
pub const NO_DISCORD_TOKEN: &str = "no DISCORD_TOKEN, so no bot (only needed for `talkback run`)";

/// The account that the token belongs to. `servers` is a count and whether there are more.
pub fn bot_account(
    application: &str,
    bot: &str,
    servers: Option<(usize, bool)>,
    proxy: bool,
) -> String {
    let servers = match servers {
        None => String::new(),
        Some((0, _)) => ", not in a server yet".to_owned(),
        Some((1, _)) => ", in 1 server".to_owned(),
        Some((count, false)) => format!(", in {count} servers"),
        Some((count, true)) => format!(", in more than {count} servers"),
    };
    let proxy = if proxy {
        " (through DISCORD_PROXY)"
    } else {
        ""
    };
    format!("the token belongs to {application}, whose bot is {bot}{servers}{proxy}")
}

/// Discord, or the proxy in front of it, can't be reached.
pub fn discord_unreachable(why: &str, proxy: bool) -> String {
    let why = sanitize_fragment(why);
    if proxy {
        return format!(
            "Discord's REST API can't be reached through DISCORD_PROXY ({why}). Check that the \
             proxy is running, or unset DISCORD_PROXY."
        );
    }
    format!("Discord can't be reached ({why}). Check the network, and https://discordstatus.com.")
}

/// Discord refuses the request.
pub fn discord_refuses(why: &str) -> String {
    let why = sanitize_fragment(why);
    format!("Discord didn't say ({why}). Try again later.")
}

/// The message content intent is on.
pub const MESSAGE_CONTENT_INTENT_ON: &str =
    "Message Content Intent is on, so voice messages in servers are heard";

/// The message content intent is off.
pub const MESSAGE_CONTENT_INTENT_OFF: &str = "Message Content Intent is off, so voice messages in \
     servers aren't answered automatically. Turn it on under Bot at \
     https://discord.com/developers/applications.";

/// The gateway sent its hello.
pub fn gateway_reachable(left: u64, total: u64) -> String {
    format!("reachable, {left} of {total} session starts left today")
}

/// The gateway can't be reached.
pub fn gateway_unreachable(why: &str) -> String {
    format!(
        "Discord's gateway can't be reached ({}). Allow outgoing WebSocket connections to \
         gateway.discord.gg, port 443; they bypass HTTPS_PROXY and DISCORD_PROXY.",
        sanitize_fragment(why)
    )
}

/// The daily limit of session starts is nearly used up.
pub fn few_session_starts_left(left: u64, total: u64, reset: Duration) -> String {
    format!(
        "Only {left} of {total} session starts are left; they reset in {}. Find out why the bot \
         starts so often: when none are left, Discord resets the token.",
        format_duration(reset)
    )
}

/// Discord has this version's commands.
pub fn commands_registered(count: usize) -> String {
    format!("{count} are registered, matching this version")
}

/// Discord has other commands than this version.
pub fn commands_differ(missing: &[String], changed: &[String], foreign: &[String]) -> String {
    let parts = [
        ("not registered", missing),
        ("registered differently", changed),
        ("not of this version", foreign),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    format!(
        "Discord's commands differ from this version's ({}). Start `talkback run` once to register \
         them.",
        parts.join("; ")
    )
}

/// No command is registered.
pub const NO_COMMANDS_REGISTERED: &str =
    "None are registered with Discord. Start `talkback run` once to register them.";

/// A permission, as Discord's settings name it.
pub const VIEW_CHANNELS: &str = "View Channels";
/// A permission, as Discord's settings name it.
pub const SEND_MESSAGES: &str = "Send Messages";
/// A permission, as Discord's settings name it.
pub const SEND_MESSAGES_IN_THREADS: &str = "Send Messages in Threads";
/// A permission, as Discord's settings name it.
pub const READ_MESSAGE_HISTORY: &str = "Read Message History";
/// A permission, as Discord's settings name it.
pub const ATTACH_FILES: &str = "Attach Files";
/// A permission, as Discord's settings name it.
pub const CONNECT: &str = "Connect";
/// A permission, as Discord's settings name it.
pub const CHANGE_NICKNAME: &str = "Change Nickname";

/// The bot has all permissions it needs.
pub fn permissions_complete(servers: usize, channels: usize) -> String {
    let servers = pluralize(servers, "server");
    match channels {
        0 => format!("complete in {servers}"),
        channels => format!(
            "complete in {servers} and {} with voice messages on",
            pluralize(channels, "channel")
        ),
    }
}

/// There are more servers or channels than the check covers.
pub fn permissions_partly_checked(servers: usize, channels: usize) -> String {
    format!(
        "Only the first {} and {} were checked.",
        pluralize(servers, "server"),
        pluralize(channels, "channel")
    )
}

/// The name of the line about a server.
pub fn server_check_name(name: &str) -> String {
    format!("permissions in {name}")
}

/// The name of the line about a channel.
pub fn channel_check_name(name: Option<&str>, id: u64, server: &str) -> String {
    match name {
        Some(name) => format!("permissions in #{name} of {server}"),
        None => format!("permissions in channel {id} of {server}"),
    }
}

/// Permissions that the bot lacks in a server.
pub fn missing_server_permissions(missing: &[&str], invite: &str) -> String {
    format!(
        "The bot lacks {}. Allow that for its role under Server Settings > Roles, or add the bot \
         again: {invite}",
        join_names(missing)
    )
}

/// Permissions that the bot lacks in a channel with voice messages on.
pub fn missing_channel_permissions(missing: &[&str]) -> String {
    format!(
        "Voice messages are on here, but the bot lacks {}. Allow that under Edit Channel > \
         Permissions, or turn voice messages off with `/settings notes`.",
        join_names(missing)
    )
}

/// A channel with voice messages on no longer exists.
pub const CHANNEL_GONE: &str = "Voice messages are on in this channel, which no longer exists. \
     Nothing is lost; `/settings show` lists what's on.";

/// `1 server`, `2 servers`.
fn pluralize(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// `A, B and C`.
fn join_names(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
