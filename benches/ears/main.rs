//! Our voice receiver compared with songbird's driver, without a bot: both join the same sandbox
//! calls in turn, as an ordinary member.
//!
//! ```text
//! cargo bench --bench ears -- loss      packets that are lost, by what happens in the call
//! cargo bench --bench ears -- abuse     whether others are still received after hostile input
//! cargo bench --bench ears -- cpu       CPU time and memory per talking user: 10, 50, 100, and 500 in 20 calls
//! ```
//!
//! Without a name all parts run. `--only own` and `--only songbird` leave out the other one;
//! `--part WORDS` runs only the cases whose line contains these words. A packet counts as heard if
//! it is attributed to the right user and is identical to what was sent.

mod abuse;
mod call;
mod child_process;
mod cpu;
#[path = "../voice/cpu_floor.rs"]
mod cpu_floor;
mod listener;
mod marked_packets;
mod own_receiver;
mod packet_loss;
#[allow(dead_code)]
#[path = "../voice/process.rs"]
mod process;
mod receiver_log;
mod songbird_receiver;
#[allow(dead_code)]
#[path = "../voice/speech_samples.rs"]
mod speech_samples;

use std::process::Command;
use std::sync::atomic::Ordering;

use call::{BenchServer, LISTENER_PANICS};
use listener::{LISTENER_THREAD, ReceiverKind};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Set in the process that measures.
const INSIDE_VARIABLE: &str = "EARS_INSIDE";

const PARTS: [&str; 3] = ["loss", "abuse", "cpu"];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this program too, without `--bench`.
    if !arguments.iter().any(|it| it == "--bench") {
        return Ok(());
    }
    if let Ok(how) = std::env::var(child_process::LISTENER_VARIABLE) {
        return child_process::run_child(&how);
    }
    if std::env::var_os(INSIDE_VARIABLE).is_none() {
        return rerun_as_child(&arguments);
    }
    count_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure(&arguments));
    // Does not wait for listeners that are blocked for good.
    runtime.shutdown_background();
    measured
}

/// Runs the measurements in a child process: the certificates it trusts have to be set before it
/// starts.
fn rerun_as_child(arguments: &[String]) -> Outcome<()> {
    let folder = tempfile::TempDir::new()?;
    let status = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env("SSL_CERT_FILE", folder.path().join("authority.pem"))
        .env(INSIDE_VARIABLE, "1")
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("the measurement has failed".into())
    }
}

/// Counts panics of listeners instead of printing them.
fn count_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread.name() == Some(LISTENER_THREAD) {
            LISTENER_PANICS.fetch_add(1, Ordering::Relaxed);
        } else {
            default_hook(panic);
        }
    }));
}

async fn measure(arguments: &[String]) -> Outcome<()> {
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let after = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let kinds = [ReceiverKind::Own, ReceiverKind::Songbird];
    let only = after("--only");
    let kinds = kinds.into_iter();
    let kinds = kinds.filter(|it| only.is_none_or(|only| only == it.name()));
    let part = after("--part").unwrap_or_default();
    let all = !PARTS.iter().any(|it| has(it));
    println!("load: {}", process::load_average());
    let server = BenchServer::new(kinds.collect()).await?;
    if all || has("cpu") {
        cpu::bench_cpu(&server, part).await?;
    }
    // After the CPU measurement, since it costs memory.
    server.discord.record_forwarded_packets();
    if all || has("loss") {
        packet_loss::bench_loss(&server, part).await?;
    }
    if all || has("abuse") {
        abuse::bench_abuse(&server, part).await?;
    }
    println!("load: {}", process::load_average());
    Ok(())
}
