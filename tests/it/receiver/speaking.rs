//! The receiver can speak, too.

use std::time::{Duration, Instant};

use super::{QUESTION, Scene, story, whole};

async fn says_the_question(encrypted: bool) {
    let scene = Scene::new().await;
    scene.lounge.encrypts(encrypted);
    let mut eve = scene.listens().await;
    let mut finn = scene.listens_as("Finn").await;
    let packets = sandbox::opus_packets(QUESTION);
    let begun = Instant::now();
    for packet in &packets {
        eve.handle.say(packet.clone()).expect("room");
    }
    let user = eve.user;
    let expected = whole();
    finn.until(|it| {
        let said = it.packets.get(&user);
        said.map_or(0, Vec::len) >= expected.len()
    })
    .await;
    let heard = finn.packets.remove(&user).unwrap_or_default();
    let said: Vec<_> = heard.iter().map(|it| it.opus.clone()).collect();
    assert!(said == expected);
    let long = Duration::from_millis(20) * (expected.len() as u32 - 1);
    assert!(begun.elapsed() >= long);
    assert!(finn.speaks.contains(&user));
    let steps = heard.windows(2);
    for step in steps {
        assert_eq!(step[1].timestamp.wrapping_sub(step[0].timestamp), 960);
        assert_eq!(step[1].sequence.wrapping_sub(step[0].sequence), 1);
    }
    eve.soon(|it| it.handle.counts().epochs > 0 || !encrypted)
        .await;
}

story!(
    what_it_says_is_heard_at_the_pace_of_speech,
    says_the_question(true)
);

story!(
    what_it_says_is_heard_in_a_plain_call,
    says_the_question(false)
);
