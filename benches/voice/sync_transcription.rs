//! From the end of speech to its transcript through AssemblyAI Sync, less the provider's own time
//! for the last piece: uploaded during speech, and sent whole; in a call, and on the web page.

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::header::ORIGIN;
use reqwest::multipart::Form;
use sandbox::{AssemblyAi, AssemblyAiEndpoint, Fault, Sandbox};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Outcome;
use super::latency::{END_SILENCE, PAUSE_BETWEEN_LINES};
use super::process::{millis, percentile};
use super::scene::{BotScene, first_shown, say, trimmed_sample_packets};

/// The time that the provider takes for the last piece, or for the whole.
const PROVIDER_LATENCY: Duration = Duration::from_millis(50);

/// The web page sends its recording in pieces of this duration.
const PIECE_DURATION: Duration = Duration::from_millis(100);

/// A short question, and half a minute of numbers.
const SAMPLES: [&str; 2] = ["capital", "numbers"];

/// The two ways to upload to Sync.
const UPLOAD_MODES: [(&str, bool); 2] =
    [("uploaded while it is spoken", true), ("sent whole", false)];

pub(crate) async fn bench_sync(rounds: usize) -> Outcome<()> {
    println!(
        "end of speech to words with Sync, over the {PROVIDER_LATENCY:?} that it takes itself:"
    );
    for sample in SAMPLES {
        for (way, live) in UPLOAD_MODES {
            let (mut words, mut line) = latency_in_call(sample, live, rounds).await?;
            print_row("in a call", sample, way, &mut words);
            print_row("its line", sample, way, &mut line);
        }
    }
    for sample in SAMPLES {
        for (way, live) in UPLOAD_MODES {
            let mut times = latency_on_page(sample, live, rounds).await?;
            print_row("on the page", sample, way, &mut times);
        }
    }
    Ok(())
}

fn print_row(place: &str, sample: &str, way: &str, times: &mut [Duration]) {
    println!(
        "  {place:<11}  {sample:<8} {way:<28} {:6.1} ms, 95th {:6.1} ms",
        millis(percentile(times, 50)),
        millis(percentile(times, 95))
    );
}

fn configure_fake_stt(stt: &AssemblyAi, live: bool) {
    stt.set_processing_time(PROVIDER_LATENCY);
    if !live {
        stt.add_fault(AssemblyAiEndpoint::SyncLive, Fault::status(404).always());
    }
}

/// Times from the end of speech, less [`END_SILENCE`]: until Sync has all of it, when its own time
/// begins, and until the line is visible in the channel.
async fn latency_in_call(
    sample: &str,
    live: bool,
    rounds: usize,
) -> Outcome<(Vec<Duration>, Vec<Duration>)> {
    let mut scene = BotScene::new(1, &[]).await?;
    configure_fake_stt(&scene.sandbox.assemblyai(), live);
    scene.join_voice(0..1).await;
    scene.start_session().await;
    let packets = trimmed_sample_packets(sample)?;
    let (mut uploaded, mut shown) = (Vec::new(), Vec::new());
    // The first two rounds open connections.
    for round in 0..rounds + 2 {
        let words = format!("Number {round} is done.");
        scene.sandbox.assemblyai().set_transcript(&words);
        let end = say(scene.ana(), packets.clone()).await;
        let message = scene
            .ana()
            .wait_for_message(&scene.text_channel, &words)
            .await;
        let at = first_shown(&message, &words).ok_or("the words have disappeared")?;
        if round >= 2 {
            let requests = scene.sandbox.assemblyai().requests();
            let last = requests.iter().rfind(|it| it.body_bytes > 600);
            let last = last.ok_or("nothing was sent")?.received_at;
            uploaded.push(last.saturating_duration_since(end + END_SILENCE));
            shown.push(at.saturating_duration_since(end + END_SILENCE + PROVIDER_LATENCY));
        }
        tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    }
    scene.end_session().await?;
    Ok((uploaded, shown))
}

/// From the last piece that the web page sends until it reads the transcript.
async fn latency_on_page(sample: &str, live: bool, rounds: usize) -> Outcome<Vec<Duration>> {
    let sandbox = Sandbox::start().await;
    let (stt, llm) = (sandbox.assemblyai(), sandbox.openai());
    configure_fake_stt(&stt, live);
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
    let line = line.ok_or("it prints no address")?;
    let (_, rest) = line.split_once("http://").ok_or("no address")?;
    let (address, _) = rest.split_once('/').ok_or("no address")?;
    let path = format!("{}/samples/{sample}.ogg", env!("CARGO_MANIFEST_DIR"));
    let recording = std::fs::read(path)?;
    let browser = reqwest::Client::builder().no_proxy().build()?;
    let mut times = Vec::new();
    for round in 0..rounds + 2 {
        let time = recognition_latency(&browser, address, &recording).await?;
        if round >= 2 {
            times.push(time.saturating_sub(PROVIDER_LATENCY));
        }
    }
    Ok(times)
}

/// Sends a recording at the pace of its making, and reads until the transcript arrives.
async fn recognition_latency(
    browser: &reqwest::Client,
    address: &str,
    recording: &[u8],
) -> Outcome<Duration> {
    let base = format!("http://{address}");
    let form = Form::new().text("turns", "[]").text("coming", "");
    let asked = browser.post(format!("{base}/ask")).header(ORIGIN, &base);
    let mut answer = asked.multipart(form).send().await?;
    let mut lines = String::new();
    read_until(&mut answer, &mut lines, "\n").await?;
    let (_, id) = lines.split_once("\"id\":\"").ok_or("no id")?;
    let (id, _) = id.split_once('"').ok_or("no id")?;
    let id = id.to_owned();
    let length = ogg_duration(recording)?;
    let pieces = length.div_duration_f64(PIECE_DURATION).ceil().max(1.0) as usize;
    let size = recording.len().div_ceil(pieces);
    let mut sent = 0;
    let mut ticks = tokio::time::interval(PIECE_DURATION);
    let mut started = Instant::now();
    for piece in recording.chunks(size) {
        ticks.tick().await;
        let is_last = sent + piece.len() == recording.len();
        let last = if is_last { "/last" } else { "" };
        started = Instant::now();
        let to = format!("{base}/recordings/{id}/{sent}{last}");
        browser.post(to).body(piece.to_vec()).send().await?;
        sent += piece.len();
    }
    read_until(&mut answer, &mut lines, "\"heard\"").await?;
    Ok(started.elapsed())
}

async fn read_until(
    answer: &mut reqwest::Response,
    lines: &mut String,
    words: &str,
) -> Outcome<()> {
    while !lines.contains(words) {
        let piece = answer.chunk().await?.ok_or("no words")?;
        *lines += std::str::from_utf8(&piece)?;
    }
    Ok(())
}

/// The duration of an Ogg Opus file, from its last page.
fn ogg_duration(ogg: &[u8]) -> Outcome<Duration> {
    let page = ogg.windows(4).rposition(|it| it == b"OggS");
    let page = page.ok_or("no Ogg")?;
    let granule = ogg.get(page + 6..page + 14).ok_or("no time")?;
    let granule = u64::from_le_bytes(granule.try_into()?);
    Ok(Duration::from_secs_f64(granule as f64 / 48_000.0))
}
