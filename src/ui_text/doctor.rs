//! What `talkback doctor` says: what is there, and how to fix what is broken.

use std::io::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{bytes, io_error_cause, length, model_status, sanitize_fragment};
use crate::models::AssetStatus;
use net::ClockSkew;

/// Permissions as Discord's settings call them.
pub const VIEW_CHANNELS: &str = "View Channels";
/// The same.
pub const SEND_MESSAGES: &str = "Send Messages";
/// The same.
pub const SEND_MESSAGES_IN_THREADS: &str = "Send Messages in Threads";
/// The same.
pub const READ_MESSAGE_HISTORY: &str = "Read Message History";
/// The same.
pub const ATTACH_FILES: &str = "Attach Files";
/// The same.
pub const CONNECT: &str = "Connect";
/// The same.
pub const CHANGE_NICKNAME: &str = "Change Nickname";

/// At the end, if something is broken.
pub const CHECKS_FAILED: &str = "Something required is broken; each FAIL line says how to fix it.";

/// At the end, if not.
pub const CHECKS_PASSED: &str = "Everything required works.";

/// A local model that nobody asks for.
pub const MODEL_NOT_NEEDED: &str = "not installed, and not needed with these settings";

/// The server does not name the model.
pub fn not_listed(setting: &str) -> String {
    format!("The server answers, but doesn't list this model. Check {setting}.")
}

/// A local model is whole.
pub fn checksums_match(size: &str) -> String {
    format!("{size}, checksums match")
}

/// A local model is not.
pub fn model_not_ready(status: &AssetStatus) -> String {
    format!("{} Run `talkback models fetch`.", model_status(status))
}

/// A file that a setting names.
pub fn file_unreadable(path: &Path, error: &Error) -> String {
    let path = path.display();
    format!(
        "{path} can't be read ({}). Check the path.",
        io_error_cause(error)
    )
}

/// A speech provider works.
pub fn speech_provider_ready(took: Duration, stands_behind: bool) -> String {
    let behind = if stands_behind { ", as a fallback" } else { "" };
    format!("ready ({}){behind}", length(took))
}

/// A live session was begun and ended.
pub fn streaming_ready(took: Duration) -> String {
    format!("ready ({}), opened and closed a session", length(took))
}

/// The model works.
pub fn chat_ready(took: Duration, asked: bool) -> String {
    let asked = if asked { ", and it answers" } else { "" };
    format!("ready ({}){asked}", length(took))
}

/// A folder can be written to and has room.
pub fn disk_space(folder: &Path, free: u64) -> String {
    format!("{}, {} free", folder.display(), bytes(free))
}

/// There soon is none.
pub fn low_disk_space(folder: &Path, free: u64) -> String {
    format!(
        "Only {} free in {}. Make room before it fills up.",
        bytes(free),
        folder.display()
    )
}

/// There is none.
pub fn disk_full(folder: &Path, free: u64) -> String {
    format!(
        "The disk is almost full: {} free in {}. Make room, or choose another folder.",
        bytes(free),
        folder.display()
    )
}

/// Nobody knows.
pub fn disk_space_unknown(folder: &Path, error: &Error) -> String {
    let folder = folder.display();
    format!(
        "{folder} is writable, but the system doesn't say how much space is free ({}).",
        io_error_cause(error)
    )
}

/// Nothing can be written there.
pub fn unwritable(folder: &Path, error: &Error) -> String {
    format!(
        "Nothing can be written to {} ({}). Check its permissions, or choose another folder.",
        folder.display(),
        io_error_cause(error)
    )
}

/// There is no ledger.
pub fn no_ledger(folder: &Path) -> String {
    let folder = folder.display();
    format!("none in {folder} yet; `talkback run` creates it")
}

/// The ledger holds together and its key is right.
pub fn ledger_intact(in_use: bool, old: bool) -> String {
    let whole = if old {
        "intact, but from an older version; the next `talkback run` upgrades it"
    } else {
        "intact, from this version, and its key is right"
    };
    if in_use {
        format!("{whole} (a bot is using it, so it was only read)")
    } else {
        whole.to_owned()
    }
}

/// Others can read the key.
pub fn key_exposed(path: &Path) -> String {
    let path = path.display();
    format!("Other users of this machine can read {path}. Run `chmod 600 {path}`.")
}

/// Nobody told the time.
pub const CLOCK_NOT_COMPARED: &str = "not checked, since no server reported the time";

/// The clock is right.
pub fn clock_accurate(server: &str) -> String {
    format!("right, according to {server}")
}

/// The clock is wrong.
pub fn clock_skewed(server: &str, skew: ClockSkew) -> String {
    let side = if skew.is_ahead { "ahead of" } else { "behind" };
    format!(
        "This machine's clock is {} {side} {server}'s. Have it set by NTP (on Linux: `timedatectl \
         set-ntp true`): certificates and Discord's ids depend on it.",
        length(skew.offset)
    )
}

/// An address can be had.
pub fn address_free(address: SocketAddr) -> String {
    format!("{address} is free")
}

/// A Talkback has it.
pub fn address_used_by_talkback(address: SocketAddr) -> String {
    format!("{address} is in use by a running Talkback")
}

/// Somebody else has it.
pub fn address_taken(address: SocketAddr) -> String {
    format!("Another program is using {address}. Choose another port, or stop that program.")
}

/// It can't be had.
pub fn address_unavailable(address: SocketAddr, error: &Error) -> String {
    format!(
        "{address} can't be used ({}). Choose an address of this machine, or another port.",
        io_error_cause(error)
    )
}

/// There is no bot.
pub const NO_DISCORD_TOKEN: &str = "no DISCORD_TOKEN, so no bot (only needed for `talkback run`)";

