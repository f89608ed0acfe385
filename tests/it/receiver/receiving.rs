//! What is said is heard, bit by bit and of whom it is.

use std::time::Duration;

use super::{CallFixture, question_packets, story};

story!(every_packet_is_as_it_was_said, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    assert_eq!(scene.voice_channel.encryption_epoch_and_size().1, 2);
    eve.assert_receives_question(&ana).await;
    ana.enable_rtp_extension();
    eve.assert_receives_question(&ana).await;
    let counts = eve.handle.stats();
    assert_eq!(counts.delivered, 2 * question_packets().len() as u64);
    assert_eq!(counts.unauthenticated + counts.malformed + counts.no_key, 0);
});

story!(
    either_cipher_will_do_and_no_encryption_between_people,
    async {
        let scene = CallFixture::new().await;
        scene.voice_channel.encrypts(false);
        scene
            .discord
            .set_voice_encryption_modes(&["aead_xchacha20_poly1305_rtpsize"]);
        let ana = scene.add_speaker("Ana").await;
        let mut eve = scene.connect_receiver().await;
        assert_eq!(scene.voice_channel.encryption_epoch_and_size().1, 0);
        eve.assert_receives_question(&ana).await;
    }
);

story!(whose_it_is_may_be_told_late_or_never, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let ben = scene.add_speaker("Ben").await;
    let mut eve = scene.connect_receiver().await;
    ana.announce_speaking_late(Duration::from_secs(1));
    ben.disable_speaking_announcement();
    let both = [
        ana.start_speaking(super::QUESTION),
        ben.start_speaking(super::QUESTION),
    ];
    for speech in both {
        speech.wait_until_sent().await;
    }
    eve.assert_receives(&ana, &question_packets()).await;
    eve.assert_receives(&ben, &question_packets()).await;
});
