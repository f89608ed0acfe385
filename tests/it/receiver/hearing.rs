//! What is said is heard, bit by bit and of whom it is.

use std::time::Duration;

use super::{Scene, story, whole};

story!(every_packet_is_as_it_was_said, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    assert_eq!(scene.lounge.encryption_group().1, 2);
    eve.hears_question(&ana).await;
    ana.sends_rtp_extension();
    eve.hears_question(&ana).await;
    let counts = eve.handle.counts();
    assert_eq!(counts.heard, 2 * whole().len() as u64);
    assert_eq!(counts.forged + counts.malformed + counts.no_key, 0);
});

story!(
    either_cipher_will_do_and_no_encryption_between_people,
    async {
        let scene = Scene::new().await;
        scene.lounge.encrypts(false);
        scene
            .discord
            .offers_voice_modes(&["aead_xchacha20_poly1305_rtpsize"]);
        let ana = scene.joins("Ana").await;
        let mut eve = scene.listens().await;
        assert_eq!(scene.lounge.encryption_group().1, 0);
        eve.hears_question(&ana).await;
    }
);

story!(whose_it_is_may_be_told_late_or_never, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let ben = scene.joins("Ben").await;
    let mut eve = scene.listens().await;
    ana.announces_speech_late(Duration::from_secs(1));
    ben.never_announces_speech();
    let both = [
        ana.begins_to_speak(super::QUESTION),
        ben.begins_to_speak(super::QUESTION),
    ];
    for speech in both {
        speech.ends().await;
    }
    eve.hears_all(&ana, &whole()).await;
    eve.hears_all(&ben, &whole()).await;
});
