//! People come and go, the listener among them.

use std::time::Duration;

use super::{
    CallFixture, SILENCE_FRAME, TestReceiver, question_packets, repeated_packets, story,
    with_trailing_silence,
};

story!(
    whoever_speaks_at_once_is_heard_from_the_first_packet,
    async {
        let scene = CallFixture::new().await;
        let ana = scene.add_speaker("Ana").await;
        scene
            .discord
            .set_bot_voice_gateway_lag(Duration::from_millis(100));
        let mut eve = scene.connect_receiver().await;
        eve.assert_receives_question(&ana).await;
    }
);

story!(who_talks_already_is_heard_from_the_first_key_on, async {
    let scene = CallFixture::new().await;
    let (ana, ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let said = with_trailing_silence(&repeated_packets(2));
    let both = [
        ana.start_speaking_packets(repeated_packets(2)),
        ben.start_speaking_packets(repeated_packets(2)),
    ];
    scene
        .discord
        .set_bot_voice_gateway_lag(Duration::from_millis(50));
    let mut eve = scene.start_receiver().await;
    for speech in both {
        speech.wait_until_sent().await;
    }
    for who in [&ana, &ben] {
        let id = who.id();
        let ended = |it: &TestReceiver| {
            let tail = it.packets.get(&id).into_iter().flatten().rev().take(5);
            tail.filter(|it| it.opus == SILENCE_FRAME).count() == 5
        };
        eve.wait_until(ended).await;
        let heard = eve.received_packets(who);
        // All that follows the first one: nothing is missing behind it.
        assert!(said.ends_with(&heard), "{:?}", eve.handle.stats());
        // What was sent under keys that a newcomer never gets is lost for everybody.
        let missed = scene.discord.packets_forwarded_to_bot(who) - heard.len();
        assert!(missed < 20, "{missed} packets");
    }
});

async fn assert_joins_and_leaves(lag: Duration) {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    scene.discord.set_bot_voice_gateway_lag(lag);
    let said = repeated_packets(3);
    let speech = ana.start_speaking_packets(said.clone());
    for name in ["Cleo", "Dan", "Emil"] {
        let guest = scene.add_speaker(name).await;
        guest.leave_voice().await;
    }
    speech.wait_until_sent().await;
    eve.assert_receives(&ana, &with_trailing_silence(&said))
        .await;
}

story!(
    nothing_is_lost_while_others_come_and_go,
    assert_joins_and_leaves(Duration::ZERO)
);

story!(
    nothing_is_lost_with_a_gateway_that_is_behind,
    assert_joins_and_leaves(Duration::from_millis(100))
);

story!(
    nothing_is_lost_with_a_gateway_that_is_far_behind,
    assert_joins_and_leaves(Duration::from_millis(500))
);

story!(whoever_comes_back_is_heard_at_once, async {
    let scene = CallFixture::new().await;
    let (ana, ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let mut eve = scene.connect_receiver().await;
    eve.assert_receives_question(&ana).await;
    let ssrc = ana.ssrc();
    ana.leave_voice().await;
    let id = ana.id();
    eve.wait_until(|it| it.left_users.contains(&id)).await;
    ana.join_voice(&scene.voice_channel).await;
    assert_ne!(ana.ssrc(), ssrc);
    scene.voice_channel.wait_until_encryption_settled().await;
    let speech = ben.start_speaking(super::QUESTION);
    eve.assert_receives_question(&ana).await;
    speech.wait_until_sent().await;
    eve.assert_receives(&ben, &question_packets()).await;
});

story!(a_bad_way_loses_nothing_but_what_it_loses, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    let network = sandbox::VoiceNetwork::perfect()
        .with_jitter(Duration::from_millis(60))
        .with_duplicates(0.2)
        .with_reordering(0.2);
    scene.discord.voice_network(network);
    let speech = ana.start_speaking_packets(repeated_packets(2));
    for name in ["Cleo", "Dan"] {
        scene.add_speaker(name).await.leave_voice().await;
    }
    speech.wait_until_sent().await;
    let said = with_trailing_silence(&repeated_packets(2));
    let id = ana.id();
    eve.wait_until(|it| it.packets.get(&id).map_or(0, Vec::len) >= said.len())
        .await;
    let mut packets = eve.packets.remove(&id).unwrap_or_default();
    let first = packets.iter().map(|it| it.timestamp).min().unwrap_or(0);
    packets.sort_by_key(|it| it.timestamp.wrapping_sub(first));
    let heard: Vec<_> = packets.into_iter().map(|it| it.opus).collect();
    assert!(heard == said, "{:?}", eve.handle.stats());
    assert!(eve.handle.stats().duplicate > 0);
});
