//! The whole bot as a process, with a simulated Discord and providers that answer at once.
//!
//! ```text
//! cargo bench --bench bot -- latency [--rounds N]   from a voice message to its reply, and bare exchanges
//! cargo bench --bench bot -- crowd                  1,000 voice messages from 100 users at once
//! cargo bench --bench bot -- idle                   memory with 1 and 2,500 guilds, start to READY
//! cargo bench --bench bot -- kills [--rounds N]     kill -9 while voice messages keep coming
//! ```
//!
//! Without a name the first three run. A "note" is a voice message. `crowd` and `kills` fail if a
//! note is lost, answered twice or left half-finished; a release must pass both (`-- crowd kills`).

mod crowd;
mod environment;
mod idle;
mod kills;
mod latency;
mod notes;

use std::time::Duration;

/// The time limit for anything to happen.
const WAIT_TIMEOUT: Duration = Duration::from_secs(90);

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> BenchResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let rounds = arguments
        .iter()
        .position(|it| it == "--rounds")
        .and_then(|at| arguments.get(at + 1))
        .map(|number| number.parse::<usize>())
        .transpose()?;
    let all = !["latency", "crowd", "idle", "kills"]
        .iter()
        .any(|it| has(it));
    if all || has("latency") {
        latency::bench_latency(rounds.unwrap_or(200)).await?;
    }
    if all || has("crowd") {
        crowd::bench_crowd().await?;
    }
    if all || has("idle") {
        idle::bench_idle(0).await?;
        idle::bench_idle(2_499).await?;
    }
    if has("kills") {
        kills::bench_kills(rounds.unwrap_or(100)).await?;
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn as_millis_f64(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
