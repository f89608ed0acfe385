//! People, and programs, who are slow on purpose, and those who come after them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::running::{Page, recorded, turns};
use crate::bot::running::Scene;

/// More than any bound of ours.
const MANY: usize = 300;

/// Nobody waits longer for a page.
const SOON: Duration = Duration::from_secs(5);

/// How somebody is slow.
#[derive(Clone, Copy, Debug)]
enum Slowness {
    Silent,
    HalfAHead,
    OneByteAtATime,
    KeptForLater,
    NeverReads,
    HalfABody,
    WrongTokens,
}

const ALL: [Slowness; 7] = [
    Slowness::Silent,
    Slowness::HalfAHead,
    Slowness::OneByteAtATime,
    Slowness::KeptForLater,
    Slowness::NeverReads,
    Slowness::HalfABody,
    Slowness::WrongTokens,
];

/// Connections that stay open for as long as this lives.
struct Crowd {
    _connections: Vec<TcpStream>,
    dripping: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(dripping) = &self.dripping {
            dripping.abort();
        }
    }
}

async fn crowd(address: &str, slowness: Slowness) -> Crowd {
    let host = format!("Host: {address}\r\n");
    let mut connections = Vec::new();
    for _ in 0..MANY {
        let mut connection = TcpStream::connect(address).await.expect("connected");
        let said = match slowness {
            Slowness::Silent | Slowness::OneByteAtATime => String::new(),
            Slowness::HalfAHead => format!("GET / HTTP/1.1\r\n{host}"),
            Slowness::KeptForLater | Slowness::NeverReads => {
                format!("GET /style.css HTTP/1.1\r\n{host}\r\n")
            }
            Slowness::HalfABody => {
                format!("POST /signin HTTP/1.1\r\n{host}Content-Length: 100\r\n\r\ntoken=")
            }
            Slowness::WrongTokens => {
                format!("POST /signin HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\ntoken=abc")
            }
        };
        // Who is too many may be sent away already.
        let _ = connection.write_all(said.as_bytes()).await;
        if matches!(slowness, Slowness::KeptForLater) {
            let mut first = [0];
            let _ = connection.read(&mut first).await;
        }
        connections.push(connection);
    }
    let mut dripping = None;
    if matches!(slowness, Slowness::OneByteAtATime) {
        let mut drops = std::mem::take(&mut connections);
        dripping = Some(tokio::spawn(async move {
            for byte in format!("GET / HTTP/1.1\r\n{host}").bytes().cycle() {
                for connection in &mut drops {
                    let _ = connection.write_all(&[byte]).await;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }));
    }
    Crowd {
        _connections: connections,
        dripping,
    }
}

async fn is_served(address: &str, path: &str, slowness: Slowness) {
    // As whoever comes for the first time.
    let fresh = reqwest::Client::builder().no_proxy().build();
    let fresh = fresh
        .expect("a client")
        .get(format!("http://{address}{path}"));
    let answer = timeout(SOON, fresh.send()).await;
    let answer = answer.unwrap_or_else(|_| panic!("{slowness:?}: {path} is locked"));
    assert_eq!(
        answer.expect("an answer").status(),
        200,
        "{slowness:?} {path}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_people_keep_nobody_from_the_page() {
    for slowness in ALL {
        let page = Page::open().await;
        let _crowd = crowd(&page.address, slowness).await;
        is_served(&page.address, "/", slowness).await;
        is_served(&page.address, "/about", slowness).await;
        let told = timeout(SOON * 4, page.ask(recorded("question.ogg"))).await;
        let told = told.unwrap_or_else(|_| panic!("{slowness:?}: nobody is answered"));
        assert_eq!(told.text("answered"), "Paris.", "{slowness:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_people_keep_nobody_from_seeing_how_the_bot_does() {
    let mut scene = Scene::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    let bot = scene.start().await;
    let address = bot.monitor();
    for slowness in ALL {
        let _crowd = crowd(&address, slowness).await;
        for path in ["/healthz", "/status.json", "/metrics", "/"] {
            is_served(&address, path, slowness).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_too_little_too_slowly_is_sent_away() {
    let page = Page::open().await;
    let begun = Instant::now();
    let ends = |slowness| {
        let address = page.address.clone();
        async move {
            let mut one = TcpStream::connect(&address).await.expect("connected");
            let said = match slowness {
                Slowness::HalfAHead => "GET / HTTP/1.1\r\nHost: x",
                Slowness::HalfABody => {
                    "POST /signin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nt"
                }
                _ => "",
            };
            one.write_all(said.as_bytes()).await.expect("said");
            let mut rest = Vec::new();
            let limit = Duration::from_secs(45);
            let ended = timeout(limit, one.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "{slowness:?} may stay for ever");
        }
    };
    tokio::join!(
        ends(Slowness::Silent),
        ends(Slowness::HalfAHead),
        ends(Slowness::HalfABody),
    );
    assert!(begun.elapsed() > Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_a_slow_line_arrives() {
    let page = Page::open().await;
    let bytes = std::fs::read(crate::support::sample("question.ogg")).expect("a sample");
    // Longer than anything but an upload may take.
    let pieces: Vec<Vec<u8>> = bytes
        .chunks(bytes.len() / 16 + 1)
        .map(<[u8]>::to_vec)
        .collect();
    let slowly = futures_util::stream::unfold(pieces.into_iter(), |mut pieces| async {
        let piece = pieces.next()?;
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    let part = reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(slowly));
    let begun = Instant::now();
    let told = page.ask(turns(&[]).part("recording", part.file_name("recording.ogg")));
    assert_eq!(told.await.text("answered"), "Paris.");
    assert!(begun.elapsed() > Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_tokens_keeps_nobody_from_signing_in() {
    const TOKEN: &str = "open-sesame-open-sesame";
    let page = Page::open_with(&[("TALKBACK_HTTP_TOKEN", TOKEN)]).await;
    let _crowd = crowd(&page.address, Slowness::WrongTokens).await;
    let client = reqwest::Client::builder().no_proxy().build();
    let request = client.expect("a client").get(page.url("/about"));
    let answer = timeout(SOON, request.bearer_auth(TOKEN).send()).await;
    let answer = answer.expect("in time").expect("an answer");
    assert_eq!(answer.status(), 200);
}
