//! From letting go of the button to the words on the screen, against what the recognizer itself
//! needs for the recording that the page sent; both on this machine, in turn.
//!
//! ```text
//! cargo bench --bench web [-- --rounds N]
//! ```
//!
//! Needs Chromium (`script/bootstrap --with-browser`) and the local models (`talkback models fetch`).

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use audio::{self, Clip, Limits, Spool};
use talkback::app::App;
use talkback::config::{Config, Values};
use talkback::flow::admission::Permit;
use talkback::flow::paid::PaidTranscriber;
use talkback::speech::Hints;
use tokio::io::{AsyncBufReadExt, BufReader};

use chromium::{Chromium, Microphone, View};
use said::Said;

#[path = "../tests/it/web/chromium.rs"]
#[expect(dead_code, clippy::panic, reason = "stories do more with it")]
mod chromium;
#[path = "../tests/it/needs.rs"]
#[expect(dead_code, reason = "stories need more")]
mod needs;
#[path = "../tests/it/web/said.rs"]
#[expect(dead_code, reason = "stories do more with it")]
mod said;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/question.ogg");

/// What is said without a setting.
const LOCAL: [(&str, &str); 3] = [
    ("SPEECH_PROVIDERS", "local"),
    ("CHAT_PROVIDER", "local"),
    ("WEB_ADDRESS", "127.0.0.1:0"),
];

/// From letting go to the words, in milliseconds, once they are there.
const BETWEEN: &str = "
    const done = arguments[0];
    const at = name => performance.getEntriesByName(name).at(-1)?.startTime;
    const tell = () => at('heard') && done(at('heard') - at('released'));
    new PerformanceObserver(tell).observe({ entryTypes: ['mark'] });
    tell();
";

/// Keeps the recording, piece by piece.
const KEEP: &str = "
    const Recorder = window.MediaRecorder;
    window.kept = [];
    window.MediaRecorder = class extends Recorder {
        constructor(...all) {
            super(...all);
            this.addEventListener('dataavailable', event => kept.push(event.data));
        }
    };
";

/// Its bytes.
const KEPT: &str = "
    const done = arguments[0];
    new Blob(kept).arrayBuffer().then(bytes => done(Array.from(new Uint8Array(bytes))));
";

/// How long after the last sound the button is let go of, in seconds: as people do, and as soon as
/// the last word is over.
const PAUSES: [f64; 2] = [0.4, 0.0];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut rounds = 10;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            rounds = arguments.next().ok_or("a number is missing")?.parse()?;
        }
    }
    let mut values = Values::default();
    for (variable, value) in LOCAL {
        values.set(variable, value);
    }
    let config = Config::read(&values).map_err(|faults| format!("{faults:?}"))?;
    let app = App::new(&config)?;
    let recognizer = app.transcribers.first().ok_or("no recognizer")?;

    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_talkback"))
        .arg("web")
        .envs(LOCAL)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let line = line.ok_or("it does not say where it is")?;
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http"));
    let url = url.ok_or("no address")?.to_owned();

    let said = Said::of(Path::new(SAMPLE));
    // The first loads the models, and is not counted.
    round(&said, &url, recognizer, PAUSES[0]).await?;
    for pause in PAUSES {
        let (mut alone, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (words, recognized) = round(&said, &url, recognizer, pause).await?;
            heard.push(words);
            alone.push(recognized);
        }
        let (alone, heard) = (median(alone), median(heard));
        println!(
            "let go of {pause} s after the end: the words are there after {:.0} ms, {:.2} × the \
             recognizer's {:.0} ms",
            millis(heard),
            heard.as_secs_f64() / alone.as_secs_f64(),
            millis(alone),
        );
    }
    Ok(())
}

/// Says it once, and lets go so many seconds after its end. How long it takes until the words are on
/// the screen, and how long the recognizer alone needs for the same recording.
async fn round(
    said: &Said,
    url: &str,
    recognizer: &PaidTranscriber,
    pause: f64,
) -> Outcome<(Duration, Duration)> {
    // The microphone plays once a browser.
    let browser = Chromium::start(Microphone::Plays(&said.file), View::DESK).await;
    let browser = browser.ok_or("no Chromium")?;
    browser.opens(url).await;
    browser
        .until("document.querySelector('#about').textContent")
        .await;
    browser.tells(KEEP).await;
    browser.presses("#talk").await;
    said.and_then(&browser, pause).await;
    // Asked once, and not over and over: looking takes time from those who are measured.
    let millis = browser.tells_later(BETWEEN).await;
    let millis = millis.as_f64().ok_or("no time")?;
    browser.is("idle").await;
    let recording = browser.tells_later(KEPT).await;
    browser.ends().await;

    let clip = clip(serde_json::from_value(recording)?).await?;
    let begun = Instant::now();
    recognizer
        .transcribe(&Permit::unmetered(), &clip, &Hints::default(), &())
        .await?;
    Ok((Duration::from_secs_f64(millis / 1_000.0), begun.elapsed()))
}

async fn clip(recording: Vec<u8>) -> Outcome<Clip> {
    let mut spool = Spool::new(Limits::default().bytes)?;
    spool.write(&recording)?;
    let survey = audio::survey(spool.finish("recording")?, Limits::default(), |_| {});
    Ok(survey.await?.clip)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