/// Whose the token is.
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

/// Discord, or the proxy before it, does not answer.
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

/// Discord does not tell.
pub fn discord_refuses(why: &str) -> String {
    let why = sanitize_fragment(why);
    format!("Discord didn't say ({why}). Try again later.")
}

/// The message content intent is on.
pub const MESSAGE_CONTENT_INTENT_ON: &str =
    "Message Content Intent is on, so voice messages in servers are heard";

/// It is off.
pub const MESSAGE_CONTENT_INTENT_OFF: &str = "Message Content Intent is off, so voice messages in \
     servers aren't answered automatically. Turn it on under Bot at \
     https://discord.com/developers/applications.";

/// The gateway greets.
pub fn gateway_reachable(left: u64, total: u64) -> String {
    format!("reachable, {left} of {total} session starts left today")
}

/// It does not.
pub fn gateway_unreachable(why: &str) -> String {
    format!(
        "Discord's gateway can't be reached ({}). Allow outgoing WebSocket connections to \
         gateway.discord.gg, port 443; they bypass HTTPS_PROXY and DISCORD_PROXY.",
        sanitize_fragment(why)
    )
}

/// The bot may soon begin no more sessions.
pub fn few_session_starts_left(left: u64, total: u64, reset: Duration) -> String {
    format!(
        "Only {left} of {total} session starts are left; they reset in {}. Find out why the bot \
         starts so often: when none are left, Discord resets the token.",
        length(reset)
    )
}

/// Discord knows the commands.
pub fn commands_registered(count: usize) -> String {
    format!("{count} are registered, matching this version")
}

/// It does not, or others.
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

/// Nothing is missing.
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

/// Not all was looked at.
pub fn permissions_partly_checked(servers: usize, channels: usize) -> String {
    format!(
        "Only the first {} and {} were checked.",
        pluralize(servers, "server"),
        pluralize(channels, "channel")
    )
}

fn pluralize(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The name of a line about a server.
pub fn server_check_name(name: &str) -> String {
    format!("permissions in {name}")
}

/// The name of a line about a channel.
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

/// Permissions that the bot lacks in a channel where it should answer.
pub fn missing_channel_permissions(missing: &[&str]) -> String {
    format!(
        "Voice messages are on here, but the bot lacks {}. Allow that under Edit Channel > \
         Permissions, or turn voice messages off with `/settings notes`.",
        join_names(missing)
    )
}

/// A channel is no more.
pub const CHANNEL_GONE: &str = "Voice messages are on in this channel, which no longer exists. \
     Nothing is lost; `/settings show` lists what's on.";

fn join_names(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Datagrams leave.
pub const UDP_LEAVES_MACHINE: &str = "outgoing UDP works; whether voice servers answer on ports \
     50000 to 65535 wasn't tested (`talkback doctor --voice CHANNEL_ID` does that)";

/// Voice has no proxy.
pub const VOICE_BYPASSES_PROXY: &str = "HTTPS goes through a proxy here, and voice can't: it needs \
     direct UDP to the internet, ports 50000 to 65535. If voice sessions stay silent, allow that. \
     `talkback doctor --voice CHANNEL_ID` tests it.";

/// The name of the gateway can't be resolved.
pub fn gateway_name_unresolved(host: &str) -> String {
    format!(
        "{host} can't be resolved on this machine, so voice servers can't be either. Check DNS; \
         everything but voice sessions works."
    )
}

/// No datagram leaves.
pub fn udp_blocked(error: &Error) -> String {
    format!(
        "This machine can't send UDP ({}), so voice sessions stay silent. Allow outgoing UDP, \
         ports 50000 to 65535.",
        io_error_cause(error)
    )
}

/// The bot was in a call, alone or with others, with whom it agreed on keys or did not.
pub fn voice_probe_passed(channel: &str, took: Duration, encrypted: Option<bool>) -> String {
    let keys = match encrypted {
        Some(true) => "and end-to-end encryption was set up",
        Some(false) => {
            "but without end-to-end encryption. In a stage that's right; elsewhere, try again."
        }
        None => "with nobody else there, so end-to-end encryption wasn't tested",
    };
    format!(
        "joined {channel} for a moment: its voice server answered over UDP within {}, {keys}",
        length(took)
    )
}

/// No voice channel.
pub fn voice_probe_no_channel(channel: u64) -> String {
    format!(
        "{channel} isn't a voice channel that the bot can see. Copy the channel's id in Discord \
         (with Developer Mode on, right-click the channel), and give the bot View Channels."
    )
}

/// The bot is in a call.
pub const VOICE_PROBE_ALREADY_IN_CALL: &str = "The bot is already in a call in that server, which \
     shows that it can get there. I left it alone; `/session` in Discord shows how well everyone \
     is heard.";

/// The bot was not let in.
pub fn voice_probe_not_admitted(channel: u64) -> String {
    format!(
        "Discord didn't let the bot into channel {channel}. Give it Connect there, and check \
         whether the channel is full."
    )
}

/// The voice server does not want us, or is not there.
pub fn voice_probe_disconnected(code: Option<u16>) -> String {
    match code {
        Some(code) => format!(
            "The voice server closed the call (code {code}). Try another channel, or try again \
             later."
        ),
        None => {
            "The call couldn't be set up: the voice server can't be reached, or doesn't answer \
             over UDP. Allow outgoing WebSocket connections and UDP, ports 443 and 50000 to 65535."
                .to_owned()
        }
    }
}

/// Nothing comes back.
pub const VOICE_PROBE_TIMED_OUT: &str = "The voice server didn't answer in time. Allow outgoing \
     UDP, ports 50000 to 65535, and its replies.";
