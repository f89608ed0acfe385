//! What the bot's operator sees of it: the status page, and what it is made from.

use serde_json::Value;

use super::super::running::{Bot, question};
use super::Lounge;
use crate::support::repository;
use crate::web::chromium::{Chromium, Microphone, View};
use crate::web::pictures::keep;

/// A bot that has answered a note, and hears two people in a call.
async fn busy() -> (Lounge, Bot) {
    let mut lounge = Lounge::new().await;
    lounge.set("TALKBACK_HTTP", "127.0.0.1:0");
    lounge.set("DAILY_COST", "5");
    let bot = lounge.start().await;
    let direct = lounge.ana.direct();
    let note = lounge.ana.sends_voice_note(&direct, question()).await;
    lounge.ana.sees_reply_to(&note).await.until_done().await;
    lounge.begins().await;
    lounge.ben.joins_voice(&lounge.lounge).await;
    lounge.agrees(&lounge.ben).await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    let (ana, ben) = (&lounge.ana, &lounge.ben);
    lounge
        .says(ana, "meeting_a.ogg", "We ship on Thursday.")
        .await;
    lounge.says(ben, "meeting_b.ogg", "I agree.").await;
    (lounge, bot)
}

/// Opens the status page, and waits until it tells of the call that Ana is in.
async fn opened(browser: &Chromium, lounge: &Lounge, bot: &Bot) {
    browser.opens(&format!("http://{}/", bot.monitor())).await;
    let ana = lounge.ana.id();
    browser
        .until(&format!("document.body.innerText.includes('{ana}')"))
        .await;
}

async fn status(bot: &Bot) -> Value {
    let url = format!("http://{}/status.json", bot.monitor());
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_the_bot_does_and_no_words() {
    let (lounge, bot) = busy().await;
    let status = status(&bot).await;

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
    let mut lounge = Lounge::new().await;
    lounge.set("TALKBACK_HTTP", "127.0.0.1:0");
    let bot = lounge.start().await;
    let fault = sandbox::Fault::status(401).always();
    let sync = sandbox::Endpoint::Sync;
    lounge.sandbox.assemblyai().fault(sync, fault);
    let direct = lounge.ana.direct();
    let note = lounge.ana.sends_voice_note(&direct, question()).await;
    lounge.ana.sees_reply_to(&note).await.until_done().await;

    let status = status(&bot).await;
    assert_eq!(status["providers"][0]["state"], "down");
    let why = status["providers"][0]["why"].as_str().expect("why");
    assert_eq!(why, "It refused the key. Check ASSEMBLYAI_API_KEY.");
    assert_eq!(status["outcomes"][0]["outcome"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_has_no_barriers() {
    let Some(browser) = Chromium::start(Microphone::Denied, View::DESK).await else {
        return;
    };
    let (lounge, bot) = busy().await;
    opened(&browser, &lounge, &bot).await;
    let text = browser.text("main").await;
    assert!(text.contains("AssemblyAI Sync"), "{text}");
    for nonsense in ["NaN", "null", "undefined"] {
        assert!(!text.contains(nonsense), "{text}");
    }
    if let Some(barriers) = browser.barriers(repository()).await {
        assert_eq!(barriers, [""; 0]);
    }
    browser.ends().await;
}

/// `script/screenshots` makes it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a picture into docs/"]
async fn picture_of_the_status() {
    let browser = Chromium::start(Microphone::Denied, View::DESK).await;
    let browser = browser.expect("Chromium");
    let (lounge, bot) = busy().await;
    opened(&browser, &lounge, &bot).await;
    keep("status.png", &browser.picture().await);
    browser.ends().await;
}
