//! What an operator sees.

use std::time::{SystemTime, UNIX_EPOCH};

use talkback::store::{Accepted, JobState, NewJob, Store, Timestamp};

use super::running::{Scene, question};

/// The sum of a metric over its labels.
fn metric(text: &str, name: &str) -> f64 {
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_says_who_it_is_and_how_to_add_it() {
    let (scene, bot) = Scene::with_bot().await;
    let id = scene.discord.bot_id().to_string();
    insta::assert_snapshot!(bot.out().replace(&id, "ID"));
    let screen = scene.run(&["invite"]).await;
    assert_eq!(screen.code, Some(0));
    assert!(bot.out().contains(screen.out.trim()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_may_stand_before_discord() {
    let mut scene = Scene::new().await;
    let url = scene.discord.http_url();
    // Only files come from under Discord's own names then.
    scene.set("DISCORD_PROXY", &url);
    scene.discord.without_rate_limits();
    let _bot = scene.start().await;
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
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
    let mut scene = Scene::new().await;
    scene.discord.recommends_shards(2);
    scene.discord.many_guilds(3);
    let mut bot = scene.launch();
    bot.until_it_says("is connected, in 4 servers").await;
    scene.discord.until_connected(2).await;
    for _ in 0..2 {
        let guild = scene.discord.guild("Further");
        let (channel, person) = (guild.channel("general"), guild.member("Cleo"));
        let called = person.calls_bot(&channel, "Hello?").await;
        person.sees_reply_to(&called).await.until_done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_it_says_where_to_get_one() {
    let talkback = crate::support::Talkback::fresh();
    let screen = talkback.run(&[]).await;
    assert_eq!(screen.code, Some(2));
    assert!(screen.err.contains("DISCORD_TOKEN"), "{}", screen.err);
    assert!(
        screen
            .err
            .contains("https://discord.com/developers/applications")
    );
    let screen = talkback.run(&["invite"]).await;
    assert_eq!(screen.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_shown() {
    let mut scene = Scene::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    let bot = scene.start().await;
    let address = bot.monitor();
    let get = |path: &str| reqwest::get(format!("http://{address}{path}"));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
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
    assert!(metric(&text, "talkback_cost_micros_total") > 0.0);
    assert!(!text.contains("France"));

    scene.set("TALKBACK_HTTP", &address);
    let health = scene.run(&["health"]).await;
    assert_eq!((health.code, health.out.as_str()), (Some(0), "ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_it_may_be_is_deleted() {
    let mut scene = Scene::new().await;
    scene
        .set("RETENTION_DAYS", "2")
        .set("TALKBACK_LOG", "talkback=debug");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_millis()).expect("a time");
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    let mut jobs = Vec::new();
    for days in [1, 3] {
        let at = Timestamp(now - days * 86_400_000);
        let asked = NewJob {
            source: days.unsigned_abs(),
            guild: None,
            channel: 1,
            author: 1,
            payload: "{}".to_owned(),
            borrowed: None,
        };
        let Ok(Accepted::New(job)) = store.accept(&asked, at).await else {
            panic!("not accepted");
        };
        let done = store.finish(job, JobState::Done, &[], at).await;
        done.expect("done");
        jobs.push(job);
    }
    store.close().await;
    let mut bot = scene.start().await;
    bot.until_it_says("swept").await;
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0));
    let (store, _) = Store::open(&scene.data(), None).await.expect("a ledger");
    let [kept, old] = [store.job(jobs[0]).await, store.job(jobs[1]).await];
    assert!(kept.expect("read").is_some() && old.expect("read").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_knows_ids_and_never_words() {
    let mut scene = Scene::new().await;
    scene
        .set("TALKBACK_LOG", "talkback=trace,info")
        .set("TALKBACK_LOG_FORMAT", "json");
    let bot = scene.start().await;
    let token = scene.discord.token();
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
    let log = bot.log();
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
