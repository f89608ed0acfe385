//! The connection to the gateway breaks in all the ways that it can.

use std::time::Duration;

use super::running::{Bot, Scene, question};

/// What `/healthz` says.
async fn healthz(bot: &Bot) -> (u16, String) {
    let url = format!("http://{}/healthz", bot.monitor());
    let client = reqwest::Client::builder().no_proxy().build();
    let answer = client.expect("a client").get(url).send().await;
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// How often a line of the log is about the gateway's loss.
fn told(bot: &Bot) -> usize {
    bot.log().matches("the gateway is lost").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_that_break_at_once_are_tried_after_longer_and_longer_times() {
    let mut scene = Scene::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    scene.set("TALKBACK_LOG", "info");
    let mut bot = scene.start().await;
    scene.discord.resets_resumes(true);
    let before = scene.discord.connections();
    let busy = bot.cpu();
    scene.discord.drops_gateway();
    // One at once, then after a second, then after two.
    scene.discord.until_connections(before + 3).await;
    let (status, text) = healthz(&bot).await;
    assert_eq!(status, 503);
    assert!(text.contains("gateway: 0 of 1 shards connected"), "{text}");
    assert!(text.contains("away for"), "{text}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = scene.discord.connections() - before;
    assert!((3..=5).contains(&made), "{made} connections");
    assert_eq!(told(&bot), 1, "{}", bot.log());
    let busy = bot.cpu() - busy;
    assert!(busy < Duration::from_secs(2), "{busy:?} of work");

    scene.discord.resets_resumes(false);
    scene.discord.until_connected(1).await;
    bot.until_it_says("connected again").await;
    assert_eq!(healthz(&bot).await, (200, "ok\n".to_owned()));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_can_not_be_gone_on_with_is_begun_anew() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.discord.resets_resumes(true);
    scene.discord.drops_gateway();
    // After some resumes that break, without one that does not.
    let identified = scene.discord.logins().0;
    let anew = async {
        while scene.discord.logins().0 == identified {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let anew = tokio::time::timeout(Duration::from_secs(60), anew).await;
    anew.expect("a new session");
    scene.discord.until_connected(1).await;
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_hears_no_heartbeat_is_left() {
    let mut scene = Scene::new().await;
    scene
        .discord
        .ignores_heartbeats(Some(Duration::from_millis(300)));
    let mut bot = scene.start().await;
    scene.discord.until_connections(2).await;
    scene.discord.ignores_heartbeats(None);
    let resumed = async {
        while scene.discord.logins().1 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let resumed = tokio::time::timeout(Duration::from_secs(30), resumed).await;
    resumed.expect("the session goes on");
    assert_eq!(scene.discord.logins().0, 1);
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_always_asks_for_another_connection_is_not_come_to_without_end() {
    let (scene, _bot) = Scene::with_bot().await;
    let before = scene.discord.connections();
    for _ in 0..3 {
        scene.discord.until_connected(1).await;
        scene.discord.asks_reconnect();
        scene.discord.until_disconnected().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let made = scene.discord.connections() - before;
    assert!(made <= 3, "{made} connections");
    scene.discord.until_connected(1).await;
    let (identified, resumed) = scene.discord.logins();
    assert_eq!((identified, resumed), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_after_which_nothing_is_better_end_the_session_and_are_told() {
    for code in [4_010, 4_011, 4_012, 4_013] {
        let mut scene = Scene::new().await;
        scene.set("TALKBACK_LOG", "info");
        scene.discord.closes_whoever_enters(Some(code));
        let mut bot = scene.launch();
        bot.until_it_says("Discord can't be reached").await;
        bot.until_it_says(&format!("closed with code {code}")).await;
        scene.discord.closes_whoever_enters(None);
        bot.until_it_says("is connected").await;
    }
}
