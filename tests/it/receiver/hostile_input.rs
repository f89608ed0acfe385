//! Floods and nonsense, from outside and from the voice server itself.

use bytes::Bytes;
use serde_json::json;

use super::{CallFixture, story};

/// The head of a packet of somebody.
fn rtp_header(first: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut head = vec![first, 0x78];
    head.extend(sequence.to_be_bytes());
    head.extend(960_u32.to_be_bytes());
    head.extend(ssrc.to_be_bytes());
    head
}

story!(datagrams_of_anybody_do_no_harm, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    let mut forged = 0;
    for length in 0..64_usize {
        for first in [0x80, 0x90, 0xa0, 0xb0, 0xbf, 0x00, 0xff] {
            let mut datagram = rtp_header(first, 1, ana.ssrc());
            datagram.resize(length, 0xfa);
            scene.discord.send_datagram_to_bot(&datagram);
            forged += 1;
        }
    }
    eve.wait_briefly_until(|it| {
        let counts = it.handle.stats();
        counts.unauthenticated + counts.malformed + counts.other >= forged
    })
    .await;
    eve.assert_receives_question(&ana).await;
});

story!(packets_under_the_key_of_the_call_do_no_harm, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    let discord = &scene.discord;
    // Padding without a body, more padding than body, an extension that is longer than the packet.
    discord.send_packet_to_bot(&rtp_header(0xa0, 1, ana.ssrc()), &[]);
    discord.send_packet_to_bot(&rtp_header(0xa0, 2, ana.ssrc()), &[1, 2, 200]);
    let mut extended = rtp_header(0x90, 3, ana.ssrc());
    extended.extend([0xbe, 0xde, 0xff, 0xff]);
    discord.send_packet_to_bot(&extended, &[1, 2, 3]);
    // Encrypted frames of every length, with every size of a trailer.
    for length in 0..48_u8 {
        let mut frame = vec![length; usize::from(length)];
        frame.extend([length, 0xfa, 0xfa]);
        discord.send_packet_to_bot(
            &rtp_header(0x80, 100 + u16::from(length), ana.ssrc()),
            &frame,
        );
    }
    eve.wait_briefly_until(|it| it.handle.stats().malformed >= 3)
        .await;
    eve.assert_receives_question(&ana).await;
});

story!(a_flood_of_streams_has_an_end, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    for ssrc in 0..5_000_u32 {
        let mut frame = vec![7; 100];
        frame.extend([12, 0xfa, 0xfa]);
        let head = rtp_header(0x80, 1, 0x8000_0000 + ssrc);
        scene.discord.send_packet_to_bot(&head, &frame);
    }
    eve.assert_receives_question(&ana).await;
    eve.wait_briefly_until(|it| it.handle.stats().no_speaker > 0)
        .await;
});

story!(a_false_word_mutes_nobody, async {
    let scene = CallFixture::new().await;
    let (ana, ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let mut eve = scene.connect_receiver().await;
    // Before anything was heard of her, and after.
    scene.discord.announce_speaker_to_bot(ben.id(), ana.ssrc());
    eve.assert_receives_question(&ana).await;
    scene.discord.announce_speaker_to_bot(ben.id(), ana.ssrc());
    let gone = json!({"user_id": ana.id().to_string()});
    scene.discord.send_voice_frame_to_bot(13, &gone);
    scene.discord.announce_speaker_to_bot(ben.id(), ana.ssrc());
    let id = ana.id();
    eve.wait_until(|it| it.left_users.contains(&id)).await;
    eve.assert_receives_question(&ana).await;
    eve.assert_receives_question(&ben).await;
});

story!(nonsense_on_the_gateway_is_passed_over, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
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
        discord.send_voice_frame_to_bot(opcode, &data);
    }
    for opcode in [25, 27, 28, 30, 99] {
        for bytes in [&[][..], &[0; 3], &[0xff; 200]] {
            discord.send_voice_bytes_to_bot(opcode, bytes);
        }
    }
    let big = Bytes::from(vec![7; 500_000]);
    discord.send_voice_bytes_to_bot(27, &big);
    // Whatever the keys have become of it: they become right again.
    discord.close_bot_voice(4_006);
    eve.wait_until(|it| it.is_deaf).await;
    eve.wait_until(|it| it.is_connected && !it.is_deaf).await;
    discord.wait_until_bot_receiving(&scene.voice_channel).await;
    eve.assert_receives_question(&ana).await;
});
