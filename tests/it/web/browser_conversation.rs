//! Somebody talks to the page in a real browser.

use sandbox::{Fault, OpenAiEndpoint};
use serde_json::Value;

use super::chromium::{Chromium, MicrophoneSetting, Viewport};
use super::fake_microphone::FakeMicrophone;
use super::harness::WebFixture;
use crate::support::{repository, sample_path};

async fn start_browser() -> Option<(Chromium, FakeMicrophone)> {
    let said = FakeMicrophone::from_recording(&sample_path("capital.ogg"));
    let browser =
        Chromium::start(MicrophoneSetting::Plays(&said.wav_file), Viewport::DESKTOP).await?;
    Some((browser, said))
}

/// The words without what a recognizer is free to write as it likes.
#[cfg(feature = "local")]
fn visible_lines(text: &str) -> Vec<String> {
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect();
    let words = text.split_whitespace().map(letters);
    words.map(|word: String| word.to_lowercase()).collect()
}

/// Real speech into a real browser, real models on this machine, real words on the page.
#[cfg(feature = "local")]
#[tokio::test]
async fn push_to_talk_shows_transcript_and_answer() {
    let Some(mut talkback) = crate::support::TalkbackCommand::with_models() else {
        return;
    };
    talkback.set("WEB_ADDRESS", "127.0.0.1:0");
    let said = FakeMicrophone::from_recording(&sample_path("question.ogg"));
    let microphone = MicrophoneSetting::Plays(&said.wav_file);
    let Some(browser) = Chromium::start(microphone, Viewport::DESKTOP).await else {
        return;
    };
    let (_child, address) = super::harness::launch(&talkback).await;
    browser.open(&format!("http://{address}/")).await;
    browser
        .wait_until("document.querySelector('#about').textContent")
        .await;
    let about = browser.text("#about").await;
    assert!(about.contains("stays on this machine"), "{about}");

    browser.press("#talk").await;
    said.play_to_end(&browser).await;
    browser
        .wait_until("document.querySelector('.exchange .answer')?.textContent")
        .await;
    browser.wait_for_state("idle").await;

    let words = "Imagine if there was life outside of Earth. What would it look like?";
    assert_eq!(
        visible_lines(&browser.text(".heard").await),
        visible_lines(words)
    );
    assert!(!browser.text(".answer").await.trim().is_empty());
    let engines = browser.text(".engines").await;
    assert!(engines.contains("Moonshine tiny (local)"), "{engines}");
    assert!(engines.contains("SmolLM2"), "{engines}");
    let notice = browser.text(".notice").await;
    assert!(notice.contains("small demonstration model"), "{notice}");
    browser.close().await;
}

#[tokio::test]
async fn the_space_bar_talks_and_the_conversation_goes_on() {
    let Some((browser, said)) = start_browser().await else {
        return;
    };
    let page = WebFixture::start().await;
    page.sandbox
        .openai()
        .queue_answers(["Paris.", "About two million."]);
    browser.open(&page.url("/")).await;

    browser.hold_key(' ').await;
    said.play_to_end(&browser).await;
    browser
        .wait_until("document.querySelectorAll('.exchange .copy:not([hidden])').length === 1")
        .await;
    assert_eq!(
        browser.text(".heard").await,
        "What is the capital of France?"
    );
    assert_eq!(browser.text(".answer").await, "Paris.");
    let early = "return performance.getEntriesByType('resource')
        .filter(it => it.name.includes('/recordings/')).length";
    let pieces = browser.evaluate(early).await.as_u64().expect("a number");
    assert!(pieces > 5, "it came while it was made, in {pieces} pieces");

    browser
        .type_text("#text", "How many people live there?\u{e007}")
        .await;
    browser
        .wait_until("document.querySelectorAll('.exchange .copy:not([hidden])').length === 2")
        .await;
    assert_eq!(
        browser.text(".exchange:last-of-type .answer").await,
        "About two million."
    );
    let requests = page.sandbox.openai().requests();
    let asked = requests
        .iter()
        .rfind(|it| it.method == "POST")
        .expect("asked");
    let body = asked.text();
    for said in ["capital of France", "Paris.", "How many people"] {
        assert!(body.contains(said), "{said}");
    }
    browser.close().await;
}

/// If it can't be sent while it is made, all of it is sent in the end.
#[tokio::test]
async fn a_recording_that_is_not_taken_ahead_is_taken_whole() {
    let Some((browser, said)) = start_browser().await else {
        return;
    };
    let page = WebFixture::start().await;
    browser.open(&page.url("/")).await;
    // As by a proxy that knows nothing of it.
    let refuses = "const send = window.fetch; window.fetch = (to, how) =>
        to.startsWith('/recordings/') ? Promise.resolve(new Response('', { status: 405 })) : send(to, how)";
    browser.evaluate(refuses).await;

    browser.hold_key(' ').await;
    said.play_to_end(&browser).await;
    browser
        .wait_until("document.querySelector('.exchange .copy:not([hidden])')")
        .await;

    let heard = browser.text(".heard").await;
    assert_eq!(heard, "What is the capital of France?");
    browser.close().await;
}

