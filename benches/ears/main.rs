//! Our receiver of calls beside songbird's driver, in the same sandbox and in turn, without a bot:
//! both join as somebody who was invited.
//!
//! ```text
//! cargo bench --bench ears -- loss      packets that are lost, by what happens in the call
//! cargo bench --bench ears -- abuse     whether anybody is heard after what a hostile server or network sends
//! cargo bench --bench ears -- cpu       CPU time and memory of one who talks: 10, 50, 100, and 500 in 20 calls
//! ```
//!
//! Without a name all parts run. `--only own` and `--only songbird` leave out the other one, and
//! `--part MESSAGE_FIELDS` all lines but those with these words. A packet counts as heard if it is said to
//! be of whom it is, and is what was said to the last bit.

mod abuse;
mod call;
mod child_process;
mod cpu;
#[path = "../voice/cpu_floor.rs"]
mod floor;
mod listener;
#[allow(dead_code)]
#[path = "../voice/speech_samples.rs"]
mod material;
mod own_receiver;
mod packet_loss;
#[allow(dead_code)]
#[path = "../voice/process.rs"]
mod process;
mod receiver_log;
mod said;
mod songbird_receiver;

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
    // What `cargo test --benches` runs needs no numbers.
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
    // Listeners that are blocked for good are not waited for.
    runtime.shutdown_background();
    measured
}

/// Runs all in a process of its own: what it trusts has to be said before it starts.
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

/// Panics of listeners are counted instead of shown.
fn count_panics() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread.name() == Some(LISTENER_THREAD) {
            LISTENER_PANICS.fetch_add(1, Ordering::Relaxed);
        } else {
            shown(panic);
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
    let place = BenchServer::new(kinds.collect()).await?;
    if all || has("cpu") {
        cpu::bench_cpu(&place, part).await?;
    }
    // Costs memory: the CPU time is measured without it.
    place.discord.record_forwarded_packets();
    if all || has("loss") {
        packet_loss::bench_loss(&place, part).await?;
    }
    if all || has("abuse") {
        abuse::abuse(&place, part).await?;
    }
    println!("load: {}", process::load_average());
    Ok(())
}
