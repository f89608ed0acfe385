//! Pictures for the README, of the running program. `script/screenshots` makes them.

#[cfg(feature = "local")]
use super::chromium::{Chromium, Microphone, View};
#[cfg(feature = "local")]
use super::said::Said;
use crate::support::repository;

/// Keeps a picture where the README shows it.
pub(crate) fn keep(name: &str, png: &[u8]) {
    let folder = repository().join("docs");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), png).expect("written");
}

/// The page by day and by night, after two questions to the local models.
#[cfg(feature = "local")]
#[tokio::test]
#[ignore = "writes pictures into docs/"]
async fn of_the_page() {
    let mut talkback = crate::support::Talkback::with_models().expect("models");
    talkback.set("WEB_ADDRESS", "127.0.0.1:0");
    let said = Said::of(&crate::support::sample("capital.ogg"));
    for (dark, name) in [(false, "page.png"), (true, "page-dark.png")] {
        let (_child, address) = super::running::launch(&talkback).await;
        let view = View { dark, ..View::DESK };
        let microphone = Microphone::Plays(&said.file);
        let browser = Chromium::start(microphone, view).await.expect("Chromium");
        browser.opens(&format!("http://{address}/")).await;
        browser.presses("#talk").await;
        said.to_the_end(&browser).await;
        let done = "document.querySelector('.exchange:last-of-type .copy:not([hidden])')";
        browser.until(done).await;
        browser.has_size(1_280, 800).await;
        keep(name, &browser.picture().await);
        browser.ends().await;
    }
}
