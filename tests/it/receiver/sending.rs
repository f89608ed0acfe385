//! The receiver can speak, too.

use std::time::{Duration, Instant};

use super::{CallFixture, QUESTION, question_packets, story};

async fn assert_question_is_sent(encrypted: bool) {
    let scene = CallFixture::new().await;
    scene.voice_channel.encrypts(encrypted);
    let mut eve = scene.connect_receiver().await;
    let mut finn = scene.connect_receiver_as("Finn").await;
    let packets = sandbox::opus_packets(QUESTION);
    let begun = Instant::now();
    for packet in &packets {
        eve.handle.send_opus(packet.clone()).expect("room");
    }
    let user = eve.user;
    let expected = question_packets();
    finn.wait_until(|it| {
        let said = it.packets.get(&user);
        said.map_or(0, Vec::len) >= expected.len()
    })
    .await;
    let heard = finn.packets.remove(&user).unwrap_or_default();
    let said: Vec<_> = heard.iter().map(|it| it.opus.clone()).collect();
    assert!(said == expected);
    let long = Duration::from_millis(20) * (expected.len() as u32 - 1);
    assert!(begun.elapsed() >= long);
    assert!(finn.speaking_users.contains(&user));
    let steps = heard.windows(2);
    for step in steps {
        assert_eq!(step[1].timestamp.wrapping_sub(step[0].timestamp), 960);
        assert_eq!(step[1].sequence.wrapping_sub(step[0].sequence), 1);
    }
    eve.wait_briefly_until(|it| it.handle.stats().epochs > 0 || !encrypted)
        .await;
}

story!(
    what_it_says_is_heard_at_the_pace_of_speech,
    assert_question_is_sent(true)
);

story!(
    what_it_says_is_heard_in_a_plain_call,
    assert_question_is_sent(false)
);
