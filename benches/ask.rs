//! The time that `talkback ask` adds to the bare HTTP exchanges, with providers that answer at
//! once.
//!
//! ```text
//! cargo bench --bench ask [-- --rounds N]
//! ```
//!
//! Three ways to the same answer are measured in turn, and their medians are printed: the bare
//! exchanges (the same two requests with prepared bodies, over open connections), the pipeline in
//! this process (decoding, VAD, both clients, streaming), and the whole program from start to exit.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio::Recording;
use sandbox::{RecordedRequest, Sandbox};
use talkback::app::App;
use talkback::config::{Config, SettingValues};
use talkback::flow::admission::Permit;
use talkback::flow::{PipelineStage, Reply, user_turn};
use tokio::runtime::Runtime;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/question.ogg");

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

struct NullReply;

impl Reply for NullReply {
    fn enter_stage(&self, _: PipelineStage) {}

    fn retract_answer(&self) {}
}

fn main() -> BenchResult<()> {
    let mut rounds = 100;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            rounds = arguments.next().ok_or("a number is missing")?.parse()?;
        }
    }
    let sandbox = Sandbox::start_blocking();
    sandbox
        .assemblyai()
        .set_transcript("What is the capital of France?");
    sandbox.openai().says("Paris.");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;

    let variables = variables(&sandbox);
    let mut values = SettingValues::default();
    for (name, value) in &variables {
        values.set(name, value.clone());
    }
    let config = Config::read(&values).map_err(|faults| format!("{faults:?}"))?;
    let app = App::new(&config)?;
    pipeline(&runtime, &app)?;
    let bodies = sandbox.requests();

    let http = reqwest::Client::new();
    let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    // The first round warms everything up.
    for round in 0..=rounds {
        let measured = [
            time(|| run_bare_exchanges(&runtime, &http, &sandbox, &bodies))?,
            time(|| pipeline(&runtime, &app))?,
            time(|| program(&["ask", SAMPLE], &variables))?,
            time(|| program(&["--help"], &[]))?,
        ];
        if round > 0 {
            for (all, one) in times.iter_mut().zip(measured) {
                all.push(one);
            }
        }
    }
    let [bare, pipeline, program, help] = times.map(median);
    println!("{rounds} rounds, medians");
    println!("bare exchanges           {:7.2} ms", as_millis_f64(bare));
    report("pipeline in the process", pipeline, bare);
    report("the whole program", program, bare);
    println!("talkback --help          {:7.2} ms", as_millis_f64(help));
    Ok(())
}

fn report(name: &str, time: Duration, bare: Duration) {
    println!(
        "{name:24} {:7.2} ms, {:6.2} ms over the bare exchanges",
        as_millis_f64(time),
        as_millis_f64(time.saturating_sub(bare))
    );
}

fn as_millis_f64(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn time(work: impl FnOnce() -> BenchResult<()>) -> BenchResult<Duration> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn variables(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    vec![
        ("ASSEMBLYAI_API_KEY", sandbox.assemblyai().key()),
        ("ASSEMBLYAI_API_URL", sandbox.assemblyai().api_url()),
        ("ASSEMBLYAI_SYNC_URL", sandbox.assemblyai().sync_url()),
        ("OPENAI_API_KEY", sandbox.openai().key()),
        ("OPENAI_BASE_URL", sandbox.openai().url()),
        ("OPENAI_MODEL", "sandbox-1".to_owned()),
    ]
}

/// Repeats the requests of the pipeline, and reads the responses to the end.
fn run_bare_exchanges(
    runtime: &Runtime,
    http: &reqwest::Client,
    sandbox: &Sandbox,
    bodies: &[RecordedRequest],
) -> BenchResult<()> {
    runtime.block_on(async {
        for (recorded, base) in bodies
            .iter()
            .zip([sandbox.assemblyai().sync_url(), sandbox.openai().url()])
        {
            let origin = reqwest::Url::parse(&base)?.join(&recorded.path)?;
            let mut headers = recorded.headers.clone();
            for name in ["host", "content-length"] {
                headers.remove(name);
            }
            let request = http.post(origin).headers(headers);
            let response = request.body(recorded.body.clone()).send().await?;
            response.error_for_status()?.bytes().await?;
        }
        Ok(())
    })
}

fn pipeline(runtime: &Runtime, app: &App) -> BenchResult<()> {
    let reply: Arc<dyn Reply> = Arc::new(NullReply);
    runtime.block_on(async {
        let pipeline = &app.pipeline;
        let permit = Permit::unmetered();
        let recording = Recording::from_path(Path::new(SAMPLE));
        let heard = pipeline
            .transcribe_recording(&permit, recording, &pipeline.hints, &reply)
            .await?;
        let turn = user_turn(&heard.transcript.text, None);
        pipeline.answer(&permit, vec![turn], &reply).await?;
        Ok(())
    })
}

fn program(arguments: &[&str], variables: &[(&str, String)]) -> BenchResult<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_talkback"))
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{arguments:?}: {status}").into())
    }
}
