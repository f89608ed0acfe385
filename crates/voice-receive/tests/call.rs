//! A call in the sandbox, through the public API only. The receiver's behaviour in many more calls is
//! tested in the program's `tests/it/receiver`.

use std::collections::BTreeMap;

use sandbox::{MAX_WAIT, Sandbox};
use tokio::time::timeout;
use voice_receive::{ConnectOptions, ConnectionInfo, VoiceEvent, connect};

/// 3 s of speech.
const SPEECH: &[u8] = include_bytes!("../../../samples/capital.ogg");

/// Packets of silence that a client sends when it stops speaking.
const TRAILING_SILENCE_PACKETS: usize = 5;

#[test]
fn packets_are_attributed_to_their_users() {
    // A process of its own, which trusts the sandbox's certificates.
    sandbox::run_in_subprocess("packets_are_attributed_to_their_users", async {
        let sandbox = Sandbox::start().await;
        let discord = sandbox.discord();
        discord.trust_authority();
        let guild = discord.add_guild("Garden");
        let channel = guild.add_voice_channel("Lounge");
        let (ana, ben) = (guild.add_member("Ana"), guild.add_member("Ben"));
        ana.join_voice(&channel).await;
        ben.join_voice(&channel).await;

        let invitation = discord.join_voice_externally_as_bot(&channel);
        let info = ConnectionInfo {
            guild_id: invitation.guild_id,
            channel_id: invitation.channel_id,
            user_id: invitation.user_id,
            session_id: invitation.session_id,
            token: invitation.token.into(),
            endpoint: invitation.endpoint,
        };
        let (handle, mut events) = connect(info, ConnectOptions::default());
        discord.wait_until_bot_receiving(&channel).await;
        ana.speak_fast(SPEECH, 4.0).await;
        ben.speak_fast(SPEECH, 4.0).await;

        let expected = sandbox::opus_packets(SPEECH).len() + TRAILING_SILENCE_PACKETS;
        let mut received: BTreeMap<u64, usize> = BTreeMap::new();
        while received.len() < 2 || received.values().any(|count| *count < expected) {
            let event = timeout(MAX_WAIT, events.recv()).await;
            if let Some(VoiceEvent::Packets(packets)) = event.expect("all packets in time") {
                for packet in packets {
                    *received.entry(packet.user_id).or_default() += 1;
                }
            }
        }
        let both = BTreeMap::from([(ana.id(), expected), (ben.id(), expected)]);
        assert_eq!(received, both);

        ana.leave_voice().await;
        let left = loop {
            let event = timeout(MAX_WAIT, events.recv()).await;
            if let Some(VoiceEvent::UserLeft { user_id }) = event.expect("an event in time") {
                break user_id;
            }
        };
        assert_eq!(left, ana.id());
        let stats = handle.stats();
        assert_eq!(stats.delivered, 2 * expected as u64);
        assert_eq!(stats.no_key + stats.no_speaker + stats.overrun, 0);
    });
}
