//! People, and programs, who are slow on purpose, and those who come after them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::harness::{WebFixture, conversation_form, recording_form};
use crate::bot::harness::BotFixture;

/// More than any bound of ours.
const CROWD_SIZE: usize = 300;

/// Nobody waits longer for a page.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How somebody is slow.
#[derive(Clone, Copy, Debug)]
enum SlowClient {
    Silent,
    HalfHeader,
    OneByteAtATime,
    IdleKeepAlive,
    NeverReads,
    HalfBody,
    WrongTokens,
}

const ALL_SLOW_CLIENTS: [SlowClient; 7] = [
    SlowClient::Silent,
    SlowClient::HalfHeader,
    SlowClient::OneByteAtATime,
    SlowClient::IdleKeepAlive,
    SlowClient::NeverReads,
    SlowClient::HalfBody,
    SlowClient::WrongTokens,
];

/// Connections that stay open for as long as this lives.
struct SlowClientCrowd {
    _connections: Vec<TcpStream>,
    drip_task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for SlowClientCrowd {
    fn drop(&mut self) {
        if let Some(dripping) = &self.drip_task {
            dripping.abort();
        }
    }
}

async fn connect_crowd(address: &str, slowness: SlowClient) -> SlowClientCrowd {
    let host = format!("Host: {address}\r\n");
    let mut connections = Vec::new();
    for _ in 0..CROWD_SIZE {
        let mut connection = TcpStream::connect(address).await.expect("connected");
        let said = match slowness {
            SlowClient::Silent | SlowClient::OneByteAtATime => String::new(),
            SlowClient::HalfHeader => format!("GET / HTTP/1.1\r\n{host}"),
            SlowClient::IdleKeepAlive | SlowClient::NeverReads => {
                format!("GET /style.css HTTP/1.1\r\n{host}\r\n")
            }
            SlowClient::HalfBody => {
                format!("POST /signin HTTP/1.1\r\n{host}Content-Length: 100\r\n\r\ntoken=")
            }
            SlowClient::WrongTokens => {
                format!("POST /signin HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\ntoken=abc")
            }
        };
        // Who is too many may be sent away already.
        let _ = connection.write_all(said.as_bytes()).await;
        if matches!(slowness, SlowClient::IdleKeepAlive) {
            let mut first = [0];
            let _ = connection.read(&mut first).await;
        }
        connections.push(connection);
    }
    let mut dripping = None;
    if matches!(slowness, SlowClient::OneByteAtATime) {
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
    SlowClientCrowd {
        _connections: connections,
        drip_task: dripping,
    }
}

async fn assert_served(address: &str, path: &str, slowness: SlowClient) {
    // As whoever comes for the first time.
    let fresh = reqwest::Client::builder().no_proxy().build();
    let fresh = fresh
        .expect("a client")
        .get(format!("http://{address}{path}"));
    let answer = timeout(RESPONSE_TIMEOUT, fresh.send()).await;
    let answer = answer.unwrap_or_else(|_| panic!("{slowness:?}: {path} is locked"));
    assert_eq!(
        answer.expect("an answer").status(),
        200,
        "{slowness:?} {path}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_people_keep_nobody_from_the_page() {
    for slowness in ALL_SLOW_CLIENTS {
        let page = WebFixture::start().await;
        let _crowd = connect_crowd(&page.address, slowness).await;
        assert_served(&page.address, "/", slowness).await;
        assert_served(&page.address, "/about", slowness).await;
        let told = timeout(
            RESPONSE_TIMEOUT * 4,
            page.ask(recording_form("question.ogg")),
        )
        .await;
        let told = told.unwrap_or_else(|_| panic!("{slowness:?}: nobody is answered"));
        assert_eq!(told.text("answered"), "Paris.", "{slowness:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_people_keep_nobody_from_seeing_how_the_bot_does() {
    let mut scene = BotFixture::new().await;
    scene.set("TALKBACK_HTTP", "127.0.0.1:0");
    let bot = scene.start().await;
    let address = bot.monitor_url();
    for slowness in ALL_SLOW_CLIENTS {
        let _crowd = connect_crowd(&address, slowness).await;
        for path in ["/healthz", "/status.json", "/metrics", "/"] {
            assert_served(&address, path, slowness).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_too_little_too_slowly_is_sent_away() {
    let page = WebFixture::start().await;
    let begun = Instant::now();
    let ends = |slowness| {
        let address = page.address.clone();
        async move {
            let mut one = TcpStream::connect(&address).await.expect("connected");
            let said = match slowness {
                SlowClient::HalfHeader => "GET / HTTP/1.1\r\nHost: x",
                SlowClient::HalfBody => {
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
        ends(SlowClient::Silent),
        ends(SlowClient::HalfHeader),
        ends(SlowClient::HalfBody),
    );
    assert!(begun.elapsed() > Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_a_slow_line_arrives() {
    let page = WebFixture::start().await;
    let bytes = std::fs::read(crate::support::sample_path("question.ogg")).expect("a sample");
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
    let told = page.ask(conversation_form(&[]).part("recording", part.file_name("recording.ogg")));
    assert_eq!(told.await.text("answered"), "Paris.");
    assert!(begun.elapsed() > Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_tokens_keeps_nobody_from_signing_in() {
    const TOKEN: &str = "open-sesame-open-sesame";
    let page = WebFixture::start_with(&[("TALKBACK_HTTP_TOKEN", TOKEN)]).await;
    let _crowd = connect_crowd(&page.address, SlowClient::WrongTokens).await;
    let client = reqwest::Client::builder().no_proxy().build();
    let request = client.expect("a client").get(page.url("/about"));
    let answer = timeout(RESPONSE_TIMEOUT, request.bearer_auth(TOKEN).send()).await;
    let answer = answer.expect("in time").expect("an answer");
    assert_eq!(answer.status(), 200);
}
