//! End-to-end encryption comes and goes.

use std::time::Duration;

use super::{CallFixture, repeated_packets, story, with_trailing_silence};

story!(a_call_may_change_its_encryption_in_mid_speech, async {
    let scene = CallFixture::new().await;
    let (ana, _ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let mut eve = scene.connect_receiver().await;
    let said = repeated_packets(3);
    let speech = ana.start_speaking_packets(said.clone());
    for wanted in [false, true, false] {
        scene.voice_channel.encrypts(wanted);
        scene.voice_channel.wait_until_encryption_settled().await;
    }
    speech.wait_until_sent().await;
    eve.assert_receives_sent(&ana, &with_trailing_silence(&said))
        .await;
});

story!(a_call_may_become_encrypted, async {
    let scene = CallFixture::new().await;
    scene.voice_channel.encrypts(false);
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    scene
        .discord
        .set_bot_voice_gateway_lag(Duration::from_millis(100));
    let said = repeated_packets(2);
    let speech = ana.start_speaking_packets(said.clone());
    scene.voice_channel.encrypts(true);
    scene.voice_channel.wait_until_encryption_settled().await;
    speech.wait_until_sent().await;
    eve.assert_receives_sent(&ana, &with_trailing_silence(&said))
        .await;
    assert!(eve.handle.stats().epochs > 0);
});

story!(new_keys_from_scratch_are_no_matter, async {
    let scene = CallFixture::new().await;
    let (ana, _ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let mut eve = scene.connect_receiver().await;
    let said = repeated_packets(2);
    let speech = ana.start_speaking_packets(said.clone());
    scene.voice_channel.reset_encryption();
    scene.voice_channel.wait_until_encryption_settled().await;
    speech.wait_until_sent().await;
    eve.assert_receives_sent(&ana, &with_trailing_silence(&said))
        .await;
});

story!(whoever_cannot_follow_the_group_joins_it_anew, async {
    let scene = CallFixture::new().await;
    let (ana, _ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let mut eve = scene.connect_receiver().await;
    let epochs = eve.handle.stats().epochs;
    // A commit that is none.
    scene
        .discord
        .send_voice_bytes_to_bot(29, &[0, 9, 1, 2, 3, 4]);
    eve.wait_briefly_until(|it| it.handle.stats().epochs > epochs)
        .await;
    assert!(eve.handle.stats().dave_errors > 0);
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
});
