//! UDP, and the call that `--voice` joins.

use std::io::Error;
use std::time::Duration;

use crate::ui_text::{format_duration, io_error_cause};

/// Datagrams can be sent; replies were not tested.
pub const UDP_LEAVES_MACHINE: &str = "outgoing UDP works; whether voice servers answer on ports \
     50000 to 65535 wasn't tested (`talkback doctor --voice CHANNEL_ID` does that)";

/// HTTPS is set to use a proxy, which voice can't.
pub const VOICE_BYPASSES_PROXY: &str = "HTTPS goes through a proxy here, and voice can't: it needs \
     direct UDP to the internet, ports 50000 to 65535. If voice sessions stay silent, allow that. \
     `talkback doctor --voice CHANNEL_ID` tests it.";

/// DNS does not resolve the gateway.
pub fn gateway_name_unresolved(host: &str) -> String {
    format!(
        "{host} can't be resolved on this machine, so voice servers can't be either. Check DNS; \
         everything but voice sessions works."
    )
}

/// Datagrams can't be sent.
pub fn udp_blocked(error: &Error) -> String {
    format!(
        "This machine can't send UDP ({}), so voice sessions stay silent. Allow outgoing UDP, \
         ports 50000 to 65535.",
        io_error_cause(error)
    )
}

/// The probe's call worked. `encrypted` is `None` if nobody else was there to agree on keys with.
pub fn voice_probe_passed(channel: &str, took: Duration, encrypted: Option<bool>) -> String {
    let encryption = match encrypted {
        Some(true) => "and end-to-end encryption was set up",
        Some(false) => {
            "but without end-to-end encryption. In a stage that's right; elsewhere, try again."
        }
        None => "with nobody else there, so end-to-end encryption wasn't tested",
    };
    format!(
        "joined {channel} for a moment: its voice server answered over UDP within {}, {encryption}",
        format_duration(took)
    )
}

/// The id is not a voice channel that the bot can see.
pub fn voice_probe_no_channel(channel: u64) -> String {
    format!(
        "{channel} isn't a voice channel that the bot can see. Copy the channel's id in Discord \
         (with Developer Mode on, right-click the channel), and give the bot View Channels."
    )
}

/// The bot is in a call in that server already.
pub const VOICE_PROBE_ALREADY_IN_CALL: &str = "The bot is already in a call in that server, which \
     shows that it can get there. I left it alone; `/session` in Discord shows how well everyone \
     is heard.";

/// Discord did not let the bot join the channel.
pub fn voice_probe_not_admitted(channel: u64) -> String {
    format!(
        "Discord didn't let the bot into channel {channel}. Give it Connect there, and check \
         whether the channel is full."
    )
}

/// The voice server closed the call with `code`, or could not be reached.
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

/// The voice server did not answer over UDP.
pub const VOICE_PROBE_TIMED_OUT: &str = "The voice server didn't answer in time. Allow outgoing \
     UDP, ports 50000 to 65535, and its replies.";
