//! The time from releasing the button to the words on the web page, compared with the time that the
//! recognizer needs for the same recording; both on this machine, in turn.
//!
//! ```text
//! cargo bench --bench web [-- --rounds N]
//! ```
//!
//! Needs Chromium (`script/bootstrap --with-browser`) and the local models (`talkback models
//! fetch`).

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use audio::{self, AudioLimits, Clip, Spool};
use talkback::app::App;
use talkback::config::{Config, SettingValues};
use talkback::flow::admission::Permit;
use talkback::flow::paid_providers::PaidTranscriber;
use talkback::speech::Hints;
use tokio::io::{AsyncBufReadExt, BufReader};

use chromium::{Chromium, MicrophoneSetting, Viewport};
use fake_microphone::FakeMicrophone;

#[path = "../tests/it/web/chromium.rs"]
#[expect(dead_code, clippy::panic, reason = "the tests use more of it")]
mod chromium;
#[path = "../tests/it/web/fake_microphone.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod fake_microphone;
#[path = "../tests/it/requirements.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod requirements;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/question.ogg");

/// The settings of the program.
const LOCAL_SETTINGS: [(&str, &str); 3] = [
    ("SPEECH_PROVIDERS", "local"),
    ("CHAT_PROVIDER", "local"),
    ("WEB_ADDRESS", "127.0.0.1:0"),
];

/// Returns the time from release to the words, in milliseconds, once they are there.
const LATENCY_SCRIPT: &str = "
    const done = arguments[0];
    const at = name => performance.getEntriesByName(name).at(-1)?.startTime;
    const tell = () => at('heard') && done(at('heard') - at('released'));
    new PerformanceObserver(tell).observe({ entryTypes: ['mark'] });
    tell();
";

/// Collects the pieces of the recording.
const KEEP_RECORDING_SCRIPT: &str = "
    const Recorder = window.MediaRecorder;
    window.kept = [];
    window.MediaRecorder = class extends Recorder {
        constructor(...all) {
            super(...all);
            this.addEventListener('dataavailable', event => kept.push(event.data));
        }
    };
";

/// Returns the bytes of the recording.
const READ_RECORDING_SCRIPT: &str = "
    const done = arguments[0];
    new Blob(kept).arrayBuffer().then(bytes => done(Array.from(new Uint8Array(bytes))));
";

/// How long after the last sound the button is released, in seconds: as people do, and at once.
const RELEASE_DELAYS_SECONDS: [f64; 2] = [0.4, 0.0];

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> BenchResult<()> {
    let mut rounds = 10;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            rounds = arguments.next().ok_or("a number is missing")?.parse()?;
        }
    }
    let mut values = SettingValues::default();
    for (variable, value) in LOCAL_SETTINGS {
        values.set(variable, value);
    }
    let config = Config::read(&values).map_err(|faults| format!("{faults:?}"))?;
    let app = App::new(&config)?;
    let recognizer = app.transcribers.first().ok_or("no recognizer")?;

    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_talkback"))
        .arg("web")
        .envs(LOCAL_SETTINGS)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let line = line.ok_or("it prints no address")?;
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http"));
    let url = url.ok_or("no address")?.to_owned();

    let microphone = FakeMicrophone::from_recording(Path::new(SAMPLE));
    // The first round loads the models and does not count.
    measure_round(&microphone, &url, recognizer, RELEASE_DELAYS_SECONDS[0]).await?;
    for pause in RELEASE_DELAYS_SECONDS {
        let (mut alone, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (words, recognized) = measure_round(&microphone, &url, recognizer, pause).await?;
            heard.push(words);
            alone.push(recognized);
        }
        let (alone, heard) = (median(alone), median(heard));
        println!(
            "let go of {pause} s after the end: the words are there after {:.0} ms, {:.2} × the \
             recognizer's {:.0} ms",
            as_millis_f64(heard),
            heard.as_secs_f64() / alone.as_secs_f64(),
            as_millis_f64(alone),
        );
    }
    Ok(())
}

/// Speaks once and releases the button `pause` seconds after the end. Returns the time until the
/// words are on the page, and the time that the recognizer alone needs for the same recording.
async fn measure_round(
    microphone: &FakeMicrophone,
    url: &str,
    recognizer: &PaidTranscriber,
    pause: f64,
) -> BenchResult<(Duration, Duration)> {
    // The fake microphone plays once per browser.
    let browser = Chromium::start(
        MicrophoneSetting::Plays(&microphone.wav_file),
        Viewport::DESKTOP,
    )
    .await;
    let browser = browser.ok_or("no Chromium")?;
    browser.open(url).await;
    browser
        .wait_until("document.querySelector('#about').textContent")
        .await;
    browser.evaluate(KEEP_RECORDING_SCRIPT).await;
    browser.press("#talk").await;
    microphone.play_then_wait(&browser, pause).await;
    // Asked once: polling would take CPU time from what is measured.
    let millis = browser.evaluate_async(LATENCY_SCRIPT).await;
    let millis = millis.as_f64().ok_or("no time")?;
    browser.wait_for_state("idle").await;
    let recording = browser.evaluate_async(READ_RECORDING_SCRIPT).await;
    browser.close().await;

    let clip = clip(serde_json::from_value(recording)?).await?;
    let started = Instant::now();
    recognizer
        .transcribe(&Permit::unmetered(), &clip, &Hints::default(), &())
        .await?;
    Ok((Duration::from_secs_f64(millis / 1_000.0), started.elapsed()))
}

async fn clip(recording: Vec<u8>) -> BenchResult<Clip> {
    let mut spool = Spool::new(AudioLimits::default().bytes)?;
    spool.write(&recording)?;
    let analysis = audio::analyze(spool.finish("recording")?, AudioLimits::default(), |_| {});
    Ok(analysis.await?.clip)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn as_millis_f64(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
