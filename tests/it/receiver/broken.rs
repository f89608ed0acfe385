//! Connections break.

use std::time::Duration;

use sandbox::Person;
use voice_receive::{Heard, Options, connect};

use super::{Listener, Scene, info, long, story, whole_of};

/// Ana talks all the while; nothing of it may be lost.
async fn breaks_in_mid_speech(
    scene: &Scene,
    eve: &mut Listener,
    ana: &Person,
    what: impl FnOnce(),
) {
    let (_, resumed) = scene.discord.voice_logins();
    let said = long(2);
    let speech = ana.begins_to_speak_packets(said.clone());
    what();
    scene
        .discord
        .until_voice_logins(|_, resumes| resumes > resumed)
        .await;
    speech.ends().await;
    eve.hears_all(ana, &whole_of(&said)).await;
}

story!(a_session_is_taken_up_again_without_a_gap, async {
    let scene = Scene::new().await;
    let (ana, _ben) = (scene.joins("Ana").await, scene.joins("Ben").await);
    let mut eve = scene.listens().await;
    let discord = &scene.discord;
    for code in [4_015, 4_009, 1_000, 1_001, 4_999] {
        breaks_in_mid_speech(&scene, &mut eve, &ana, || discord.closes_voice(code)).await;
    }
    breaks_in_mid_speech(&scene, &mut eve, &ana, || discord.resets_voice()).await;
    breaks_in_mid_speech(&scene, &mut eve, &ana, || discord.cuts_voice()).await;
    assert_eq!(eve.handle.counts().identified, 1);
    assert_eq!(eve.handle.counts().resumed, 7);
    assert!(!eve.deaf);
});

story!(what_the_group_did_meanwhile_is_caught_up_with, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    scene.discord.cuts_voice();
    let ben = scene.joins("Ben").await;
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
    eve.hears_question(&ben).await;
});

story!(a_refused_session_is_begun_anew, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    scene.discord.refuses_voice_resumes(1);
    scene.discord.cuts_voice();
    eve.until(|it| it.deaf).await;
    eve.until(|it| it.connected && !it.deaf).await;
    assert_eq!(eve.handle.counts().identified, 2);
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
    scene.discord.closes_voice(4_006);
    eve.until(|it| it.deaf).await;
    eve.until(|it| it.connected && !it.deaf).await;
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
    scene.discord.restarts_voice();
    eve.until(|it| it.deaf).await;
    eve.until(|it| it.connected && !it.deaf).await;
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
});

story!(what_is_over_is_told_and_can_be_gone_on_with, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    for code in [4_004, 4_011, 4_014, 4_017, 4_021, 4_022] {
        let (identified, _) = scene.discord.voice_logins();
        scene.discord.closes_voice(code);
        eve.until(|it| it.lost == Some(Some(code))).await;
        assert_eq!(scene.discord.voice_logins().0, identified);
        let invited = scene.discord.bot_invited_to_voice(&scene.lounge);
        eve.handle.update(info(&invited));
        eve.until(|it| it.connected).await;
        scene.discord.until_bot_hears(&scene.lounge).await;
        eve.hears_question(&ana).await;
    }
});

story!(a_call_may_go_on_elsewhere, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let mut eve = scene.listens().await;
    eve.hears_question(&ana).await;
    // Another channel of the same server.
    let garden = scene.guild.voice_channel("Garden");
    let ben = scene.guild.member("Ben");
    ben.joins_voice(&garden).await;
    let invited = scene.discord.bot_invited_to_voice(&garden);
    eve.handle.update(info(&invited));
    eve.until(|it| it.deaf).await;
    eve.until(|it| it.connected && !it.deaf).await;
    scene.discord.until_bot_hears(&garden).await;
    eve.hears_question(&ben).await;
    assert!(eve.lost.is_none());
});

story!(
    a_server_that_is_gone_for_some_seconds_is_come_back_to,
    async {
        let scene = Scene::new().await;
        let ana = scene.joins("Ana").await;
        let mut eve = scene.listens().await;
        scene.discord.voice_unreachable(true);
        eve.until(|it| it.deaf).await;
        scene.discord.voice_unreachable(false);
        eve.until(|it| !it.deaf).await;
        scene.discord.until_bot_hears(&scene.lounge).await;
        eve.hears_question(&ana).await;
    }
);

story!(a_server_that_stays_away_is_lost_but_not_for_good, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    scene.discord.voice_unreachable(true);
    let invited = scene.discord.bot_invited_to_voice(&scene.lounge);
    let options = Options {
        attempts: 2,
        ..Options::default()
    };
    let (handle, told) = connect(info(&invited), options);
    let mut eve = Listener::of(handle, told, &invited);
    eve.until(|it| it.lost == Some(None)).await;
    scene.discord.voice_unreachable(false);
    eve.handle.update(info(&invited));
    eve.until(|it| it.connected).await;
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
});

story!(a_dead_session_is_told, async {
    let scene = Scene::new().await;
    let mut invited = scene.discord.bot_invited_to_voice(&scene.lounge);
    invited.session_id = "of yesterday".to_owned();
    let mut eve = Listener::new(&invited);
    eve.until(|it| it.lost == Some(Some(4_006))).await;
});

story!(a_half_open_connection_is_noticed, async {
    let scene = Scene::new().await;
    let ana = scene.joins("Ana").await;
    let interval = Duration::from_millis(400);
    scene.discord.voice_heartbeat(interval);
    let mut eve = scene.listens().await;
    scene.discord.freezes_voice(true);
    // The server would close it only after two intervals.
    tokio::time::sleep(interval * 7 / 4).await;
    scene.discord.freezes_voice(false);
    scene
        .discord
        .until_voice_logins(|_, resumes| resumes == 1)
        .await;
    scene.discord.until_bot_hears(&scene.lounge).await;
    eve.hears_question(&ana).await;
});

story!(whoever_drops_the_handle_leaves, async {
    let scene = Scene::new().await;
    let eve = scene.listens().await;
    let Listener {
        handle, mut told, ..
    } = eve;
    drop(handle);
    while let Some(heard) = told.recv().await {
        assert!(!matches!(heard, Heard::Lost { .. }), "{heard:?}");
    }
    scene.discord.until_bot_out_of_call().await;
});
