//! Voice sessions end to end: the bot as a process in the sandbox's Discord, and users who speak to
//! it, with end-to-end encryption.
//!
//! ```text
//! cargo bench --bench voice -- latency [--rounds N]   from the end of speech to its line and its answer
//! cargo bench --bench voice -- sync [--rounds N]      the same with AssemblyAI Sync, less its own time
//! cargo bench --bench voice -- loss                   packets that are lost, by what happens in the call
//! cargo bench --bench voice -- network                bad networks: counted loss and word errors
//! cargo bench --bench voice -- cpu [--people N]       10, 50 and 100 users who speak at once
//! cargo bench --bench voice -- long [--minutes N]     memory, sockets and threads of a long session
//! ```
//!
//! Without a name `latency` and `loss` run. `network` needs `--features local-speech` and the
//! fetched models. Linux only: memory and CPU time are read from `/proc`.

mod bad_network;
mod cpu;
mod cpu_floor;
mod latency;
mod long_session;
mod packet_loss;
mod process;
mod scene;
mod speech_samples;
mod sync_transcription;
#[path = "../../tests/it/word_error_rate.rs"]
mod word_errors;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PARTS: [&str; 6] = ["latency", "sync", "loss", "network", "cpu", "long"];

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this program too, without `--bench`.
    if !arguments.iter().any(|it| it == "--bench") {
        return Ok(());
    }
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let number = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let quick = !PARTS.iter().any(|it| has(it));
    println!("load: {}", process::load_average());
    if quick || has("latency") {
        latency::bench_latency(number("--rounds").unwrap_or(30)).await?;
    }
    if has("sync") {
        sync_transcription::bench_sync(number("--rounds").unwrap_or(20)).await?;
    }
    if quick || has("loss") {
        packet_loss::bench_packet_loss().await?;
    }
    if has("network") {
        bad_network::bench_network().await?;
    }
    if has("cpu") {
        let people = number("--people").map_or_else(|| vec![10, 50, 100], |only| vec![only]);
        cpu::bench_cpu(&people).await?;
    }
    if has("long") {
        long_session::bench_long_session(number("--minutes").unwrap_or(10)).await?;
    }
    println!("load: {}", process::load_average());
    Ok(())
}
