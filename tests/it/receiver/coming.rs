//! People come and go, the listener among them.

use std::time::Duration;

use super::{Listener, SILENCE, Scene, long, story, whole, whole_of};

story!(
    whoever_speaks_at_once_is_heard_from_the_first_packet,
    async {
        let scene = Scene::new().await;
        let ana = scene.joins("Ana").await;
        scene.discord.lags_voice(Duration::from_millis(100));
        let mut eve = scene.listens().await;
        eve.hears_question(&ana).await;
    }
);

story!(who_talks_already_is_heard_from_the_first_key_on, async {
    let scene = Scene::new().await;
    let (ana, ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let said = whole_of(&long(2));
    let both = [
        ana.begins_to_speak_packets(long(2)),
        ben.begins_to_speak_packets(long(2)),
    ];
    scene.discord.lags_voice(Duration::from_millis(50));
    let mut eve = scene.begins_to_listen().await;
    for speech in both {
        speech.ends().await;
    }
    for who in [&ana, &ben] {
        let id = who.id();
        let ended = |it: &Listener| {
            let tail = it.packets.get(&id).into_iter().flatten().rev().take(5);
            tail.filter(|it| it.opus == SILENCE).count() == 5
        };
        eve.until(ended).await;
        let heard = eve.heard(who);
        // All that follows the first one: nothing is missing behind it.
        assert!(said.ends_with(&heard), "{:?}", eve.handle.counts());
        // What was sent under keys that a newcomer never gets is lost for everybody.
        let missed = scene.discord.forwarded_to_bot(who) - heard.len();
        assert!(missed < 20, "{missed} packets");
    }
});

async fn others_come_and_go(lag: Duration) {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    scene.discord.lags_voice(lag);
    let said = long(3);
    let speech = ana.begins_to_speak_packets(said.clone());
    for name in ["Cleo", "Dan", "Emil"] {
        let guest = scene.joins(name).await;
        guest.leaves_voice().await;
    }
    speech.ends().await;
    eve.hears_all(&ana, &whole_of(&said)).await;
}

story!(
    nothing_is_lost_while_others_come_and_go,
    others_come_and_go(Duration::ZERO)
);

story!(
    nothing_is_lost_with_a_gateway_that_is_behind,
    others_come_and_go(Duration::from_millis(100))
);

story!(
    nothing_is_lost_with_a_gateway_that_is_far_behind,
    others_come_and_go(Duration::from_millis(500))
);

story!(whoever_comes_back_is_heard_at_once, async {
    let scene = Scene::new().await;
    let (ana, ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let mut eve = scene.listens().await;
    eve.hears_question(&ana).await;
    let ssrc = ana.ssrc();
    ana.leaves_voice().await;
    let id = ana.id();
    eve.until(|it| it.left.contains(&id)).await;
    ana.joins_voice(&scene.lounge).await;
    assert_ne!(ana.ssrc(), ssrc);
    scene.lounge.until_encryption_settles().await;
    let speech = ben.begins_to_speak(super::QUESTION);
    eve.hears_question(&ana).await;
    speech.ends().await;
    eve.hears_all(&ben, &whole()).await;
});

story!(a_bad_way_loses_nothing_but_what_it_loses, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    let network = sandbox::VoiceNetwork::perfect()
        .jitters(Duration::from_millis(60))
        .duplicates(0.2)
        .reorders(0.2);
    scene.discord.voice_network(network);
    let speech = ana.begins_to_speak_packets(long(2));
    for name in ["Cleo", "Dan"] {
        scene.joins(name).await.leaves_voice().await;
    }
    speech.ends().await;
    let said = whole_of(&long(2));
    let id = ana.id();
    eve.until(|it| it.packets.get(&id).map_or(0, Vec::len) >= said.len())
        .await;
    let mut packets = eve.packets.remove(&id).unwrap_or_default();
    let first = packets.iter().map(|it| it.timestamp).min().unwrap_or(0);
    packets.sort_by_key(|it| it.timestamp.wrapping_sub(first));
    let heard: Vec<_> = packets.into_iter().map(|it| it.opus).collect();
    assert!(heard == said, "{:?}", eve.handle.counts());
    assert!(eve.handle.counts().repeated > 0);
});
