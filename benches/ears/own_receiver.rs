//! Our own receiver.

use std::sync::Arc;

use sandbox::VoiceConnectionInfo;
use voice_receive::{ConnectOptions, ConnectionInfo, ReceiveStats, VoiceEvent, VoiceHandle};

use super::receiver_log::ReceiverLog;

pub(crate) fn connection_info(invited: &VoiceConnectionInfo) -> ConnectionInfo {
    ConnectionInfo {
        guild_id: invited.guild_id,
        channel_id: invited.channel_id,
        user_id: invited.user_id,
        session_id: invited.session_id.clone(),
        token: invited.token.clone().into(),
        endpoint: invited.endpoint.clone(),
    }
}

/// Connects and records what is received in the log.
pub(crate) fn connect(invited: &VoiceConnectionInfo, log: &Arc<ReceiverLog>) -> VoiceHandle {
    let (handle, mut events) =
        voice_receive::connect(connection_info(invited), ConnectOptions::default());
    let log = Arc::clone(log);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                VoiceEvent::Connected => log.record_connected(),
                VoiceEvent::Packets(packets) => {
                    for it in packets {
                        log.record_packet(Some(it.user_id), it.ssrc, it.sequence, &it.opus);
                    }
                }
                VoiceEvent::ConnectionLost { close_code, .. } => {
                    log.record_ended(format!("lost with code {close_code:?}"));
                }
                VoiceEvent::Speaking { .. }
                | VoiceEvent::UserLeft { .. }
                | VoiceEvent::Interrupted { .. } => {}
            }
        }
        log.record_ended("the receiver has ended".to_owned());
    });
    handle
}

/// The counters that explain losses, as differences between two moments.
pub(crate) fn loss_causes(before: &ReceiveStats, now: &ReceiveStats) -> Vec<(&'static str, u64)> {
    vec![
        ("no_speaker", now.no_speaker - before.no_speaker),
        ("no_key", now.no_key - before.no_key),
        ("buffer_full", now.buffer_full - before.buffer_full),
        ("overrun", now.overrun - before.overrun),
        ("duplicate", now.duplicate - before.duplicate),
        ("malformed", now.malformed - before.malformed),
        (
            "unauthenticated",
            now.unauthenticated - before.unauthenticated,
        ),
        ("dave_errors", now.dave_errors - before.dave_errors),
        ("delayed", now.delayed - before.delayed),
        ("identified", now.identified - before.identified),
        ("resumed", now.resumed - before.resumed),
    ]
}
