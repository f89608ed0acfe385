//! The connection to the gateway breaks in all the ways that it can.

use std::time::Duration;

use super::harness::{BotFixture, RunningBot, question_recording};

/// What `/healthz` says.
async fn healthz(bot: &RunningBot) -> (u16, String) {
    let url = format!("http://{}/healthz", bot.monitor_url());
    let client = reqwest::Client::builder().no_proxy().build();
    let answer = client.expect("a client").get(url).send().await;
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// How often a line of the log is about the gateway's loss.
fn gateway_loss_log_count(bot: &RunningBot) -> usize {
    bot.stderr().matches("the gateway is lost").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_that_break_at_once_are_tried_after_longer_and_longer_times() {
    let mut scene = BotFixture::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    scene.set("TALKBACK_LOG", "info");
    let mut bot = scene.start().await;
    scene.discord.set_reset_resumes(true);
    let before = scene.discord.gateway_connections();
    let busy = bot.cpu_time();
    scene.discord.drop_gateway_connections();
    // One at once, then after a second, then after two.
    scene.discord.wait_for_gateway_connections(before + 3).await;
    let (status, text) = healthz(&bot).await;
    assert_eq!(status, 503);
    assert!(text.contains("gateway: 0 of 1 shards connected"), "{text}");
    assert!(text.contains("away for"), "{text}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = scene.discord.gateway_connections() - before;
    assert!((3..=5).contains(&made), "{made} connections");
    assert_eq!(gateway_loss_log_count(&bot), 1, "{}", bot.stderr());
    let busy = bot.cpu_time() - busy;
    assert!(busy < Duration::from_secs(2), "{busy:?} of work");

    scene.discord.set_reset_resumes(false);
    scene.discord.wait_until_connected(1).await;
    bot.wait_for_log("connected again").await;
    assert_eq!(healthz(&bot).await, (200, "ok\n".to_owned()));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unresumable_session_identifies_anew() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.discord.set_reset_resumes(true);
    scene.discord.drop_gateway_connections();
    // After some resumes that break, without one that does not.
    let identified = scene.discord.identify_and_resume_counts().0;
    let anew = async {
        while scene.discord.identify_and_resume_counts().0 == identified {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let anew = tokio::time::timeout(Duration::from_secs(60), anew).await;
    anew.expect("a new session");
    scene.discord.wait_until_connected(1).await;
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_hears_no_heartbeat_is_left() {
    let mut scene = BotFixture::new().await;
    scene
        .discord
        .set_ignore_heartbeats(Some(Duration::from_millis(300)));
    let mut bot = scene.start().await;
    scene.discord.wait_for_gateway_connections(2).await;
    scene.discord.set_ignore_heartbeats(None);
    let resumed = async {
        while scene.discord.identify_and_resume_counts().1 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let resumed = tokio::time::timeout(Duration::from_secs(30), resumed).await;
    resumed.expect("the session goes on");
    assert_eq!(scene.discord.identify_and_resume_counts().0, 1);
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_always_asks_for_another_connection_is_not_come_to_without_end() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let before = scene.discord.gateway_connections();
    for _ in 0..3 {
        scene.discord.wait_until_connected(1).await;
        scene.discord.request_reconnect();
        scene.discord.wait_until_disconnected().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let made = scene.discord.gateway_connections() - before;
    assert!(made <= 3, "{made} connections");
    scene.discord.wait_until_connected(1).await;
    let (identified, resumed) = scene.discord.identify_and_resume_counts();
    assert_eq!((identified, resumed), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_after_which_nothing_is_better_end_the_session_and_are_told() {
    for code in [4_010, 4_011, 4_012, 4_013] {
        let mut scene = BotFixture::new().await;
        scene.set("TALKBACK_LOG", "info");
        scene.discord.set_close_on_identify(Some(code));
        let mut bot = scene.launch();
        bot.wait_for_log("can't reach Discord").await;
        bot.wait_for_log(&format!("closed with code {code}")).await;
        scene.discord.set_close_on_identify(None);
        bot.wait_for_log("is connected").await;
    }
}
