//! The bot compared with one as tutorials build it: `bot.py`, in Python on discord.py with the
//! official packages of AssemblyAI and OpenAI. Both run as processes; each has its own sandbox,
//! whose providers take the same fixed time. A "note" is a voice message.
//!
//! ```text
//! cargo bench --no-default-features --bench compare                     the whole table
//! … --bench compare -- speed [--notes 1,10,100] [--rounds N]            time, CPU, memory
//! … --bench compare -- kills [--rounds N]                               kill -9 while notes keep coming
//! ```
//!
//! The Python packages are those of `requirements.txt`; `script/bootstrap` installs them. `PYTHON`
//! sets another interpreter than `python3`.

mod bots;
mod kills;
mod speed;

use std::time::Duration;

pub(crate) type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

/// The time limit for anything to happen.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> BenchResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this program too, without `--bench`.
    if !arguments.iter().any(|it| it == "--bench") {
        return Ok(());
    }
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let after = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1)
    };
    let rounds = after("--rounds").map(|it| it.parse()).transpose()?;
    let notes = after("--notes").map_or("1,10,100", String::as_str);
    let notes: Vec<usize> = notes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let all = !has("speed") && !has("kills");
    println!("load: {}", system_load());
    if all || has("speed") {
        speed::speed(&notes, rounds).await?;
    }
    if all || has("kills") {
        kills::kills(rounds.unwrap_or(20)).await?;
    }
    println!("load: {}", system_load());
    Ok(())
}

/// The load average over 1, 5 and 15 minutes.
fn system_load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
