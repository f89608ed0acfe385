//! Somebody talks to the page in a real browser.

use sandbox::{Fault, OpenAiEndpoint};
use serde_json::Value;

use super::chromium::{Chromium, Microphone, View};
use super::running::Page;
use super::said::Said;
use crate::support::{repository, sample};

async fn browser() -> Option<(Chromium, Said)> {
    let said = Said::of(&sample("capital.ogg"));
    let browser = Chromium::start(Microphone::Plays(&said.file), View::DESK).await?;
    Some((browser, said))
}

/// The words without what a recognizer is free to write as it likes.
#[cfg(feature = "local")]
fn plain(text: &str) -> Vec<String> {
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect();
    let words = text.split_whitespace().map(letters);
    words.map(|word: String| word.to_lowercase()).collect()
}

/// Real speech into a real browser, real models on this machine, real words on the page.
#[cfg(feature = "local")]
#[tokio::test]
async fn press_speak_release() {
    let Some(mut talkback) = crate::support::Talkback::with_models() else {
        return;
    };
    talkback.set("WEB_ADDRESS", "127.0.0.1:0");
    let said = Said::of(&sample("question.ogg"));
    let microphone = Microphone::Plays(&said.file);
    let Some(browser) = Chromium::start(microphone, View::DESK).await else {
        return;
    };
    let (_child, address) = super::running::launch(&talkback).await;
    browser.opens(&format!("http://{address}/")).await;
    browser
        .until("document.querySelector('#about').textContent")
        .await;
    let about = browser.text("#about").await;
    assert!(about.contains("stays on this machine"), "{about}");

    browser.presses("#talk").await;
    said.to_the_end(&browser).await;
    browser
        .until("document.querySelector('.exchange .answer')?.textContent")
        .await;
    browser.is("idle").await;

    let words = "Imagine if there was life outside of Earth. What would it look like?";
    assert_eq!(plain(&browser.text(".heard").await), plain(words));
    assert!(!browser.text(".answer").await.trim().is_empty());
    let engines = browser.text(".engines").await;
    assert!(engines.contains("Moonshine tiny (local)"), "{engines}");
    assert!(engines.contains("SmolLM2"), "{engines}");
    let notice = browser.text(".notice").await;
    assert!(notice.contains("small demonstration model"), "{notice}");
    browser.ends().await;
}

#[tokio::test]
async fn the_space_bar_talks_and_the_conversation_goes_on() {
    let Some((browser, said)) = browser().await else {
        return;
    };
    let page = Page::open().await;
    page.sandbox
        .openai()
        .says_in_turn(["Paris.", "About two million."]);
    browser.opens(&page.url("/")).await;

    browser.holds(' ').await;
    said.to_the_end(&browser).await;
    browser
        .until("document.querySelectorAll('.exchange .copy:not([hidden])').length === 1")
        .await;
    assert_eq!(
        browser.text(".heard").await,
        "What is the capital of France?"
    );
    assert_eq!(browser.text(".answer").await, "Paris.");
    let early = "return performance.getEntriesByType('resource')
        .filter(it => it.name.includes('/recordings/')).length";
    let pieces = browser.tells(early).await.as_u64().expect("a number");
    assert!(pieces > 5, "it came while it was made, in {pieces} pieces");

    browser
        .types("#text", "How many people live there?\u{e007}")
        .await;
    browser
        .until("document.querySelectorAll('.exchange .copy:not([hidden])').length === 2")
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
    browser.ends().await;
}

/// If it can't be sent while it is made, all of it is sent in the end.
#[tokio::test]
async fn a_recording_that_is_not_taken_ahead_is_taken_whole() {
    let Some((browser, said)) = browser().await else {
        return;
    };
    let page = Page::open().await;
    browser.opens(&page.url("/")).await;
    // As by a proxy that knows nothing of it.
    let refuses = "const send = window.fetch; window.fetch = (to, how) =>
        to.startsWith('/recordings/') ? Promise.resolve(new Response('', { status: 405 })) : send(to, how)";
    browser.tells(refuses).await;

    browser.holds(' ').await;
    said.to_the_end(&browser).await;
    browser
        .until("document.querySelector('.exchange .copy:not([hidden])')")
        .await;

    let heard = browser.text(".heard").await;
    assert_eq!(heard, "What is the capital of France?");
    browser.ends().await;
}

