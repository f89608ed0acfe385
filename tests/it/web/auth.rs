//! Who may come in, and what a browser may do with what it is given.

use reqwest::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::harness::{WebFixture, conversation_form};
use crate::support::sandbox_with_keys;

const TOKEN: &str = "open-sesame-open-sesame";

/// The files that the page is made of, by what stands in it and in what it loads.
async fn page_files(page: &WebFixture) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut wanted = vec!["/".to_owned()];
    while let Some(path) = wanted.pop() {
        if files.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let response = page.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        let text = response.text().await.expect("text");
        let quoted = text.split(['"', '\'']);
        wanted.extend(quoted.filter_map(|it| {
            let name = it.strip_prefix("./").or_else(|| it.strip_prefix('/'))?;
            let known = [".js", ".css", ".svg"]
                .iter()
                .any(|end| name.ends_with(end));
            known.then(|| format!("/{name}"))
        }));
        files.push((path, text));
    }
    files
}

#[tokio::test]
async fn the_page_is_light_and_asks_nobody_else() {
    let page = WebFixture::start().await;
    let files = page_files(&page).await;
    let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    for name in ["/", "/app.js", "/style.css", "/icon.svg"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let weight: usize = files.iter().map(|(_, text)| text.len()).sum();
    assert!(weight <= 60 * 1024, "{weight} bytes");
    for (path, text) in &files {
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("://"), "{path} names another host");
    }
}

#[tokio::test]
async fn a_browser_may_do_no_more_than_the_page_needs() {
    let page = WebFixture::start().await;
    for path in ["/", "/app.js", "/about", "/nothing"] {
        let response = page.get(path).await;
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|it| it.to_str().ok()).unwrap_or_default()
        };
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{path}");
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{path}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
    }
}

#[tokio::test]
async fn other_names_and_other_pages_are_kept_out() {
    let page = WebFixture::start().await;
    let rebound = page
        .browser
        .get(page.url("/"))
        .header(HOST, "evil.example.org");
    let response = rebound.send().await.expect("an answer");
    assert_eq!(response.status(), 403);

    for origin in ["http://evil.example.org", "null", "http://127.0.0.1:1"] {
        let request = page
            .browser
            .post(page.url("/ask"))
            .header(ORIGIN, origin)
            .multipart(conversation_form(&[]).text("text", "Hm?"));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 403, "{origin}");
    }
    let asked = page.sandbox.openai().requests();
    assert!(asked.iter().all(|request| request.method != "POST"));
}

#[tokio::test]
async fn an_address_that_others_reach_demands_a_token() {
    let (_sandbox, mut talkback) = sandbox_with_keys().await;
    talkback.set("WEB_ADDRESS", "0.0.0.0:0");
    let screen = talkback.run(&["web"]).await;
    assert_eq!(screen.exit_code, Some(2), "{screen:?}");
    insta::assert_snapshot!(screen.stderr);

    talkback.set("TALKBACK_HTTP_TOKEN", "sesame");
    let screen = talkback.run(&["web"]).await;
    assert_eq!(screen.exit_code, Some(2), "{screen:?}");
    insta::assert_snapshot!(screen.stderr);
}

async fn sign_in(browser: &Client, page: &WebFixture, token: &str) -> Response {
    let request = browser
        .post(page.url("/signin"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}"));
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn whoever_knows_the_token_comes_in() {
    let page = WebFixture::start_with(&[("TALKBACK_HTTP_TOKEN", TOKEN)]).await;
    let response = page.get("/").await;
    assert_eq!(response.status(), 401);
    let text = response.text().await.expect("text");
    assert!(text.contains("action=\"/signin\""), "{text}");
    assert_eq!(page.get("/about").await.status(), 401);
    assert_eq!(page.get("/style.css").await.status(), 200);

    // A browser that does not go on by itself, so that the cookie is seen.
    let browser = Client::builder().redirect(Policy::none()).no_proxy();
    let browser = browser.build().expect("a client");
    let response = sign_in(&browser, &page, "poppy").await;
    assert_eq!(response.status(), 401);
    assert!(!response.headers().contains_key(SET_COOKIE));
    let text = response.text().await.expect("text");
    assert!(text.contains("data-wrong"), "{text}");

    let response = sign_in(&browser, &page, TOKEN).await;
    assert_eq!(response.status(), 303);
    let cookie = response.headers()[SET_COOKIE].to_str().expect("text");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    assert!(!cookie.contains(TOKEN));
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();

    let with_cookie = browser.get(page.url("/about")).header(COOKIE, cookie);
    assert_eq!(with_cookie.send().await.expect("an answer").status(), 200);
    let program = browser.get(page.url("/about"));
    let program = program.header(AUTHORIZATION, format!("Bearer {TOKEN}"));
    assert_eq!(program.send().await.expect("an answer").status(), 200);
}
