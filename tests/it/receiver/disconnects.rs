//! Connections break.

use std::time::Duration;

use sandbox::TestUser;
use voice_receive::{ConnectOptions, VoiceEvent, connect};

use super::{
    CallFixture, TestReceiver, connection_info, repeated_packets, story, with_trailing_silence,
};

/// Ana talks all the while; nothing of it may be lost.
async fn assert_survives_mid_speech(
    scene: &CallFixture,
    eve: &mut TestReceiver,
    ana: &TestUser,
    what: impl FnOnce(),
) {
    let (_, resumed) = scene.discord.voice_identify_and_resume_counts();
    let said = repeated_packets(2);
    let speech = ana.start_speaking_packets(said.clone());
    what();
    scene
        .discord
        .wait_for_voice_identify_and_resume(|_, resumes| resumes > resumed)
        .await;
    speech.wait_until_sent().await;
    eve.assert_receives(ana, &with_trailing_silence(&said))
        .await;
}

story!(a_session_is_taken_up_again_without_a_gap, async {
    let scene = CallFixture::new().await;
    let (ana, _ben) = (
        scene.add_speaker("Ana").await,
        scene.add_speaker("Ben").await,
    );
    let mut eve = scene.connect_receiver().await;
    let discord = &scene.discord;
    for code in [4_015, 4_009, 1_000, 1_001, 4_999] {
        assert_survives_mid_speech(&scene, &mut eve, &ana, || discord.close_bot_voice(code)).await;
    }
    assert_survives_mid_speech(&scene, &mut eve, &ana, || discord.reset_bot_voice()).await;
    assert_survives_mid_speech(&scene, &mut eve, &ana, || discord.drop_bot_voice()).await;
    assert_eq!(eve.handle.stats().identified, 1);
    assert_eq!(eve.handle.stats().resumed, 7);
    assert!(!eve.is_deaf);
});

story!(what_the_group_did_meanwhile_is_caught_up_with, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    scene.discord.drop_bot_voice();
    let ben = scene.add_speaker("Ben").await;
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
    eve.assert_receives_question(&ben).await;
});

story!(a_refused_session_is_begun_anew, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    scene.discord.refuse_voice_resumes(1);
    scene.discord.drop_bot_voice();
    eve.wait_until(|it| it.is_deaf).await;
    eve.wait_until(|it| it.is_connected && !it.is_deaf).await;
    assert_eq!(eve.handle.stats().identified, 2);
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
    scene.discord.close_bot_voice(4_006);
    eve.wait_until(|it| it.is_deaf).await;
    eve.wait_until(|it| it.is_connected && !it.is_deaf).await;
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
    scene.discord.restart_voice();
    eve.wait_until(|it| it.is_deaf).await;
    eve.wait_until(|it| it.is_connected && !it.is_deaf).await;
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
});

story!(what_is_over_is_told_and_can_be_gone_on_with, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    for code in [4_004, 4_011, 4_014, 4_017, 4_021, 4_022] {
        let (identified, _) = scene.discord.voice_identify_and_resume_counts();
        scene.discord.close_bot_voice(code);
        eve.wait_until(|it| it.disconnect_code == Some(Some(code)))
            .await;
        assert_eq!(
            scene.discord.voice_identify_and_resume_counts().0,
            identified
        );
        let invited = scene
            .discord
            .join_voice_externally_as_bot(&scene.voice_channel);
        eve.handle.update(connection_info(&invited));
        eve.wait_until(|it| it.is_connected).await;
        scene
            .discord
            .wait_until_bot_receiving(&scene.voice_channel)
            .await;
        eve.assert_receives_question(&ana).await;
    }
});

story!(a_call_may_go_on_elsewhere, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let mut eve = scene.connect_receiver().await;
    eve.assert_receives_question(&ana).await;
    // Another channel of the same server.
    let garden = scene.guild.add_voice_channel("Garden");
    let ben = scene.guild.add_member("Ben");
    ben.join_voice(&garden).await;
    let invited = scene.discord.join_voice_externally_as_bot(&garden);
    eve.handle.update(connection_info(&invited));
    eve.wait_until(|it| it.is_deaf).await;
    eve.wait_until(|it| it.is_connected && !it.is_deaf).await;
    scene.discord.wait_until_bot_receiving(&garden).await;
    eve.assert_receives_question(&ben).await;
    assert!(eve.disconnect_code.is_none());
});

story!(
    a_server_that_is_gone_for_some_seconds_is_come_back_to,
    async {
        let scene = CallFixture::new().await;
        let ana = scene.add_speaker("Ana").await;
        let mut eve = scene.connect_receiver().await;
        scene.discord.set_voice_unreachable(true);
        eve.wait_until(|it| it.is_deaf).await;
        scene.discord.set_voice_unreachable(false);
        eve.wait_until(|it| !it.is_deaf).await;
        scene
            .discord
            .wait_until_bot_receiving(&scene.voice_channel)
            .await;
        eve.assert_receives_question(&ana).await;
    }
);

story!(a_server_that_stays_away_is_lost_but_not_for_good, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    scene.discord.set_voice_unreachable(true);
    let invited = scene
        .discord
        .join_voice_externally_as_bot(&scene.voice_channel);
    let options = ConnectOptions {
        max_connect_attempts: 2,
        ..ConnectOptions::default()
    };
    let (handle, told) = connect(connection_info(&invited), options);
    let mut eve = TestReceiver::from_handle(handle, told, &invited);
    eve.wait_until(|it| it.disconnect_code == Some(None)).await;
    scene.discord.set_voice_unreachable(false);
    eve.handle.update(connection_info(&invited));
    eve.wait_until(|it| it.is_connected).await;
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
});

story!(a_dead_session_is_told, async {
    let scene = CallFixture::new().await;
    let mut invited = scene
        .discord
        .join_voice_externally_as_bot(&scene.voice_channel);
    invited.session_id = "of yesterday".to_owned();
    let mut eve = TestReceiver::new(&invited);
    eve.wait_until(|it| it.disconnect_code == Some(Some(4_006)))
        .await;
});

story!(a_half_open_connection_is_noticed, async {
    let scene = CallFixture::new().await;
    let ana = scene.add_speaker("Ana").await;
    let interval = Duration::from_millis(400);
    scene.discord.set_voice_heartbeat_interval(interval);
    let mut eve = scene.connect_receiver().await;
    scene.discord.set_voice_frozen(true);
    // The server would close it only after two intervals.
    tokio::time::sleep(interval * 7 / 4).await;
    scene.discord.set_voice_frozen(false);
    scene
        .discord
        .wait_for_voice_identify_and_resume(|_, resumes| resumes == 1)
        .await;
    scene
        .discord
        .wait_until_bot_receiving(&scene.voice_channel)
        .await;
    eve.assert_receives_question(&ana).await;
});

story!(whoever_drops_the_handle_leaves, async {
    let scene = CallFixture::new().await;
    let eve = scene.connect_receiver().await;
    let TestReceiver {
        handle, mut events, ..
    } = eve;
    drop(handle);
    while let Some(heard) = events.recv().await {
        assert!(
            !matches!(heard, VoiceEvent::ConnectionLost { .. }),
            "{heard:?}"
        );
    }
    scene.discord.wait_until_bot_left_call().await;
});