#[tokio::test]
async fn a_denied_microphone_is_told_and_typing_still_works() {
    let Some(browser) = Chromium::start(Microphone::Denied, View::DESK).await else {
        return;
    };
    let page = Page::open().await;
    browser.opens(&page.url("/")).await;
    browser.clicks("#talk").await;
    browser
        .until("document.querySelector('#status').classList.contains('failure')")
        .await;
    insta::assert_snapshot!(browser.text("#status").await);

    browser
        .types("#text", "What is the capital of France?\u{e007}")
        .await;
    browser
        .until("document.querySelector('.exchange .answer')?.textContent === 'Paris.'")
        .await;
    browser.ends().await;
}

#[tokio::test]
async fn an_answer_can_be_stopped_and_tried_again() {
    let Some((browser, _said)) = browser().await else {
        return;
    };
    let page = Page::open().await;
    let openai = page.sandbox.openai();
    openai.says_pieces(["Once ", "upon ", "a ", "time."]);
    openai.fault(OpenAiEndpoint::Chat, Fault::hang_after_pieces(1));
    browser.opens(&page.url("/")).await;
    browser.types("#text", "Tell me a story.\u{e007}").await;
    browser
        .until("document.querySelector('.exchange .answer')?.textContent")
        .await;
    browser.clicks(".stop").await;
    browser.is("idle").await;
    assert_eq!(browser.text("#status").await, "Stopped.");

    browser.presses(".again").await;
    browser.releases().await;
    browser
        .until("[...document.querySelectorAll('.answer')].some(it => it.textContent.trim() === 'Once upon a time.')")
        .await;
    browser.ends().await;
}

#[tokio::test]
async fn a_lost_connection_and_a_failing_provider_each_get_their_sentence() {
    let Some((browser, _said)) = browser().await else {
        return;
    };
    let mut page = Page::open().await;
    browser.opens(&page.url("/")).await;
    let openai = page.sandbox.openai();
    openai.fault(OpenAiEndpoint::Chat, Fault::status(401));
    browser.types("#text", "Are you there?\u{e007}").await;
    browser
        .until("document.querySelector('.failure:not([hidden])')")
        .await;
    let told = browser.text(".failure:not([hidden])").await;
    assert!(told.contains("OPENAI_API_KEY"), "{told}");

    openai.says_pieces(["Half ", "an ", "answer."]);
    openai.fault(OpenAiEndpoint::Chat, Fault::hang_after_pieces(1));
    browser.types("#text", "And now?\u{e007}").await;
    browser
        .until(
            "[...document.querySelectorAll('.answer')].some(it => it.textContent.includes('Half'))",
        )
        .await;
    // The program is gone, and with it the connection.
    page.child.kill().await.expect("it ran");
    browser
        .until("document.querySelectorAll('.failure:not([hidden])').length === 2")
        .await;
    let last = "return [...document.querySelectorAll('.exchange')].at(-1).innerText";
    let Value::String(told) = browser.tells(last).await else {
        panic!("no exchange");
    };
    assert!(
        told.contains("Half") && told.contains("Try again"),
        "{told}"
    );
    insta::assert_snapshot!(browser.text(".exchange:last-of-type .failure").await);
    browser.ends().await;
}

/// Nobody is kept out by how they read or point, by day or by night, on a desk or on a phone.
#[tokio::test]
async fn there_are_no_barriers() {
    for dark in [false, true] {
        let said = Said::of(&sample("capital.ogg"));
        let view = View { dark, ..View::DESK };
        let Some(browser) = Chromium::start(Microphone::Plays(&said.file), view).await else {
            return;
        };
        let scheme = browser
            .tells("return matchMedia('(prefers-color-scheme: dark)').matches")
            .await;
        assert_eq!(scheme, dark);
        let page = Page::open().await;
        browser.opens(&page.url("/")).await;
        browser
            .until("document.querySelector('#about').textContent")
            .await;
        let Some(barriers) = browser.barriers(repository()).await else {
            return;
        };
        assert_eq!(barriers, [""; 0], "before anything is said");

        browser
            .types("#text", "What is the capital of France?\u{e007}")
            .await;
        browser
            .until("document.querySelector('.exchange .copy:not([hidden])')")
            .await;
        let openai = page.sandbox.openai();
        openai.fault(OpenAiEndpoint::Chat, Fault::status(401));
        browser.types("#text", "Are you there?\u{e007}").await;
        browser
            .until("document.querySelector('.failure:not([hidden])')")
            .await;
        for (width, height) in [(1_280, 800), (390, 844), (320, 568), (500, 400)] {
            browser.has_size(width, height).await;
            let barriers = browser.barriers(repository()).await;
            assert_eq!(
                barriers,
                Some(Vec::new()),
                "{width} × {height}, dark {dark}"
            );
            let wide = "return document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(browser.tells(wide).await, true, "{width} × {height}");
        }
        browser.ends().await;
    }
}
