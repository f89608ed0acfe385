//! What an operator sees.

use std::time::{SystemTime, UNIX_EPOCH};

use talkback::store::{AcceptOutcome, JobDetails, JobState, Store, Timestamp};

use super::harness::{BotFixture, question_recording};

/// The sum of a metric over its labels.
fn metric_value(text: &str, name: &str) -> f64 {
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_says_who_it_is_and_how_to_add_it() {
    let (scene, bot) = BotFixture::new_with_bot().await;
    let id = scene.discord.bot_id().to_string();
    insta::assert_snapshot!(bot.stdout().replace(&id, "ID"));
    let screen = scene.run(&["invite"]).await;
    assert_eq!(screen.exit_code, Some(0));
    assert!(bot.stdout().contains(screen.stdout.trim()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_may_stand_before_discord() {
    let mut scene = BotFixture::new().await;
    let url = scene.discord.http_url();
    // Only files come from under Discord's own names then.
    scene.set("DISCORD_PROXY", &url);
    scene.discord.disable_rate_limits();
    let _bot = scene.start().await;
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
    let hosts = scene.discord.requests();
    let host = url.replace("http://", "");
    for request in hosts.iter().filter(|it| it.path.starts_with("/api/")) {
        assert_eq!(
            request.header("host"),
            Some(host.as_str()),
            "{}",
            request.path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_are_in_one_process() {
    let mut scene = BotFixture::new().await;
    scene.discord.set_recommended_shards(2);
    scene.discord.add_guilds(3);
    let mut bot = scene.launch();
    bot.wait_for_log("is connected, in 4 servers").await;
    scene.discord.wait_until_connected(2).await;
    for _ in 0..2 {
        let guild = scene.discord.add_guild("Further");
        let (channel, person) = (guild.add_text_channel("general"), guild.add_member("Cleo"));
        let called = person.mention_bot(&channel, "Hello?").await;
        person.wait_for_reply(&called).await.wait_until_done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_it_says_where_to_get_one() {
    let talkback = crate::support::TalkbackCommand::new();
    let screen = talkback.run(&[]).await;
    assert_eq!(screen.exit_code, Some(2));
    assert!(screen.stderr.contains("DISCORD_TOKEN"), "{}", screen.stderr);
    assert!(
        screen
            .stderr
            .contains("https://discord.com/developers/applications")
    );
    let screen = talkback.run(&["invite"]).await;
    assert_eq!(screen.exit_code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_shown() {
    let mut scene = BotFixture::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    let bot = scene.start().await;
    let address = bot.monitor_url();
    let get = |path: &str| reqwest::get(format!("http://{address}{path}"));
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
    let health = get("/healthz").await.expect("an answer");
    assert_eq!(health.status(), 200);
    assert_eq!(health.text().await.expect("text"), "ok\n");
    let done = async {
        loop {
            let answer = get("/metrics").await.expect("an answer");
            let text = answer.text().await.expect("text");
            if text.contains("talkback_jobs_total{") && text.contains("queue_running 0") {
                return text;
            }
        }
    };
    let limit = std::time::Duration::from_secs(10);
    let text = tokio::time::timeout(limit, done).await.expect("counted");
    for name in [
        "talkback_accepted_total 1",
        "talkback_jobs_total{outcome=\"answered\"} 1",
        "talkback_stage_seconds_count{stage=\"hear\"} 1",
        "talkback_queue_running 0",
        "talkback_gateway_shards_up 1",
    ] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    assert!(metric_value(&text, "talkback_cost_micros_total") > 0.0);
    assert!(!text.contains("France"));

    scene.set("TALKBACK_HTTP", &address);
    let health = scene.run(&["health"]).await;
    assert_eq!(
        (health.exit_code, health.stdout.as_str()),
        (Some(0), "ok\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_it_may_be_is_deleted() {
    let mut scene = BotFixture::new().await;
    scene
        .set("RETENTION_DAYS", "2")
        .set("TALKBACK_LOG", "talkback=debug");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_millis()).expect("a time");
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    let mut jobs = Vec::new();
    for days in [1, 3] {
        let at = Timestamp(now - days * 86_400_000);
        let asked = JobDetails {
            source: days.unsigned_abs(),
            guild: None,
            channel: 1,
            author: 1,
            payload: "{}".to_owned(),
            referenced: None,
        };
        let Ok(AcceptOutcome::New(job)) = store.accept_job(&asked, at).await else {
            panic!("not accepted");
        };
        let done = store.finish_job(job, JobState::Done, &[], at).await;
        done.expect("done");
        jobs.push(job);
    }
    store.close().await;
    let mut bot = scene.start().await;
    bot.wait_for_log("swept").await;
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0));
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    let [kept, old] = [store.job(jobs[0]).await, store.job(jobs[1]).await];
    assert!(kept.expect("read").is_some() && old.expect("read").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_knows_ids_and_never_words() {
    let mut scene = BotFixture::new().await;
    scene
        .set("TALKBACK_LOG", "talkback=trace,info")
        .set("TALKBACK_LOG_FORMAT", "json");
    let bot = scene.start().await;
    let token = scene.discord.token();
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
    let log = bot.stderr();
    assert!(log.contains(&format!("\"source\":{}", note.id())), "{log}");
    for secret in [
        "France",
        "Paris",
        &token,
        "sk-sandbox",
        "sandbox-assemblyai-key",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
