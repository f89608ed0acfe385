//! Floods and nonsense, from outside and from the voice server itself.

use bytes::Bytes;
use serde_json::json;

use super::{Scene, story};

/// The head of a packet of somebody.
fn head(first: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut head = vec![first, 0x78];
    head.extend(sequence.to_be_bytes());
    head.extend(960_u32.to_be_bytes());
    head.extend(ssrc.to_be_bytes());
    head
}

story!(datagrams_of_anybody_do_no_harm, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    let mut forged = 0;
    for length in 0..64_usize {
        for first in [0x80, 0x90, 0xa0, 0xb0, 0xbf, 0x00, 0xff] {
            let mut datagram = head(first, 1, ana.ssrc());
            datagram.resize(length, 0xfa);
            scene.discord.sends_bot_datagram(&datagram);
            forged += 1;
        }
    }
    eve.soon(|it| {
        let counts = it.handle.counts();
        counts.forged + counts.malformed + counts.other >= forged
    })
    .await;
    eve.hears_question(&ana).await;
});

story!(packets_under_the_key_of_the_call_do_no_harm, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    let discord = &scene.discord;
    // Padding without a body, more padding than body, an extension that is longer than the packet.
    discord.sends_bot_packet(&head(0xa0, 1, ana.ssrc()), &[]);
    discord.sends_bot_packet(&head(0xa0, 2, ana.ssrc()), &[1, 2, 200]);
    let mut extended = head(0x90, 3, ana.ssrc());
    extended.extend([0xbe, 0xde, 0xff, 0xff]);
    discord.sends_bot_packet(&extended, &[1, 2, 3]);
    // Encrypted frames of every length, with every size of a trailer.
    for length in 0..48_u8 {
        let mut frame = vec![length; usize::from(length)];
        frame.extend([length, 0xfa, 0xfa]);
        discord.sends_bot_packet(&head(0x80, 100 + u16::from(length), ana.ssrc()), &frame);
    }
    eve.soon(|it| it.handle.counts().malformed >= 3).await;
    eve.hears_question(&ana).await;
});

story!(a_flood_of_streams_has_an_end, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    for ssrc in 0..5_000_u32 {
        let mut frame = vec![7; 100];
        frame.extend([12, 0xfa, 0xfa]);
        let head = head(0x80, 1, 0x8000_0000 + ssrc);
        scene.discord.sends_bot_packet(&head, &frame);
    }
    eve.hears_question(&ana).await;
    eve.soon(|it| it.handle.counts().no_speaker > 0).await;
});

story!(a_false_word_mutes_nobody, async {
    let scene = Scene::new().await;
    let (ana, ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let mut eve = scene.listens().await;
    // Before anything was heard of her, and after.
    scene.discord.tells_bot_of_speaker(ben.id(), ana.ssrc());
    eve.hears_question(&ana).await;
    scene.discord.tells_bot_of_speaker(ben.id(), ana.ssrc());
    let gone = json!({"user_id": ana.id().to_string()});
    scene.discord.sends_bot_voice_frame(13, &gone);
    scene.discord.tells_bot_of_speaker(ben.id(), ana.ssrc());
    let id = ana.id();
    eve.until(|it| it.left.contains(&id)).await;
    eve.hears_question(&ana).await;
    eve.hears_question(&ben).await;
});

story!(nonsense_on_the_gateway_is_passed_over, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    let discord = &scene.discord;
    for (opcode, data) in [
        (2, json!(null)),
        (4, json!({"mode": "x", "secret_key": "y"})),
        (5, json!({"user_id": [], "ssrc": -1})),
        (8, json!({"heartbeat_interval": -1})),
        (8, json!({"heartbeat_interval": 1e300})),
        (11, json!({"user_ids": {}})),
        (21, json!({"transition_id": 70_000})),
        (22, json!({"transition_id": 7})),
        (24, json!({"epoch": "one"})),
        (99, json!([[[[]]]])),
    ] {
        discord.sends_bot_voice_frame(opcode, &data);
    }
    for opcode in [25, 27, 28, 30, 99] {
        for bytes in [&[][..], &[0; 3], &[0xff; 200]] {
            discord.sends_bot_voice_bytes(opcode, bytes);
        }
    }
    let big = Bytes::from(vec![7; 500_000]);
    discord.sends_bot_voice_bytes(27, &big);
    // Whatever the keys have become of it: they become right again.
    discord.closes_voice(4_006);
    eve.until(|it| it.deaf).await;
    eve.until(|it| it.connected && !it.deaf).await;
    discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
});
