//! From the end of speech to its words through AssemblyAI Sync, over the provider's own time for the
//! last piece: uploaded while somebody speaks, and sent whole; in a call, and on the page.

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::header::ORIGIN;
use reqwest::multipart::Form;
use sandbox::{AssemblyAi, Endpoint, Fault, Sandbox};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Outcome;
use super::latency::{END_SILENCE, PAUSE};
use super::process::{ms, percentile};
use super::scene::{Lounge, says, shown_at, voiced};

/// What the provider takes for the last piece, or for the whole.
const OWN: Duration = Duration::from_millis(50);

/// A page sends its recording in pieces of this length.
const PIECE: Duration = Duration::from_millis(100);

/// What is said: a short question, and half a minute of numbers.
const SAID: [&str; 2] = ["capital", "numbers"];

/// The two ways to Sync.
const WAYS: [(&str, bool); 2] = [("uploaded while it is spoken", true), ("sent whole", false)];

pub(crate) async fn sync(rounds: usize) -> Outcome<()> {
    println!("end of speech to words with Sync, over the {OWN:?} that it takes itself:");
    for said in SAID {
        for (way, live) in WAYS {
            let (mut words, mut line) = in_a_call(said, live, rounds).await?;
            print("in a call", said, way, &mut words);
            print("its line", said, way, &mut line);
        }
    }
    for said in SAID {
        for (way, live) in WAYS {
            let mut times = on_the_page(said, live, rounds).await?;
            print("on the page", said, way, &mut times);
        }
    }
    Ok(())
}

fn print(place: &str, said: &str, way: &str, times: &mut [Duration]) {
    println!(
        "  {place:<11}  {said:<8} {way:<28} {:6.1} ms, 95th {:6.1} ms",
        ms(percentile(times, 50)),
        ms(percentile(times, 95))
    );
}

fn set_out(stt: &AssemblyAi, live: bool) {
    stt.takes(OWN);
    if !live {
        stt.fault(Endpoint::SyncLive, Fault::status(404).always());
    }
}

/// Without the silence that ends an utterance: until Sync has all of it, which is when its own time
/// begins, and until the line is to be seen in the channel.
async fn in_a_call(
    said: &str,
    live: bool,
    rounds: usize,
) -> Outcome<(Vec<Duration>, Vec<Duration>)> {
    let mut lounge = Lounge::new(1, &[]).await?;
    set_out(&lounge.sandbox.assemblyai(), live);
    lounge.join(0..1).await;
    lounge.begins().await;
    let packets = voiced(said)?;
    let (mut given, mut shown) = (Vec::new(), Vec::new());
    // The first ones open connections.
    for round in 0..rounds + 2 {
        let words = format!("Number {round} is done.");
        lounge.sandbox.assemblyai().hears(&words);
        let end = says(lounge.ana(), packets.clone()).await;
        let message = lounge.ana().sees(&lounge.channel, &words).await;
        let at = shown_at(&message, &words).ok_or("words that were there are gone")?;
        if round >= 2 {
            let requests = lounge.sandbox.assemblyai().requests();
            let last = requests.iter().rfind(|it| it.body_bytes > 600);
            let last = last.ok_or("nothing was sent")?.at;
            given.push(last.saturating_duration_since(end + END_SILENCE));
            shown.push(at.saturating_duration_since(end + END_SILENCE + OWN));
        }
        tokio::time::sleep(PAUSE).await;
    }
    lounge.ends().await?;
    Ok((given, shown))
}

/// From the last piece that a page sends until it reads the words.
async fn on_the_page(said: &str, live: bool, rounds: usize) -> Outcome<Vec<Duration>> {
    let sandbox = Sandbox::start().await;
    let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
    set_out(&stt, live);
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_talkback"))
        .arg("web")
        .env_clear()
        .envs([
            ("ASSEMBLYAI_API_KEY", stt.key()),
            ("ASSEMBLYAI_SYNC_URL", stt.sync_url()),
            ("SPEECH_PROVIDERS", "sync".to_owned()),
            ("OPENAI_API_KEY", llm.key()),
            ("OPENAI_BASE_URL", llm.url()),
            ("WEB_ADDRESS", "127.0.0.1:0".to_owned()),
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let line = line.ok_or("it does not say where it is")?;
    let (_, rest) = line.split_once("http://").ok_or("no address")?;
    let (address, _) = rest.split_once('/').ok_or("no address")?;
    let path = format!("{}/samples/{said}.ogg", env!("CARGO_MANIFEST_DIR"));
    let recording = std::fs::read(path)?;
    let browser = reqwest::Client::builder().no_proxy().build()?;
    let mut times = Vec::new();
    for round in 0..rounds + 2 {
        let time = heard(&browser, address, &recording).await?;
        if round >= 2 {
            times.push(time.saturating_sub(OWN));
        }
    }
    Ok(times)
}

/// Sends a recording as it is made, and reads until the words are there.
async fn heard(browser: &reqwest::Client, address: &str, recording: &[u8]) -> Outcome<Duration> {
    let base = format!("http://{address}");
    let form = Form::new().text("turns", "[]").text("coming", "");
    let asked = browser.post(format!("{base}/ask")).header(ORIGIN, &base);
    let mut answer = asked.multipart(form).send().await?;
    let mut lines = String::new();
    until(&mut answer, &mut lines, "\n").await?;
    let (_, id) = lines.split_once("\"id\":\"").ok_or("no id")?;
    let (id, _) = id.split_once('"').ok_or("no id")?;
    let id = id.to_owned();
    let length = seconds(recording)?;
    let pieces = length.div_duration_f64(PIECE).ceil().max(1.0) as usize;
    let size = recording.len().div_ceil(pieces);
    let mut sent = 0;
    let mut ticks = tokio::time::interval(PIECE);
    let mut begun = Instant::now();
    for piece in recording.chunks(size) {
        ticks.tick().await;
        let is_last = sent + piece.len() == recording.len();
        let last = if is_last { "/last" } else { "" };
        begun = Instant::now();
        let to = format!("{base}/recordings/{id}/{sent}{last}");
        browser.post(to).body(piece.to_vec()).send().await?;
        sent += piece.len();
    }
    until(&mut answer, &mut lines, "\"heard\"").await?;
    Ok(begun.elapsed())
}

async fn until(answer: &mut reqwest::Response, lines: &mut String, words: &str) -> Outcome<()> {
    while !lines.contains(words) {
        let piece = answer.chunk().await?.ok_or("no words")?;
        *lines += std::str::from_utf8(&piece)?;
    }
    Ok(())
}

/// How long an Ogg Opus file plays, from its last page.
fn seconds(ogg: &[u8]) -> Outcome<Duration> {
    let page = ogg.windows(4).rposition(|it| it == b"OggS");
    let page = page.ok_or("no Ogg")?;
    let granule = ogg.get(page + 6..page + 14).ok_or("no time")?;
    let granule = u64::from_le_bytes(granule.try_into()?);
    Ok(Duration::from_secs_f64(granule as f64 / 48_000.0))
}
