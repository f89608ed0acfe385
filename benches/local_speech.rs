//! The local recognizer compared with the vendor's own package, on the same recordings in the same
//! run:
//!
//! ```sh
//! cargo bench --no-default-features --features local-speech --bench local_speech
//! ```
//!
//! Both have their model loaded beforehand and take decoded samples; the rounds alternate, so that
//! other load on the machine affects both. Needs the local models (`talkback models fetch`) and a
//! `python3` with `venv`; see `compare/moonshine.py`. `ROUNDS` sets the number of rounds (7);
//! `THREADS` sets our threads. Exits with 1 if a goal is missed.

#[path = "../tests/it/word_error_rate.rs"]
mod word_errors;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use audio::{AudioLimits, Clip, Pcm, Recording, analyze};
use talkback::models;
use talkback::speech::local::{LocalSpeechSettings, LocalTranscriber};
use talkback::speech::{Hints, Transcriber};
use word_errors::{said, word_errors, words};

type BenchResult<T> = Result<T, Box<dyn Error>>;

/// The goal: our time relative to the vendor's.
const MAX_TIME_RATIO: f64 = 1.2;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(compare()));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("local_speech: {error}");
            ExitCode::from(2)
        }
    }
}

/// One recording and the results of both.
struct SpeechCase {
    name: String,
    expected_text: String,
    clip: Clip,
    wav: PathBuf,
    ours: RecognizerRun,
    vendor: RecognizerRun,
}

#[derive(Default)]
struct RecognizerRun {
    text: String,
    times: Vec<Duration>,
}

impl RecognizerRun {
    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    fn fastest(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }
}

async fn compare() -> BenchResult<bool> {
    let rounds: usize = read_env_number("ROUNDS", 7)?;
    let folder =
        std::env::var_os("TALKBACK_MODELS").map_or_else(models::default_folder, PathBuf::from);
    let mut settings = LocalSpeechSettings::in_folder(&folder, AudioLimits::default());
    settings.threads = read_env_number("THREADS", settings.threads)?;
    println!("threads: {}", settings.threads);
    let ours = LocalTranscriber::new(settings);
    ours.probe().await?;
    let files = tempfile::tempdir()?;
    let mut cases = cases(files.path()).await?;
    let mut theirs = MoonshinePython::start()?;
    // The first round warms up and does not count.
    for round in 0..=rounds {
        for case in &mut cases {
            let (text, time) = recognize(&ours, &case.clip).await?;
            case.ours.text = text;
            let (their_text, their_time) = theirs.recognize(&case.wav)?;
            case.vendor.text = their_text;
            if round > 0 {
                case.ours.times.push(time);
                case.vendor.times.push(their_time);
            }
        }
    }
    Ok(report(&cases))
}

fn read_env_number(name: &str, default: usize) -> BenchResult<usize> {
    match std::env::var(name) {
        Ok(value) => Ok(value.parse()?),
        Err(_) => Ok(default),
    }
}

async fn recognize(ours: &LocalTranscriber, clip: &Clip) -> BenchResult<(String, Duration)> {
    let started = Instant::now();
    let transcript = ours.transcribe(clip, &Hints::default(), &()).await?;
    Ok((transcript.text, started.elapsed()))
}

/// Each sample, and all of them in a row with one second of silence between.
async fn cases(folder: &Path) -> BenchResult<Vec<SpeechCase>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut cases = Vec::new();
    let mut row = Vec::new();
    let mut row_text = Vec::new();
    for (name, reference) in said() {
        let recording = Recording::from_path(samples.join(format!("{name}.ogg")));
        let clip = analyze(recording, AudioLimits::default(), |_| {})
            .await?
            .clip;
        let pcm = clip.pcm().ok_or("a sample is too long")?.clone();
        row.extend_from_slice(pcm.samples());
        row.extend([0.0; 16_000]);
        row_text.push(reference);
        cases.push(case(folder, name, reference, pcm)?);
    }
    cases.push(case(
        folder,
        "all in a row",
        &row_text.join(" "),
        row.into(),
    )?);
    Ok(cases)
}

fn case(folder: &Path, name: &str, reference: &str, pcm: Pcm) -> BenchResult<SpeechCase> {
    let wav = folder.join(format!("{name}.wav"));
    std::fs::write(&wav, pcm.to_wav())?;
    Ok(SpeechCase {
        name: name.to_owned(),
        expected_text: reference.to_owned(),
        clip: Clip::from_pcm(pcm),
        wav,
        ours: RecognizerRun::default(),
        vendor: RecognizerRun::default(),
    })
}

fn report(cases: &[SpeechCase]) -> bool {
    println!(
        "{:<14} {:>7} {:>9} {:>9} {:>6} {:>6} {:>6}",
        "recording", "seconds", "ours ms", "theirs ms", "ratio", "errors", "theirs"
    );
    let mut sums = [Duration::ZERO; 4];
    let (mut our_errors, mut their_errors, mut all) = (0, 0, 0);
    for case in cases {
        let expected = words(&case.expected_text);
        let ours = word_errors(&expected, &words(&case.ours.text));
        let theirs = word_errors(&expected, &words(&case.vendor.text));
        our_errors += ours;
        their_errors += theirs;
        all += expected.len();
        let times = [
            case.ours.median(),
            case.vendor.median(),
            case.ours.fastest(),
            case.vendor.fastest(),
        ];
        for (sum, time) in sums.iter_mut().zip(times) {
            *sum += time;
        }
        println!(
            "{:<14} {:>7.1} {:>9.1} {:>9.1} {:>6.2} {:>6} {:>6}",
            case.name,
            case.clip.duration().as_secs_f64(),
            times[0].as_secs_f64() * 1_000.0,
            times[1].as_secs_f64() * 1_000.0,
            times[0].div_duration_f64(times[1]),
            ours,
            theirs,
        );
        if ours > 0 || ours != theirs {
            println!("  said:   {}", case.expected_text);
            println!("  ours:   {}", case.ours.text);
            println!("  theirs: {}", case.vendor.text);
        }
    }
    let rate = |errors: usize| errors as f64 * 100.0 / all as f64;
    let ratio = sums[0].div_duration_f64(sums[1]);
    let best = sums[2].div_duration_f64(sums[3]);
    println!(
        "word error rate: ours {:.1} %, theirs {:.1} %",
        rate(our_errors),
        rate(their_errors)
    );
    println!(
        "time, ours / theirs: {ratio:.2} (medians), {best:.2} (best rounds); goal {MAX_TIME_RATIO}"
    );
    our_errors <= their_errors && ratio <= MAX_TIME_RATIO
}

/// The vendor's package in a child process.
struct MoonshinePython {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl MoonshinePython {
    fn start() -> BenchResult<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/moonshine.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().ok_or("no standard input")?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        Ok(Self {
            process,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    fn recognize(&mut self, wav: &Path) -> BenchResult<(String, Duration)> {
        writeln!(self.stdin, "{}", wav.display())?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: serde_json::Value = serde_json::from_str(&line)?;
        let seconds = answer["seconds"].as_f64().ok_or("no time")?;
        let text = answer["text"].as_str().ok_or("no text")?;
        Ok((text.to_owned(), Duration::from_secs_f64(seconds)))
    }
}

impl Drop for MoonshinePython {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
