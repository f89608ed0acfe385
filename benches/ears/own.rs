//! Our own receiver.

use std::sync::Arc;

use sandbox::VoiceInvitation;
use voice_receive::{ConnectionInfo, Counts, Handle, Heard, Options, connect};

use super::log::Log;

pub(crate) fn info(invited: &VoiceInvitation) -> ConnectionInfo {
    ConnectionInfo {
        guild: invited.guild_id,
        channel: invited.channel_id,
        user: invited.user_id,
        session: invited.session_id.clone(),
        token: invited.token.clone().into(),
        endpoint: invited.endpoint.clone(),
    }
}

/// Connects, and writes into the log what is heard.
pub(crate) fn connects(invited: &VoiceInvitation, log: &Arc<Log>) -> Handle {
    let (handle, mut heard) = connect(info(invited), Options::default());
    let log = Arc::clone(log);
    tokio::spawn(async move {
        while let Some(heard) = heard.recv().await {
            match heard {
                Heard::Connected => log.connects(),
                Heard::Packets(packets) => {
                    for it in packets {
                        log.hears(Some(it.user), it.ssrc, it.sequence, &it.opus);
                    }
                }
                Heard::Lost { code, .. } => log.ends(format!("lost with code {code:?}")),
                Heard::Speaks { .. } | Heard::Left { .. } | Heard::Deaf { .. } => {}
            }
        }
        log.ends("the receiver has ended".to_owned());
    });
    handle
}

/// What is worth telling of the counts between two moments.
pub(crate) fn causes(before: &Counts, now: &Counts) -> Vec<(&'static str, u64)> {
    vec![
        ("no_speaker", now.no_speaker - before.no_speaker),
        ("no_key", now.no_key - before.no_key),
        ("no_room", now.no_room - before.no_room),
        ("overrun", now.overrun - before.overrun),
        ("repeated", now.repeated - before.repeated),
        ("malformed", now.malformed - before.malformed),
        ("forged", now.forged - before.forged),
        ("bad_keys", now.bad_keys - before.bad_keys),
        ("waited", now.waited - before.waited),
        ("identified", now.identified - before.identified),
        ("resumed", now.resumed - before.resumed),
    ]
}
