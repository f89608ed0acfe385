//! What the bot's operator sees of it: the status page, and what it is made from.

use serde_json::Value;

use super::super::harness::{RunningBot, question_recording};
use super::VoiceFixture;
use crate::support::repository;
use crate::web::chromium::{Chromium, MicrophoneSetting, Viewport};
use crate::web::screenshots::save_screenshot;

/// A bot that has answered a note, and hears two people in a call.
async fn scene_with_activity() -> (VoiceFixture, RunningBot) {
    let mut lounge = VoiceFixture::new().await;
    lounge.set("TALKBACK_HTTP", "127.0.0.1:0");
    lounge.set("DAILY_COST", "5");
    let bot = lounge.start().await;
    let direct = lounge.ana.dm_channel();
    let note = lounge
        .ana
        .send_voice_message(&direct, question_recording())
        .await;
    lounge
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    lounge.start_session().await;
    lounge.ben.join_voice(&lounge.lounge).await;
    lounge.agrees(&lounge.ben).await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    let (ana, ben) = (&lounge.ana, &lounge.ben);
    lounge
        .speak_and_wait(ana, "meeting_a.ogg", "We ship on Thursday.")
        .await;
    lounge
        .speak_and_wait(ben, "meeting_b.ogg", "I agree.")
        .await;
    (lounge, bot)
}

/// Opens the status page, and waits until it tells of the call that Ana is in.
async fn open_status_page(browser: &Chromium, lounge: &VoiceFixture, bot: &RunningBot) {
    browser
        .open(&format!("http://{}/", bot.monitor_url()))
        .await;
    let ana = lounge.ana.id();
    browser
        .wait_until(&format!("document.body.innerText.includes('{ana}')"))
        .await;
}

async fn status_json(bot: &RunningBot) -> Value {
    let url = format!("http://{}/status.json", bot.monitor_url());
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_the_bot_does_and_no_words() {
    let (lounge, bot) = scene_with_activity().await;
    let status = status_json(&bot).await;

    assert_eq!(status["gateway"]["up"], 1, "{status:#}");
    assert_eq!(status["gateway"]["shards"], 1);
    assert_eq!(status["gateway"]["servers"], 1);
    assert_eq!(status["queue"]["running"], 0);
    let session = &status["sessions"][0];
    assert_eq!(session["server"], lounge.guild.id().to_string());
    assert_eq!(session["channel"], lounge.lounge.id().to_string());
    let people = session["people"].as_array().expect("people");
    for person in [&lounge.ana, &lounge.ben] {
        let id = person.id().to_string();
        let told = people.iter().find(|it| it["id"] == id).expect("heard");
        assert!(told["heard_seconds"].as_f64().expect("time") > 1.0);
        assert_eq!(told["lost_seconds"], 0.0);
    }
    assert_eq!(status["outcomes"][0]["outcome"], "done");
    let stages = status["stages"].as_array().expect("stages");
    let names: Vec<_> = stages.iter().map(|it| it["stage"].as_str()).collect();
    for stage in ["hear", "answer", "deliver", "speech to line"] {
        assert!(names.contains(&Some(stage)), "{names:?}");
    }
    assert_eq!(status["providers"][0]["name"], "AssemblyAI Sync");
    assert_eq!(status["providers"][0]["state"], "works");
    assert_eq!(status["providers"][1]["state"], "works");
    assert!(status["today"]["audio_minutes"].as_f64().expect("minutes") > 0.0);
    assert!(status["today"]["cost"].as_f64().expect("money") > 0.0);
    assert_eq!(status["today"]["cost_limit"], 5.0);
    let text = status.to_string();
    for secret in ["Ana", "Ben", "Thursday", "France"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_told() {
    let mut lounge = VoiceFixture::new().await;
    lounge.set("TALKBACK_HTTP", "127.0.0.1:0");
    let bot = lounge.start().await;
    let fault = sandbox::Fault::status(401).always();
    let sync = sandbox::AssemblyAiEndpoint::Sync;
    lounge.sandbox.assemblyai().add_fault(sync, fault);
    let direct = lounge.ana.dm_channel();
    let note = lounge
        .ana
        .send_voice_message(&direct, question_recording())
        .await;
    lounge
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;

    let status = status_json(&bot).await;
    assert_eq!(status["providers"][0]["state"], "down");
    let why = status["providers"][0]["why"].as_str().expect("why");
    assert_eq!(why, "It rejected the key. Check ASSEMBLYAI_API_KEY.");
    assert_eq!(status["outcomes"][0]["outcome"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_has_no_barriers() {
    let Some(browser) = Chromium::start(MicrophoneSetting::Denied, Viewport::DESKTOP).await else {
        return;
    };
    let (lounge, bot) = scene_with_activity().await;
    open_status_page(&browser, &lounge, &bot).await;
    let text = browser.text("main").await;
    assert!(text.contains("AssemblyAI Sync"), "{text}");
    for nonsense in ["NaN", "null", "undefined"] {
        assert!(!text.contains(nonsense), "{text}");
    }
    if let Some(barriers) = browser.accessibility_violations(repository()).await {
        assert_eq!(barriers, [""; 0]);
    }
    browser.close().await;
}

/// `script/screenshots` makes it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a picture into docs/"]
async fn screenshot_status_page() {
    let browser = Chromium::start(MicrophoneSetting::Denied, Viewport::DESKTOP).await;
    let browser = browser.expect("Chromium");
    let (lounge, bot) = scene_with_activity().await;
    open_status_page(&browser, &lounge, &bot).await;
    save_screenshot("status.png", &browser.screenshot().await);
    browser.close().await;
}