#[tokio::test]
async fn a_denied_microphone_is_told_and_typing_still_works() {
    let Some(browser) = Chromium::start(MicrophoneSetting::Denied, Viewport::DESKTOP).await else {
        return;
    };
    let page = WebFixture::start().await;
    browser.open(&page.url("/")).await;
    browser.click("#talk").await;
    browser
        .wait_until("document.querySelector('#status').classList.contains('failure')")
        .await;
    insta::assert_snapshot!(browser.text("#status").await);

    browser
        .type_text("#text", "What is the capital of France?\u{e007}")
        .await;
    browser
        .wait_until("document.querySelector('.exchange .answer')?.textContent === 'Paris.'")
        .await;
    browser.close().await;
}

#[tokio::test]
async fn an_answer_can_be_stopped_and_tried_again() {
    let Some((browser, _said)) = start_browser().await else {
        return;
    };
    let page = WebFixture::start().await;
    let openai = page.sandbox.openai();
    openai.set_answer_chunks(["Once ", "upon ", "a ", "time."]);
    openai.add_fault(OpenAiEndpoint::Chat, Fault::hang_after_chunks(1));
    browser.open(&page.url("/")).await;
    browser.type_text("#text", "Tell me a story.\u{e007}").await;
    browser
        .wait_until("document.querySelector('.exchange .answer')?.textContent")
        .await;
    browser.click(".stop").await;
    browser.wait_for_state("idle").await;
    assert_eq!(browser.text("#status").await, "Stopped.");

    browser.press(".again").await;
    browser.release().await;
    browser
        .wait_until("[...document.querySelectorAll('.answer')].some(it => it.textContent.trim() === 'Once upon a time.')")
        .await;
    browser.close().await;
}

#[tokio::test]
async fn a_lost_connection_and_a_failing_provider_each_get_their_sentence() {
    let Some((browser, _said)) = start_browser().await else {
        return;
    };
    let mut page = WebFixture::start().await;
    browser.open(&page.url("/")).await;
    let openai = page.sandbox.openai();
    openai.add_fault(OpenAiEndpoint::Chat, Fault::status(401));
    browser.type_text("#text", "Are you there?\u{e007}").await;
    browser
        .wait_until("document.querySelector('.failure:not([hidden])')")
        .await;
    let told = browser.text(".failure:not([hidden])").await;
    assert!(told.contains("OPENAI_API_KEY"), "{told}");

    openai.set_answer_chunks(["Half ", "an ", "answer."]);
    openai.add_fault(OpenAiEndpoint::Chat, Fault::hang_after_chunks(1));
    browser.type_text("#text", "And now?\u{e007}").await;
    browser
        .wait_until(
            "[...document.querySelectorAll('.answer')].some(it => it.textContent.includes('Half'))",
        )
        .await;
    // The program is gone, and with it the connection.
    page.child.kill().await.expect("it ran");
    browser
        .wait_until("document.querySelectorAll('.failure:not([hidden])').length === 2")
        .await;
    let last = "return [...document.querySelectorAll('.exchange')].at(-1).innerText";
    let Value::String(told) = browser.evaluate(last).await else {
        panic!("no exchange");
    };
    assert!(
        told.contains("Half") && told.contains("Try again"),
        "{told}"
    );
    insta::assert_snapshot!(browser.text(".exchange:last-of-type .failure").await);
    browser.close().await;
}

/// Nobody is kept out by how they read or point, by day or by night, on a desk or on a phone.
#[tokio::test]
async fn page_has_no_accessibility_violations() {
    for dark in [false, true] {
        let said = FakeMicrophone::from_recording(&sample_path("capital.ogg"));
        let view = Viewport {
            dark,
            ..Viewport::DESKTOP
        };
        let Some(browser) = Chromium::start(MicrophoneSetting::Plays(&said.wav_file), view).await
        else {
            return;
        };
        let scheme = browser
            .evaluate("return matchMedia('(prefers-color-scheme: dark)').matches")
            .await;
        assert_eq!(scheme, dark);
        let page = WebFixture::start().await;
        browser.open(&page.url("/")).await;
        browser
            .wait_until("document.querySelector('#about').textContent")
            .await;
        let Some(barriers) = browser.accessibility_violations(repository()).await else {
            return;
        };
        assert_eq!(barriers, [""; 0], "before anything is said");

        browser
            .type_text("#text", "What is the capital of France?\u{e007}")
            .await;
        browser
            .wait_until("document.querySelector('.exchange .copy:not([hidden])')")
            .await;
        let openai = page.sandbox.openai();
        openai.add_fault(OpenAiEndpoint::Chat, Fault::status(401));
        browser.type_text("#text", "Are you there?\u{e007}").await;
        browser
            .wait_until("document.querySelector('.failure:not([hidden])')")
            .await;
        for (width, height) in [(1_280, 800), (390, 844), (320, 568), (500, 400)] {
            browser.set_size(width, height).await;
            let barriers = browser.accessibility_violations(repository()).await;
            assert_eq!(
                barriers,
                Some(Vec::new()),
                "{width} × {height}, dark {dark}"
            );
            let wide = "return document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(browser.evaluate(wide).await, true, "{width} × {height}");
        }
        browser.close().await;
    }
}
