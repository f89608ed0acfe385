//! End-to-end encryption comes and goes.

use std::time::Duration;

use super::{Scene, long, story, whole_of};

story!(a_call_may_change_its_encryption_in_mid_speech, async {
    let scene = Scene::new().await;
    let (ana, _ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let mut eve = scene.listens().await;
    let said = long(3);
    let speech = ana.begins_to_speak_packets(said.clone());
    for wanted in [false, true, false] {
        scene.lounge.encrypts(wanted);
        scene.lounge.until_encryption_settles().await;
    }
    speech.ends().await;
    eve.hears_sent(&ana, &whole_of(&said)).await;
});

story!(a_call_may_become_encrypted, async {
    let scene = Scene::new().await;
    scene.lounge.encrypts(false);
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    scene.discord.lags_voice(Duration::from_millis(100));
    let said = long(2);
    let speech = ana.begins_to_speak_packets(said.clone());
    scene.lounge.encrypts(true);
    scene.lounge.until_encryption_settles().await;
    speech.ends().await;
    eve.hears_sent(&ana, &whole_of(&said)).await;
    assert!(eve.handle.counts().epochs > 0);
});

story!(new_keys_from_scratch_are_no_matter, async {
    let scene = Scene::new().await;
    let (ana, _ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let mut eve = scene.listens().await;
    let said = long(2);
    let speech = ana.begins_to_speak_packets(said.clone());
    scene.lounge.resets_encryption();
    scene.lounge.until_encryption_settles().await;
    speech.ends().await;
    eve.hears_sent(&ana, &whole_of(&said)).await;
});

story!(whoever_cannot_follow_the_group_joins_it_anew, async {
    let scene = Scene::new().await;
    let (ana, _ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let mut eve = scene.listens().await;
    let epochs = eve.handle.counts().epochs;
    // A commit that is none.
    scene.discord.sends_bot_voice_bytes(29, &[0, 9, 1, 2, 3, 4]);
    eve.soon(|it| it.handle.counts().epochs > epochs).await;
    assert!(eve.handle.counts().bad_keys > 0);
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
});
