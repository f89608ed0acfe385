//! Pictures for the README, of the running program. `script/screenshots` makes them.

#[cfg(feature = "local")]
use super::chromium::{Chromium, MicrophoneSetting, Viewport};
#[cfg(feature = "local")]
use super::fake_microphone::FakeMicrophone;
use crate::support::repository;

/// Keeps a picture where the README shows it.
pub(crate) fn save_screenshot(name: &str, png: &[u8]) {
    let folder = repository().join("docs");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), png).expect("written");
}

/// The page by day and by night, after two questions to the local models.
#[cfg(feature = "local")]
#[tokio::test]
#[ignore = "writes pictures into docs/"]
async fn screenshot_page() {
    let mut talkback = crate::support::TalkbackCommand::with_models().expect("models");
    talkback.set("WEB_ADDRESS", "127.0.0.1:0");
    let said = FakeMicrophone::from_recording(&crate::support::sample_path("capital.ogg"));
    for (dark, name) in [(false, "page.png"), (true, "page-dark.png")] {
        let (_child, address) = super::harness::launch(&talkback).await;
        let view = Viewport {
            dark,
            ..Viewport::DESKTOP
        };
        let microphone = MicrophoneSetting::Plays(&said.wav_file);
        let browser = Chromium::start(microphone, view).await.expect("Chromium");
        browser.open(&format!("http://{address}/")).await;
        browser.press("#talk").await;
        said.play_to_end(&browser).await;
        let done = "document.querySelector('.exchange:last-of-type .copy:not([hidden])')";
        browser.wait_until(done).await;
        browser.set_size(1_280, 800).await;
        save_screenshot(name, &browser.screenshot().await);
        browser.close().await;
    }
}
